//! apt.conf(5), as far as finding an option's value needs it.

use std::path::Path;

use super::sources::parts;

/// Options in the order they were set; names lower-case, parts joined by `::`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conf {
    options: Vec<(String, String)>,
}

impl Conf {
    /// Reads `apt.conf.d/*` and then `apt.conf` below `etc_apt`, as apt does.
    /// What cannot be read is skipped.
    pub fn read(etc_apt: &Path) -> Conf {
        let folder = etc_apt.join("apt.conf.d");
        let mut files = parts(&folder, &["", "conf"]);
        files.push(etc_apt.join("apt.conf"));
        let mut conf = Conf::default();
        for bytes in files.iter().filter_map(|path| std::fs::read(path).ok()) {
            conf.parse(&String::from_utf8_lossy(&bytes));
        }
        conf
    }

    /// The last value set for `name`, in any case.
    pub fn get(&self, name: &str) -> Option<&str> {
        let name = name.to_ascii_lowercase();
        self.options
            .iter()
            .rev()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.as_str())
    }

    /// Adds the options of one file's text. Text of no meaning is passed over:
    /// apt complains about it itself.
    pub fn parse(&mut self, text: &str) {
        let mut scopes: Vec<String> = Vec::new();
        let mut words: Vec<String> = Vec::new();
        for token in Tokens(text) {
            match token {
                Token::Word(word) => words.push(word),
                Token::Open => {
                    scopes.push(words.join("::"));
                    words.clear();
                }
                Token::Close => {
                    scopes.pop();
                    words.clear();
                }
                Token::End => self.set(&scopes, std::mem::take(&mut words)),
            }
        }
    }

    fn set(&mut self, scopes: &[String], mut words: Vec<String>) {
        // One word alone is an item of a list, and no list is asked for here.
        if words.len() < 2 {
            return;
        }
        let value = words.pop().unwrap_or_default();
        let path = scopes
            .iter()
            .chain(&words)
            .map(|part| part.trim_matches(':').to_ascii_lowercase());
        let key = path
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join("::");
        self.options.push((key, value));
    }
}

enum Token {
    Word(String),
    Open,
    Close,
    End,
}

/// Splits into words, braces and semicolons; comments are `//`, `/* */` and `#`.
struct Tokens<'a>(&'a str);

impl Iterator for Tokens<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        loop {
            self.0 = self.0.trim_start();
            if self.0.starts_with("//") || self.0.starts_with('#') {
                self.0 = self.0.split_once('\n').map_or("", |(_, rest)| rest);
            } else if let Some(comment) = self.0.strip_prefix("/*") {
                self.0 = comment.split_once("*/").map_or("", |(_, rest)| rest);
            } else {
                break;
            }
        }
        let first = self.0.chars().next()?;
        let single = match first {
            '{' => Some(Token::Open),
            '}' => Some(Token::Close),
            ';' => Some(Token::End),
            _ => None,
        };
        if let Some(token) = single {
            self.0 = &self.0[1..];
            return Some(token);
        }
        Some(Token::Word(self.word()))
    }
}

impl Tokens<'_> {
    fn word(&mut self) -> String {
        if let Some(quoted) = self.0.strip_prefix('"') {
            let (word, rest) = quoted.split_once('"').unwrap_or((quoted, ""));
            self.0 = rest;
            return word.to_owned();
        }
        let end = self
            .0
            .find(|c: char| c.is_whitespace() || "{};\"".contains(c))
            .unwrap_or(self.0.len());
        let (word, rest) = self.0.split_at(end);
        self.0 = rest;
        word.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conf(text: &str) -> Conf {
        let mut conf = Conf::default();
        conf.parse(text);
        conf
    }

    #[test]
    fn flat_nested_and_mixed_names_are_one() {
        let conf = conf(
            "// comment\n# another\nAcquire::http::Proxy \"http://p:3142\";\n\
             Acquire { https { Proxy \"DIRECT\"; /* x; */ Timeout 5; }; Retries \"3\"; };\n\
             APT::NeverAutoRemove { \"^linux-.*\"; };\n\
             Acquire::http { Proxy::host \"DIRECT\"; };",
        );
        assert_eq!(conf.get("acquire::HTTP::proxy"), Some("http://p:3142"));
        assert_eq!(conf.get("Acquire::https::Proxy"), Some("DIRECT"));
        assert_eq!(conf.get("Acquire::https::Timeout"), Some("5"));
        assert_eq!(conf.get("Acquire::Retries"), Some("3"));
        assert_eq!(conf.get("Acquire::http::Proxy::host"), Some("DIRECT"));
        assert_eq!(conf.get("APT::NeverAutoRemove"), None);
    }

    #[test]
    fn later_settings_win_and_garbage_is_survived() {
        let conf = conf("A \"1\";\nA \"2\";\n}}}} ; { B \"x\" ; \" unclosed");
        assert_eq!(conf.get("a"), Some("2"));
        assert_eq!(conf.get("b"), Some("x"));
    }

    #[test]
    fn files_are_read_in_apts_order() {
        let folder = tempfile::tempdir().unwrap();
        let parts = folder.path().join("apt.conf.d");
        std::fs::create_dir(&parts).unwrap();
        std::fs::write(parts.join("10first"), "X \"1\"; Y \"1\";").unwrap();
        std::fs::write(parts.join("20second.conf"), "Y \"2\"; Z \"2\";").unwrap();
        std::fs::write(parts.join("30third.bak"), "X \"bad\";").unwrap();
        std::fs::write(folder.path().join("apt.conf"), "Z \"3\";").unwrap();
        let conf = Conf::read(folder.path());
        assert_eq!(
            (conf.get("X"), conf.get("Y"), conf.get("Z")),
            (Some("1"), Some("2"), Some("3"))
        );
    }
}
