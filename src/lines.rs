//! Lines of a data file, plain or gzipped, read one at a time.

use crate::problem::Problem;
use flate2::bufread::MultiGzDecoder;
use std::io::{BufRead, BufReader, Cursor, Read};

/// A line longer than this is no line of a data file; the limit keeps a file without line ends from taking all memory.
const LINE_BYTES_MAX: usize = 16 << 20;

/// So much of a file is read at a time; longer lines make more room for themselves.
const BUFFER_BYTES: usize = 1 << 16;

/// How much of a line an error shows.
const SHOWN_CHARS: usize = 160;

/// The first bytes of every gzip member (RFC 1952).
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// The lines of a data file, of which one is held at a time. Gzip is recognised by its first bytes, whatever the file is
/// called, and may have several members, as `cat a.gz b.gz` makes them.
pub struct Lines {
    reader: Box<dyn BufRead + Send>,
    /// What has been read of the file and not been given yet, and the line that was given last before it.
    buffer: Vec<u8>,
    /// What is left in the buffer, and where it ends.
    rest: usize,
    end: usize,
    number: u64,
}

/// One line.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// Counts from 1.
    pub number: u64,
    /// Without its end.
    pub text: &'a str,
}

impl<'a> Line<'a> {
    /// What is wrong with this line.
    pub fn problem(&self, message: impl Into<String>) -> Problem {
        Problem::line(self.number, shown(self.text), message)
    }

    /// The JSON value that the line is.
    ///
    /// # Errors
    /// What the line has instead, with the column.
    pub fn json<T: serde::Deserialize<'a>>(&self) -> Result<T, Problem> {
        serde_json::from_str(self.text).map_err(|error| {
            // The parser counts lines within this one line.
            let message = error.to_string();
            let message = message.split(" at line 1 column ").next().unwrap_or_default();
            self.problem(format!("column {}: {message}", error.column()))
        })
    }
}

impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lines").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Lines {
    /// Starts to read; only the first two bytes are looked at.
    pub fn new(mut reader: Box<dyn BufRead + Send>) -> Result<Lines, Problem> {
        let mut head = Vec::with_capacity(GZIP_MAGIC.len());
        // A pipe may give its bytes one by one.
        reader
            .by_ref()
            .take(GZIP_MAGIC.len() as u64)
            .read_to_end(&mut head)
            .map_err(|error| unreadable(&error, 1))?;
        let zipped = head == GZIP_MAGIC;
        let whole = Cursor::new(head).chain(reader);
        let reader: Box<dyn BufRead + Send> =
            if zipped { Box::new(BufReader::new(MultiGzDecoder::new(whole))) } else { Box::new(whole) };
        Ok(Lines { reader, buffer: Vec::new(), rest: 0, end: 0, number: 0 })
    }

    /// The next line that is not blank, without its end and without a byte order mark, or `None` at the end of the file.
    ///
    /// # Errors
    /// A line of more than 16 MiB, text that is not UTF-8, a gzip file that is cut short or damaged, a file that cannot be
    /// read.
    pub fn next_line(&mut self) -> Result<Option<Line<'_>>, Problem> {
        let line = loop {
            self.number += 1;
            let Some(length) = self.read_line().map_err(|error| unreadable(&error, self.number))? else {
                return Ok(None);
            };
            let start = self.rest;
            self.rest += length;
            if length > LINE_BYTES_MAX {
                let text = shown(&String::from_utf8_lossy(&self.buffer[start..start + 4 * SHOWN_CHARS]));
                return Err(Problem::line(self.number, text, "the line is longer than 16 MiB")
                    .help("is this the right file?"));
            }
            let mut line = start..self.rest;
            if self.number == 1 && self.buffer[line.clone()].starts_with(b"\xef\xbb\xbf") {
                line.start += 3;
            }
            while !line.is_empty() && matches!(self.buffer[line.end - 1], b'\n' | b'\r') {
                line.end -= 1;
            }
            if !self.buffer[line.clone()].iter().all(u8::is_ascii_whitespace) {
                break line;
            }
        };
        let line = &self.buffer[line];
        match std::str::from_utf8(line) {
            Ok(text) => Ok(Some(Line { number: self.number, text })),
            Err(error) => {
                let text = shown(&String::from_utf8_lossy(line));
                let message = format!("byte {} of the line is not UTF-8 text", error.valid_up_to() + 1);
                Err(Problem::line(self.number, text, message).help("save the file as UTF-8, or gzip"))
            }
        }
    }

    /// Reads until the next line is in the buffer, and gives its length with its end; `None` at the end of the file. Of a
    /// line that is too long, no more is read than it takes to know that.
    fn read_line(&mut self) -> std::io::Result<Option<usize>> {
        let mut seen = 0;
        loop {
            let unseen = &self.buffer[self.rest + seen..self.end];
            // The standard library's search for a byte, which looks at many at a time.
            let length = seen + { unseen }.skip_until(b'\n')?;
            let complete = length > seen && self.buffer[self.rest + length - 1] == b'\n';
            if complete || length > LINE_BYTES_MAX {
                return Ok(Some(length));
            }
            seen = length;
            if !self.fill()? {
                return Ok((seen > 0).then_some(seen));
            }
        }
    }

    /// Reads more into the buffer. False at the end of the file.
    fn fill(&mut self) -> std::io::Result<bool> {
        self.buffer.copy_within(self.rest..self.end, 0);
        (self.rest, self.end) = (0, self.end - self.rest);
        if self.buffer.len() < self.end + BUFFER_BYTES {
            self.buffer.resize((2 * self.end).max(BUFFER_BYTES), 0);
        }
        loop {
            match self.reader.read(&mut self.buffer[self.end..]) {
                Ok(read) => {
                    self.end += read;
                    return Ok(read > 0);
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// The beginning of a line, for an error.
fn shown(line: &str) -> String {
    match line.char_indices().nth(SHOWN_CHARS) {
        None => line.to_owned(),
        Some((end, _)) => format!("{}...", &line[..end]),
    }
}

fn unreadable(error: &std::io::Error, line: u64) -> Problem {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => {
            Problem::line(line, "", "the file is cut short: its gzip data ends early")
                .help("copy or download it again")
        }
        std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidData => {
            Problem::line(line, "", format!("the gzip data is damaged: {error}"))
                .help("copy or download it again")
        }
        _ => Problem::line(line, "", format!("the file cannot be read: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Place;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).expect("a vector takes all");
        encoder.finish().expect("a vector takes all")
    }

    fn all(bytes: Vec<u8>) -> Result<Vec<(u64, String)>, Problem> {
        // A buffer of one byte, as the slowest pipe would be.
        let mut lines = Lines::new(Box::new(BufReader::with_capacity(1, Cursor::new(bytes))))?;
        let mut out = Vec::new();
        while let Some(Line { number, text }) = lines.next_line()? {
            out.push((number, text.to_owned()));
        }
        Ok(out)
    }

    #[test]
    fn plain_zipped_and_twice_zipped_files_read_alike() {
        let expected = vec![(1, "a".to_owned()), (3, "b".to_owned()), (4, "c".to_owned())];
        let text = b"\xef\xbb\xbfa\r\n\nb\nc";
        assert_eq!(all(text.to_vec()), Ok(expected.clone()));
        assert_eq!(all(gzip(text)), Ok(expected.clone()));
        let members = [gzip(b"\xef\xbb\xbfa\r\n\n"), gzip(b"b\nc")].concat();
        assert_eq!(all(members), Ok(expected));
        assert_eq!(all(vec![]), Ok(vec![]));
        assert_eq!(all(b"a".to_vec()), Ok(vec![(1, "a".to_owned())]));
    }

    #[test]
    fn damage_is_an_error_with_its_line() {
        let whole = gzip(b"one\ntwo\nthree\n");
        let cut = all(whole[..whole.len() - 9].to_vec()).expect_err("a cut file");
        assert!(cut.message.contains("cut short"), "{cut}");
        let mut damaged = whole.clone();
        damaged[14] ^= 0xff;
        let damaged = all(damaged).expect_err("a damaged file");
        assert!(damaged.message.contains("damaged") || damaged.message.contains("cut short"), "{damaged}");
        let latin = all(b"ok\ncaf\xe9\n".to_vec()).expect_err("no UTF-8");
        assert!(matches!(latin.place, Place::Line { line: 2, .. }), "{latin:?}");
    }

    #[test]
    fn a_line_without_end_is_refused_before_it_fills_memory() {
        let endless = BufReader::new(std::io::repeat(b'7'));
        let problem = Lines::new(Box::new(endless))
            .and_then(|mut lines| lines.next_line().map(|_| ()))
            .expect_err("endless");
        assert!(problem.message.contains("16 MiB"), "{problem}");
    }
}
