//! `key=value,key=value` as QEMU writes it.
//!
//! A comma that belongs to a value is doubled (`file=a,,b.img`). The errors are
//! whole sentences without the option's name, which clap puts before them.

/// One item of a list: a key and, where an `=` follows it, a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// What stands before the `=`, or the whole item.
    pub key: String,
    /// What stands after it.
    pub value: Option<String>,
}

/// Splits `text` at single commas; doubled ones become one.
///
/// # Errors
/// An empty item, as in `a=1,` or `=x`.
pub fn split(text: &str) -> Result<Vec<Word>, String> {
    let mut items = vec![String::new()];
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let doubled = c == ',' && chars.next_if_eq(&',').is_some();
        match items.last_mut() {
            Some(item) if c != ',' || doubled => item.push(c),
            _ => items.push(String::new()),
        }
    }
    items
        .into_iter()
        .map(|item| {
            let (key, value) = match item.split_once('=') {
                Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                None => (item, None),
            };
            if key.is_empty() {
                return Err(format!(
                    "`{text}` has an item without a name (a comma inside a value is written `,,`)"
                ));
            }
            Ok(Word { key, value })
        })
        .collect()
}

/// Reads `on` or `off`.
///
/// # Errors
/// Anything else.
pub fn switch(key: &str, value: Option<&str>) -> Result<bool, String> {
    match value {
        Some("on" | "true" | "yes") => Ok(true),
        Some("off" | "false" | "no") => Ok(false),
        Some(other) => Err(format!("`{key}` is on or off, not `{other}`")),
        None => Err(format!("`{key}` needs a value: {key}=on or {key}=off")),
    }
}

/// The value of an item that must have one.
///
/// # Errors
/// No value, or an empty one.
pub fn value(word: &Word) -> Result<&str, String> {
    match word.value.as_deref() {
        Some(value) if !value.is_empty() => Ok(value),
        _ => Err(format!("`{0}` needs a value: {0}=…", word.key)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(key: &str, value: Option<&str>) -> Word {
        Word {
            key: key.into(),
            value: value.map(str::to_owned),
        }
    }

    #[test]
    fn doubled_commas_belong_to_the_value() {
        let cases = [
            ("a", vec![word("a", None)]),
            ("a=1,b", vec![word("a", Some("1")), word("b", None)]),
            (
                "f=x,,y.img,b=",
                vec![word("f", Some("x,y.img")), word("b", Some(""))],
            ),
            (
                "f=a,,,b=2",
                vec![word("f", Some("a,")), word("b", Some("2"))],
            ),
            ("f=x=y", vec![word("f", Some("x=y"))]),
        ];
        for (text, words) in cases {
            assert_eq!(split(text), Ok(words), "{text}");
        }
        for bad in ["", "a=1,", ",a=1", "=x", "a=1,=2"] {
            assert!(split(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn switches() {
        assert_eq!(switch("x", Some("on")), Ok(true));
        assert_eq!(switch("x", Some("off")), Ok(false));
        assert!(switch("x", Some("maybe")).is_err());
        assert!(switch("x", None).is_err());
    }
}
