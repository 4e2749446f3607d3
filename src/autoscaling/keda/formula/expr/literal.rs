//! What a quoted literal stands for (`parser/lexer/utils.go`).

const CANNOT: &str = "unable to unescape string";
const CANNOT_OCTAL: &str = "unable to unescape octal sequence in string";

/// The text of a literal that is given with its quotes; newlines become `\n`.
///
/// # Errors
/// The words of the real language for an escape that stands for nothing.
pub(super) fn unescape(literal: &str) -> Result<String, String> {
    let mut text = String::new();
    let inner = unquoted(literal)?;
    let mut rest = inner.chars();
    while let Some(c) = rest.next() {
        // A surrogate, and what lies above all characters as a negative number, is written as U+FFFD.
        text.push(if c == '\\' {
            char::from_u32(escape(&mut rest, Literal::Text)?).unwrap_or('\u{fffd}')
        } else {
            c
        });
    }
    Ok(text)
}

/// The bytes of a literal that is given with its quotes and without its `b`.
///
/// # Errors
/// As [`unescape`]; the escapes of characters stand for nothing here.
pub(super) fn unescape_bytes(literal: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let inner = unquoted(literal)?;
    let mut rest = inner.chars();
    while let Some(c) = rest.next() {
        if c == '\\' {
            let byte = escape(&mut rest, Literal::Bytes)?;
            bytes.push(u8::try_from(byte).map_err(|_| CANNOT)?);
        } else {
            bytes.extend(c.encode_utf8(&mut [0; 4]).bytes());
        }
    }
    Ok(bytes)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Literal {
    Text,
    Bytes,
}

fn unquoted(literal: &str) -> Result<String, String> {
    let literal = literal.replace("\r\n", "\n").replace('\r', "\n");
    let inner = ['"', '\''].into_iter().find_map(|quote| literal.strip_prefix(quote)?.strip_suffix(quote));
    inner.map(str::to_owned).ok_or_else(|| CANNOT.to_owned())
}

/// What the characters after a backslash stand for.
fn escape(rest: &mut std::str::Chars<'_>, literal: Literal) -> Result<u32, String> {
    let c = rest.next().ok_or("unable to unescape string, found '\\' as last character")?;
    Ok(match c {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => 10,
        'r' => 13,
        't' => 9,
        'v' => 11,
        '\\' | '\'' | '"' | '`' | '?' => u32::from(c),
        'x' | 'X' => hexadecimal(rest, 2)?,
        'u' if literal == Literal::Text && rest.as_str().starts_with('{') => braced(rest)?,
        'u' if literal == Literal::Text => hexadecimal(rest, 4)?,
        'U' if literal == Literal::Text => {
            let value = hexadecimal(rest, 8)?;
            // The real one keeps it in 32 bits with a sign.
            if (0x11_0000..0x8000_0000).contains(&value) {
                return Err(CANNOT.to_owned());
            }
            value
        }
        '0'..='3' => {
            let mut value = c.to_digit(8).unwrap_or_default();
            for _ in 0..2 {
                let digit = rest.next().and_then(|c| c.to_digit(8)).ok_or(CANNOT_OCTAL)?;
                value = value * 8 + digit;
            }
            value
        }
        _ => return Err(CANNOT.to_owned()),
    })
}

fn hexadecimal(rest: &mut std::str::Chars<'_>, digits: usize) -> Result<u32, String> {
    let mut value = 0;
    for _ in 0..digits {
        value = value << 4 | rest.next().and_then(|c| c.to_digit(16)).ok_or(CANNOT)?;
    }
    Ok(value)
}

/// Hexadecimal digits between braces; the lexer let at most six pass.
fn braced(rest: &mut std::str::Chars<'_>) -> Result<u32, String> {
    let (digits, tail) = rest.as_str()[1..].split_once('}').ok_or(CANNOT)?;
    let value = u32::from_str_radix(digits, 16).ok().filter(|&value| value < 0x11_0000).ok_or(CANNOT)?;
    *rest = tail.chars();
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_of_texts() {
        for (literal, text) in [
            (r#""a\tb""#, "a\tb"),
            (r"'\x41\101\u0042\U00000043\u{44}'", "AABCD"),
            (r#""\xff""#, "\u{ff}"),
            (r#""\ud800""#, "\u{fffd}"),
            (r#""\UFFFFFFFF""#, "\u{fffd}"),
            ("'a\r\nb'", "a\nb"),
        ] {
            assert_eq!(unescape(literal).as_deref(), Ok(text), "{literal}");
        }
        for literal in [r#""\U00110000""#, r#""\477""#, r#""\u{110000}""#, r#""\0""#, "\"", "'a\""] {
            assert!(unescape(literal).is_err(), "{literal}");
        }
    }

    #[test]
    fn escapes_of_bytes() {
        assert_eq!(unescape_bytes(r#""\xff\101é""#), Ok(vec![0xff, 0x41, 0xc3, 0xa9]));
        assert!(unescape_bytes(r#""\u0041""#).is_err());
    }
}
