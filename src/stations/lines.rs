//! Reads a file line by line and keeps only one line in memory.

use std::io::{self, BufRead};

/// Maximum length of a line, in bytes. It limits the memory for a file without line ends, for example a binary one.
const MAX_BYTES: usize = 4096;

/// Reads lines that end with LF, CRLF or CR.
#[derive(Debug)]
pub(super) struct Lines<R> {
    from: R,
    /// Number of the current line, counted from 1.
    number: u64,
    /// Whether the last byte was a CR. A LF that follows belongs to the same line end.
    is_after_cr: bool,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(from: R) -> Self {
        Self { from, number: 0, is_after_cr: false }
    }

    /// Replaces the content of `line` with the next line, without its line end. Returns `false` at the end of the file.
    pub(super) fn next_into(&mut self, line: &mut Vec<u8>) -> io::Result<bool> {
        line.clear();
        self.number += 1;
        loop {
            let bytes = self.from.fill_buf()?;
            let Some(first) = bytes.first() else { return Ok(!line.is_empty()) };
            if std::mem::take(&mut self.is_after_cr) && *first == b'\n' {
                self.from.consume(1);
                continue;
            }
            let end = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
            let length = end.unwrap_or(bytes.len());
            if line.len() + length > MAX_BYTES {
                return Err(io::Error::other(format!(
                    "line {} is longer than {MAX_BYTES} bytes; a station file has one row per line",
                    self.number
                )));
            }
            line.extend_from_slice(&bytes[..length]);
            self.is_after_cr = end.is_some_and(|end| bytes[end] == b'\r');
            self.from.consume(length + usize::from(end.is_some()));
            if end.is_some() {
                return Ok(true);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Read as _};

    use super::*;

    #[test]
    fn lines_do_not_depend_on_the_buffer_size() {
        for size in 1..20 {
            let mut lines = Lines::new(BufReader::with_capacity(size, &b"one\r\ntwo\rthree\n\nfive\r\n"[..]));
            let (mut line, mut found) = (Vec::new(), Vec::new());
            while lines.next_into(&mut line).unwrap() {
                found.push(String::from_utf8(line.clone()).unwrap());
            }

            assert_eq!(found, ["one", "two", "three", "", "five"], "{size}");
        }
    }

    #[test]
    fn a_line_of_more_than_4096_bytes_is_an_error_with_its_number() {
        let mut lines = Lines::new(BufReader::new(b"one\r\n".as_slice().chain(io::repeat(b'x'))));
        assert!(lines.next_into(&mut Vec::new()).unwrap());

        assert_eq!(
            lines.next_into(&mut Vec::new()).unwrap_err().to_string(),
            "line 2 is longer than 4096 bytes; a station file has one row per line"
        );
    }
}
