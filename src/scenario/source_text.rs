//! The text of one input, with the name under which it is shown, and where in it a byte is.

use super::input_error::InputError;
use crate::problem::Problem;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// The largest policy, experiment or model file that is read: far above any that people write, far below what could
/// exhaust memory.
pub const SIZE_MAX_BYTES: u64 = 16 << 20;

/// A text that was loaded, with its display name: a path as the user gave it, `<stdin>`, `--set`, or the name of an
/// embedded file.
#[derive(Debug, PartialEq, Eq)]
pub struct SourceText {
    name: String,
    text: String,
}

/// Bytes of one text: what a caret points at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The text.
    pub source: Arc<SourceText>,
    /// Bytes of it.
    pub span: Range<usize>,
}

/// A place in a text; both count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

impl SourceText {
    /// A text that is valid already.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Arc<Self> {
        Arc::new(SourceText { name: name.into(), text: text.into() })
    }

    /// The text in `bytes`. A UTF-8 byte order mark is dropped, as Windows editors write one.
    ///
    /// # Errors
    /// Bytes that are not UTF-8, with the line of the first bad one, and more bytes than [`SIZE_MAX_BYTES`].
    pub fn from_bytes(name: impl Into<String>, bytes: Vec<u8>) -> Result<Arc<Self>, InputError> {
        let name = name.into();
        if bytes.len() as u64 > SIZE_MAX_BYTES {
            return Err(InputError::in_file(&name, too_large()));
        }
        if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
            let problem = Problem::whole("the file is UTF-16 text").help("save it as UTF-8");
            return Err(InputError::in_file(&name, problem));
        }
        match String::from_utf8(bytes) {
            Ok(text) => Ok(SourceText::new(name, text.strip_prefix('\u{feff}').unwrap_or(&text))),
            Err(error) => {
                let good = error.utf8_error().valid_up_to();
                let line = 1 + error.as_bytes()[..good].iter().filter(|&&byte| byte == b'\n').count();
                let message = format!("byte {good} (line {line}) is not UTF-8: this is not a text file");
                Err(InputError::in_file(&name, Problem::whole(message).help("save it as UTF-8")))
            }
        }
    }

    /// Reads the file at `path`.
    ///
    /// # Errors
    /// What the operating system says, and those of [`SourceText::from_bytes`]. No more than [`SIZE_MAX_BYTES`] + 1
    /// bytes are ever read, so that an endless device or a huge file does no harm.
    pub fn read(path: &Path) -> Result<Arc<Self>, InputError> {
        let name = path.display().to_string();
        let refuse = |message: String| InputError::in_file(&name, Problem::whole(message));
        let file = File::open(path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => refuse("there is no such file".to_owned()),
            _ => refuse(format!("the file cannot be opened: {error}")),
        })?;
        let mut bytes = Vec::new();
        match file.take(SIZE_MAX_BYTES + 1).read_to_end(&mut bytes) {
            Ok(_) => SourceText::from_bytes(name, bytes),
            Err(error) if error.kind() == ErrorKind::IsADirectory => {
                Err(refuse("this is a directory, not a file".to_owned()))
            }
            Err(error) => Err(refuse(format!("the file cannot be read: {error}"))),
        }
    }

    /// The display name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name without folder and extension.
    pub fn stem(&self) -> &str {
        let stem = Path::new(&self.name).file_stem().and_then(|stem| stem.to_str());
        stem.unwrap_or(&self.name)
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the text is YAML: by the extension of its name, else by a line that begins as manifests do.
    pub fn is_yaml(&self) -> bool {
        let begins = |line: &str| {
            ["apiVersion:", "kind:", "metadata:", "spec:", "---", "{"]
                .iter()
                .any(|start| line.starts_with(start))
        };
        match Path::new(&self.name).extension().and_then(|extension| extension.to_str()) {
            Some(extension) if extension.eq_ignore_ascii_case("toml") => false,
            Some(extension)
                if ["yaml", "yml", "json"].iter().any(|yaml| extension.eq_ignore_ascii_case(yaml)) =>
            {
                true
            }
            _ => self.text.lines().any(begins),
        }
    }

    /// The extension for a copy of the text: `yaml` or `toml`, and `txt` for an argument, which is neither.
    pub fn extension(&self) -> &'static str {
        match self.name.as_str() {
            "--policy" | "serving.model" | "settings" => "txt",
            _ if self.is_yaml() => "yaml",
            _ => "toml",
        }
    }

    /// The text of `span`; empty where `span` is not inside the text.
    pub fn slice(&self, span: Range<usize>) -> &str {
        self.text.get(span).unwrap_or_default()
    }

    /// Line and column of byte `offset`, which is cut to the text's length.
    pub fn position(&self, offset: usize) -> Position {
        let start = self.line_span(offset).start;
        Position {
            line: 1 + self.text[..start].bytes().filter(|&byte| byte == b'\n').count(),
            column: 1 + self.text[start..self.boundary(offset)].chars().count(),
        }
    }

    /// The bytes of the line around byte `offset`, without its line ending.
    pub fn line_span(&self, offset: usize) -> Range<usize> {
        let offset = self.boundary(offset);
        let start = self.text[..offset].rfind('\n').map_or(0, |newline| newline + 1);
        let end = self.text[offset..].find('\n').map_or(self.text.len(), |newline| offset + newline);
        let line = self.text[start..end].trim_end_matches('\r');
        start..(start + line.len()).max(offset)
    }

    /// SHA-256 of the text, in hexadecimal.
    pub fn sha256(&self) -> String {
        hex(&Sha256::digest(self.text.as_bytes()))
    }

    /// `offset`, moved back to the nearest start of a character.
    fn boundary(&self, offset: usize) -> usize {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        offset
    }
}

impl Origin {
    /// All of a text.
    pub fn whole(source: &Arc<SourceText>) -> Self {
        Origin { source: Arc::clone(source), span: 0..source.text.len() }
    }

    /// Where it starts.
    pub fn position(&self) -> Position {
        self.source.position(self.span.start)
    }

    /// What stands there.
    pub fn text(&self) -> &str {
        self.source.slice(self.span.clone())
    }
}

/// SHA-256 of what `reader` gives, in hexadecimal: for data files, which are not kept in memory.
///
/// # Errors
/// What reading says.
pub fn sha256_of(mut reader: impl Read) -> std::io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(hex(&hash.finalize())),
            Ok(read) => hash.update(&buffer[..read]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn too_large() -> Problem {
    Problem::whole(format!("the file is larger than {} MiB", SIZE_MAX_BYTES >> 20)).help(
        "traces are named in `[workload]` or by `--trace`; they are not policies, experiments or models",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_lines_and_characters_from_one() {
        let source = SourceText::new("t", "é = 1\r\nb = 2\n");
        assert_eq!(source.position(0), Position { line: 1, column: 1 });
        assert_eq!(source.position(2), Position { line: 1, column: 2 });
        assert_eq!(source.position(8), Position { line: 2, column: 1 });
        assert_eq!(source.position(1), Position { line: 1, column: 1 }, "inside a character");
        assert_eq!(source.position(999), Position { line: 3, column: 1 });
        assert_eq!(source.slice(source.line_span(3)), "é = 1");
        assert_eq!(source.slice(source.line_span(10)), "b = 2");
    }

    #[test]
    fn bytes_must_be_utf8_and_not_too_many() {
        assert_eq!(SourceText::from_bytes("t", b"\xef\xbb\xbfa = 1".to_vec()).unwrap().text(), "a = 1");
        let error = SourceText::from_bytes("t", b"a = 1\nb = \xff".to_vec()).unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("UTF-8"), "{error}");
        let error = SourceText::from_bytes("t", b"\xff\xfea\0".to_vec()).unwrap_err().to_string();
        assert!(error.contains("UTF-16"), "{error}");
        let error =
            SourceText::from_bytes("t", vec![b' '; SIZE_MAX_BYTES as usize + 1]).unwrap_err().to_string();
        assert!(error.contains("16 MiB"), "{error}");
    }

    #[test]
    fn hashes_agree_whichever_way_the_text_is_read() {
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(SourceText::new("t", "abc").sha256(), known);
        assert_eq!(sha256_of(&b"abc"[..]).unwrap(), known);
    }
}
