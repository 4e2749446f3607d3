//! Names of Kubernetes objects (RFC 1123, `k8s.io/apimachinery/pkg/util/validation`).

use crate::problem::Problem;

/// Longest label: a namespace's name.
const LABEL_MAX: usize = 63;
/// Longest subdomain: the name of most objects.
const SUBDOMAIN_MAX: usize = 253;

/// Checks the name of a namespace: a label of RFC 1123, at most 63 of `a-z`, `0-9` and `-`, which begins and ends with
/// a letter or digit.
///
/// # Errors
/// A problem with `key`.
pub fn check_label(key: &str, name: &str) -> Result<(), Problem> {
    check(key, name, LABEL_MAX, is_label(name), "`-`")
}

/// Checks the name of an object such as a Deployment: labels of RFC 1123 joined by dots, at most 253 characters.
///
/// # Errors
/// A problem with `key`.
pub fn check_subdomain(key: &str, name: &str) -> Result<(), Problem> {
    check(key, name, SUBDOMAIN_MAX, name.split('.').all(is_label), "`-` or `.`")
}

/// Checks the key of an annotation: a name of at most 63 letters, digits, `-`, `_` and `.`, and before it, if anything, a
/// subdomain and `/` (`IsQualifiedName`; of the prefix capitals do not matter).
///
/// # Errors
/// A problem with `key`.
pub fn check_annotation_key(key: &str, name: &str) -> Result<(), Problem> {
    let (prefix, bare) = name.rsplit_once('/').map_or((None, name), |(prefix, bare)| (Some(prefix), bare));
    let prefix_valid = prefix.is_none_or(|prefix| {
        prefix.len() <= SUBDOMAIN_MAX && prefix.to_ascii_lowercase().split('.').all(is_label)
    });
    let bytes = bare.as_bytes();
    let edges = [bytes.first(), bytes.last()].iter().all(|edge| edge.is_some_and(u8::is_ascii_alphanumeric));
    let bare_valid = edges && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte));
    if prefix_valid && bare_valid && bare.len() <= LABEL_MAX {
        return Ok(());
    }
    let problem = Problem::key(key, format!("{name:?} is not the key of an annotation"));
    Err(problem.help(
        "such as `autoscaling.keda.sh/paused`: letters, digits, `-`, `_` and `.`, and a domain before it",
    ))
}

fn check(key: &str, name: &str, most: usize, valid: bool, signs: &str) -> Result<(), Problem> {
    if valid && name.len() <= most {
        return Ok(());
    }
    let message = match name {
        "" => "a name is empty".to_owned(),
        _ if name.len() > most => format!("a name of {} characters is too long for Kubernetes", name.len()),
        _ => format!("{name:?} is not a name in Kubernetes"),
    };
    let rule = format!("use at most {most} of a-z, 0-9 and {signs}, a letter or digit first and last");
    Err(Problem::key(key, message).help(rule))
}

fn is_label(label: &str) -> bool {
    let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = label.as_bytes();
    bytes.first().is_some_and(alphanumeric)
        && bytes.last().is_some_and(alphanumeric)
        && bytes.iter().all(|byte| alphanumeric(byte) || *byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_rfc_1123() {
        for good in ["a", "llama-32-3b-predictor", "0x"] {
            assert_eq!(check_label("k", good), Ok(()));
            assert_eq!(check_subdomain("k", good), Ok(()));
        }
        assert_eq!(check_subdomain("k", "a.b-c.d"), Ok(()));
        let long = "a".repeat(254);
        for bad in ["", "A", "-a", "a-", "a_b", "a b", "é", "a\n", "a..b", ".a", &long] {
            assert!(check_label("k", bad).is_err(), "{bad}");
            assert!(check_subdomain("k", bad).is_err(), "{bad}");
        }
        assert!(check_label("k", "a.b").is_err());
        assert!(check_label("k", &"a".repeat(64)).is_err());
        for good in ["a", "a.B_c-1", "dryscale.dev/name", "Example.com/x"] {
            assert_eq!(check_annotation_key("k", good), Ok(()), "{good}");
        }
        for bad in ["", "/a", "a/", "a/b/c", "a b", "é", "-a", "a_b/c", "a\n", &long] {
            assert!(check_annotation_key("k", bad).is_err(), "{bad}");
        }
        let problem = check_label("target.namespace", "Prod").unwrap_err();
        assert_eq!(
            problem.to_string(),
            "target.namespace: \"Prod\" is not a name in Kubernetes (use at most 63 of a-z, 0-9 and `-`, a letter or \
             digit first and last)"
        );
    }
}
