//! Lines of a file of any content, in bounded memory.

use std::borrow::Cow;
use std::io::{self, BufRead, ErrorKind};

/// Longest line that is kept, bytes without its line end. The longest titles met in real files have some hundred.
pub const LONGEST_LINE: usize = 64 * 1024;

/// What [`Lines::advance`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A line, to be read by [`Lines::text`].
    Line,
    /// A line of more than [`LONGEST_LINE`] bytes; it was passed over.
    TooLong,
    /// The end of the file.
    End,
}

/// The lines of `source`, one at a time, numbered from 1. A byte order mark in front of the first is dropped.
#[derive(Debug)]
pub struct Lines<R> {
    source: R,
    buffer: Vec<u8>,
    number: usize,
}

impl<R: BufRead> Lines<R> {
    pub fn new(source: R) -> Lines<R> {
        Lines { source, buffer: Vec::new(), number: 0 }
    }

    /// Goes to the next line. Fails only where the source does.
    pub fn advance(&mut self) -> io::Result<Step> {
        self.buffer.clear();
        let mut begun = false;
        let mut too_long = false;
        loop {
            let available = match self.source.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if available.is_empty() && !begun {
                return Ok(Step::End);
            }
            begun = true;
            let end = available.iter().position(|&byte| byte == b'\n');
            let part = &available[..end.unwrap_or(available.len())];
            too_long |= self.buffer.len() + part.len() > LONGEST_LINE;
            if !too_long {
                self.buffer.extend_from_slice(part);
            }
            let last = end.is_some() || available.is_empty();
            let used = part.len() + usize::from(end.is_some());
            self.source.consume(used);
            if last {
                self.number += 1;
                return Ok(if too_long { Step::TooLong } else { Step::Line });
            }
        }
    }

    /// The line without white space around it; bytes that are not UTF-8 become U+FFFD.
    pub fn text(&self) -> Cow<'_, str> {
        let first = self.number == 1;
        let bytes = self.buffer.strip_prefix(b"\xef\xbb\xbf").filter(|_| first).unwrap_or(&self.buffer);
        String::from_utf8_lossy(bytes.trim_ascii())
    }

    /// Number of the line last gone to, from 1; 0 before the first.
    pub fn number(&self) -> usize {
        self.number
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    fn all(bytes: &[u8], capacity: usize) -> Vec<String> {
        let mut lines = Lines::new(BufReader::with_capacity(capacity, bytes));
        let mut found = Vec::new();
        loop {
            match lines.advance().unwrap() {
                Step::Line => found.push(format!("{} {}", lines.number(), lines.text())),
                Step::TooLong => found.push(format!("{} too long", lines.number())),
                Step::End => return found,
            }
        }
    }

    #[test]
    fn lines_are_the_same_however_the_source_is_cut() {
        let bytes = b"\xef\xbb\xbfa=1\r\n\n b\xff\t\nlast";
        for capacity in 1..20 {
            assert_eq!(all(bytes, capacity), ["1 a=1", "2 ", "3 b\u{fffd}", "4 last"]);
        }
        assert!(all(b"", 4).is_empty());
        assert_eq!(all(b"\n", 4), ["1 "]);
    }

    #[test]
    fn an_endless_line_is_passed_over() {
        let mut bytes = vec![b'x'; LONGEST_LINE + 1];
        bytes.extend_from_slice(b"\nnext\n");
        assert_eq!(all(&bytes, 1000), ["1 too long", "2 next"]);
        assert_eq!(all(&vec![b'x'; LONGEST_LINE], 1000).len(), 1);
    }
}
