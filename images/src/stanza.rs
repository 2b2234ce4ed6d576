//! Stanzas of `Field: value` lines: the common form of apt's `*.sources`,
//! `Release` and `Packages` files, and of this crate's own manifests.
//!
//! The form is deb822(5): stanzas are separated by blank lines, a line that
//! begins with a space or tab continues the field above it, names compare
//! without case. Reading is streaming, since `Packages` unpacks to tens of MB.

use std::io::BufRead;

use crate::error::Malformed;

/// No stanza of a real archive comes near this; a longer one is an attack or
/// not an index at all.
const MAX_STANZA: usize = 1 << 20;

/// One stanza, fields in the order of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stanza {
    fields: Vec<(String, String)>,
}

impl Stanza {
    /// The value of `name` (any case), lines joined by `\n`, each trimmed.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// As [`get`](Self::get), but an absent field is an objection.
    ///
    /// # Errors
    /// Names the missing field.
    pub fn need(&self, name: &str) -> Result<&str, Malformed> {
        self.get(name)
            .ok_or_else(|| Malformed::new(format!("there is no field `{name}`")))
    }

    fn push_line(&mut self, line: &str, number: u64) -> Result<(), Malformed> {
        if line.starts_with([' ', '\t']) {
            let Some((_, value)) = self.fields.last_mut() else {
                return Err(Malformed::new(format!(
                    "line {number} continues a field, but none precedes it"
                )));
            };
            value.push('\n');
            value.push_str(line.trim());
            return Ok(());
        }
        let Some((name, value)) = line.split_once(':') else {
            return Err(Malformed::new(format!(
                "line {number} is no `Field: value` line"
            )));
        };
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Malformed::new(format!(
                "line {number} has no proper field name"
            )));
        }
        self.fields.push((name.to_owned(), value.trim().to_owned()));
        Ok(())
    }
}

/// Whether `#` lines are comments (apt's configuration) or an error (indexes).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comments {
    /// Lines that begin with `#` are skipped.
    Skipped,
    /// They are lines like any other, so mostly malformed.
    Refused,
}

/// Yields the stanzas of `input` one by one.
#[derive(Debug)]
pub struct Stanzas<R> {
    input: R,
    comments: Comments,
    line: Vec<u8>,
    number: u64,
}

impl<R: BufRead> Stanzas<R> {
    /// Reads from `input`.
    pub fn new(input: R, comments: Comments) -> Stanzas<R> {
        Stanzas {
            input,
            comments,
            line: Vec::new(),
            number: 0,
        }
    }

    /// The next stanza, or `None` at the end.
    ///
    /// # Errors
    /// A line of another form, one stanza of more than 1 MiB, text that is not
    /// UTF-8, or the reader's own error.
    pub fn next_stanza(&mut self) -> Result<Option<Stanza>, Malformed> {
        let mut stanza = Stanza::default();
        let mut size = 0;
        while self.read_line(MAX_STANZA - size)? {
            size += self.line.len();
            let line = std::str::from_utf8(&self.line)
                .map_err(|_| Malformed::new(format!("line {} is not UTF-8", self.number)))?
                .trim_end_matches(['\n', '\r']);
            if line.starts_with('#') && self.comments == Comments::Skipped {
                continue;
            }
            if line.trim().is_empty() {
                if stanza.fields.is_empty() {
                    continue;
                }
                return Ok(Some(stanza));
            }
            stanza.push_line(line, self.number)?;
        }
        Ok((!stanza.fields.is_empty()).then_some(stanza))
    }

    fn read_line(&mut self, room: usize) -> Result<bool, Malformed> {
        use std::io::Read as _;
        self.line.clear();
        self.number += 1;
        let mut limited = self.input.by_ref().take(room as u64 + 1);
        let read = limited.read_until(b'\n', &mut self.line)?;
        if read > room {
            return Err(Malformed::new(format!(
                "the stanza at line {} is longer than 1 MiB",
                self.number
            )));
        }
        Ok(read != 0)
    }
}

/// The first stanza of a small text.
///
/// # Errors
/// As [`Stanzas::next_stanza`]; also when there is none.
pub fn first(text: &[u8]) -> Result<Stanza, Malformed> {
    Stanzas::new(text, Comments::Refused)
        .next_stanza()?
        .ok_or_else(|| Malformed::new("it is empty"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &[u8], comments: Comments) -> Result<Vec<Stanza>, Malformed> {
        let mut stanzas = Stanzas::new(text, comments);
        let mut found = Vec::new();
        while let Some(stanza) = stanzas.next_stanza()? {
            found.push(stanza);
        }
        Ok(found)
    }

    #[test]
    fn stanzas_are_split_at_blank_lines_and_continued_by_indent() {
        let text = b"\n\nA: 1\nB:  two \n three\n\t four\n \n\n\nC:\r\n x\r\n";
        let found = all(text, Comments::Refused).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].get("a"), Some("1"));
        assert_eq!(found[0].get("B"), Some("two\nthree\nfour"));
        assert_eq!(found[1].get("C"), Some("\nx"));
        assert_eq!(found[1].get("A"), None);
    }

    #[test]
    fn comments_hide_lines_inside_a_field_too() {
        let text = b"# head\nURIs: a\n# between\n b\n";
        assert_eq!(
            all(text, Comments::Skipped).unwrap()[0].get("URIs"),
            Some("a\nb")
        );
        assert!(all(text, Comments::Refused).is_err());
    }

    #[test]
    fn what_is_no_stanza_is_refused_with_its_line() {
        for (text, part) in [
            (&b" x\n"[..], "line 1 continues"),
            (b"A: 1\nnonsense\n", "line 2 is no"),
            (b": v\n", "line 1 has no proper"),
            (b"A b: v\n", "line 1 has no proper"),
            (b"A: \xff\n", "line 1 is not UTF-8"),
        ] {
            let error = all(text, Comments::Refused).unwrap_err().0;
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn an_endless_line_or_stanza_stops_at_the_limit() {
        let line = [b"A: ".to_vec(), vec![b'x'; MAX_STANZA]].concat();
        assert!(
            all(&line, Comments::Refused)
                .unwrap_err()
                .0
                .contains("longer than 1 MiB")
        );
        let lines = b"A: 123456\n".repeat(MAX_STANZA / 10 + 1);
        assert!(
            all(&lines, Comments::Refused)
                .unwrap_err()
                .0
                .contains("longer than 1 MiB")
        );
    }
}
