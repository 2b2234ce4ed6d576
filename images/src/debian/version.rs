//! Order of Debian's version numbers (deb-version(7)).

use std::cmp::Ordering;

/// Compares `[epoch:]upstream[-revision]` as dpkg does. Any text is accepted.
pub fn compare(a: &str, b: &str) -> Ordering {
    let (a, b) = (split(a), split(b));
    a.0.cmp(&b.0)
        .then_with(|| part(a.1, b.1))
        .then_with(|| part(a.2, b.2))
}

fn split(version: &str) -> (u64, &str, &str) {
    let (epoch, rest) = version.split_once(':').unwrap_or(("0", version));
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
    (epoch.parse().unwrap_or(0), upstream, revision)
}

/// Alternates between stretches of other characters and numbers.
fn part(mut a: &str, mut b: &str) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        let (text_a, rest_a) = stretch(a, |c| !c.is_ascii_digit());
        let (text_b, rest_b) = stretch(b, |c| !c.is_ascii_digit());
        let (number_a, rest_a) = stretch(rest_a, |c| c.is_ascii_digit());
        let (number_b, rest_b) = stretch(rest_b, |c| c.is_ascii_digit());
        let order = text(text_a, text_b).then_with(|| number(number_a, number_b));
        if order.is_ne() {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
    Ordering::Equal
}

fn stretch(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !belongs(c)).unwrap_or(text.len()))
}

/// `~` before the end, the end before letters, letters before the rest.
fn text(a: &str, b: &str) -> Ordering {
    let weight = |c: Option<char>| match c {
        Some('~') => (0, '~'),
        None => (1, ' '),
        Some(c) if c.is_ascii_alphabetic() => (2, c),
        Some(c) => (3, c),
    };
    let (mut a, mut b) = (a.chars(), b.chars());
    loop {
        let (x, y) = (a.next(), b.next());
        let order = weight(x).cmp(&weight(y));
        if order.is_ne() || (x.is_none() && y.is_none()) {
            return order;
        }
    }
}

/// Without leading zeros, the longer number is the greater one.
fn number(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// In rising order.
    const RISING: &[&str] = &[
        "0~~",
        "0~",
        "0.9",
        "1~rc1",
        "1",
        "1-1",
        "1-1+b1",
        "1-1+b9",
        "1-1+b10",
        "1a",
        "1+x",
        "1.0.1",
        "1.1",
        "6.12.94-1",
        "6.12.107-1",
        "6.12.107-2",
        "10",
        "1:0.1",
        "2:0",
    ];

    #[test]
    fn versions_rise_as_listed() {
        for (i, a) in RISING.iter().enumerate() {
            for (j, b) in RISING.iter().enumerate() {
                assert_eq!(compare(a, b), i.cmp(&j), "{a} {b}");
            }
        }
        assert_eq!(compare("1.00", "1.0"), Ordering::Equal);
        assert_eq!(compare("0:1-", "1"), Ordering::Equal);
    }

    #[test]
    fn dpkg_agrees() {
        if Command::new("dpkg").arg("--version").output().is_err() {
            println!("skipped: dpkg_agrees (no dpkg on this machine)");
            return;
        }
        for pair in RISING.windows(2) {
            let status = Command::new("dpkg")
                .args(["--compare-versions", pair[0], "lt", pair[1]])
                .status();
            assert!(status.unwrap().success(), "{pair:?}");
        }
    }
}
