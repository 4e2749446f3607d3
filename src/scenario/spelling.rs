//! The two spellings of a key: `min_replica_count` in our TOML, `minReplicaCount` in a manifest.

/// How the keys of a document are spelled, for messages about them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    /// As the wings declare them: our TOML.
    Snake,
    /// As Kubernetes writes them: a manifest.
    Camel,
}

impl Spelling {
    /// `key` as it is written in such a document.
    pub(super) fn key(self, key: &str) -> String {
        match self {
            Spelling::Snake => key.to_owned(),
            Spelling::Camel => camel_case(key),
        }
    }

    /// A key in such a document. What our TOML calls `scaled_object` is `spec` in a manifest; below `metadata` keys are
    /// verbatim in both, and camel-casing them again changes nothing.
    pub(super) fn path<'a>(self, segments: impl IntoIterator<Item = &'a str>) -> String {
        let segments =
            segments.into_iter().enumerate().map(|(depth, segment)| match (self, depth, segment) {
                (Spelling::Camel, 0, "scaled_object") => "spec".to_owned(),
                _ => self.key(segment),
            });
        segments.collect::<Vec<_>>().join(".")
    }

    /// A wing's sentence, with the names between its back quotes as they are spelled in such a document.
    pub(super) fn sentence(self, sentence: &str) -> String {
        let ours = |name: &str| {
            name.bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.".contains(&byte))
        };
        let parts = sentence.split('`').enumerate().map(|(index, part)| match index % 2 {
            1 if ours(part) => part.split('.').map(|key| self.key(key)).collect::<Vec<_>>().join("."),
            _ => part.to_owned(),
        });
        parts.collect::<Vec<_>>().join("`")
    }

    /// The accepted keys, each once: the types also accept the other spelling, which this one leaves out.
    pub(super) fn accepted(self, accepted: &[&str]) -> Vec<String> {
        let snake = accepted.iter().filter(|key| !key.contains(|c: char| c.is_ascii_uppercase()));
        snake.map(|key| self.key(key)).collect()
    }
}

/// `min_replica_count` to `minReplicaCount`: Kubernetes' spelling of our keys.
pub(super) fn camel_case(key: &str) -> String {
    let mut camel = String::with_capacity(key.len());
    let mut upper = false;
    for c in key.chars() {
        match c {
            '_' => upper = true,
            _ if upper => {
                camel.push(c.to_ascii_uppercase());
                upper = false;
            }
            _ => camel.push(c),
        }
    }
    camel
}

/// `minReplicaCount` to `min_replica_count`: our spelling of Kubernetes' keys.
pub(super) fn snake_case(key: &str) -> String {
    let mut snake = String::with_capacity(key.len() + 4);
    for c in key.chars() {
        if c.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_spellings_are_each_other() {
        for key in ["min_replica_count", "type", "horizontal_pod_autoscaler_config"] {
            assert_eq!(snake_case(&camel_case(key)), key);
        }
        assert_eq!(camel_case("authentication_ref"), "authenticationRef");
    }

    #[test]
    fn a_sentence_names_keys_as_the_user_does() {
        let sentence = "`min_replica_count` 5 is above `max_replica_count` 3, not `sum(a_b)`";
        assert_eq!(Spelling::Snake.sentence(sentence), sentence);
        let camel = "`minReplicaCount` 5 is above `maxReplicaCount` 3, not `sum(a_b)`";
        assert_eq!(Spelling::Camel.sentence(sentence), camel);
        assert_eq!(
            Spelling::Camel.path(["scaled_object", "triggers", "0", "metric_type"]),
            "spec.triggers.0.metricType"
        );
    }
}
