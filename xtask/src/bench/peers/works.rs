//! What the guest program prints: a line for each work, with its checksum and its time.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

/// A work that was done.
#[derive(Debug, PartialEq)]
pub(super) struct Work {
    pub(super) name: String,
    pub(super) checksum: String,
    /// By the guest's own clock.
    pub(super) seconds: f64,
}

/// The works of one run, from lines like `work: integer fib 000000000135ad58 130960981`.
pub(super) fn read(text: &str) -> Result<Vec<Work>> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("work: "));
    lines
        .map(|line| work(line).with_context(|| format!("the guest said {line:?}")))
        .collect()
}

fn work(line: &str) -> Option<Work> {
    let mut words = line.split_whitespace().skip(1);
    let work = Work {
        name: words.next()?.to_owned(),
        checksum: words.next()?.to_owned(),
        seconds: words.next()?.parse::<f64>().ok()? / 1e9,
    };
    words.next().is_none().then_some(work)
}

/// The checksum that each work must come to: whoever tells one first decides.
#[derive(Default)]
pub(super) struct Checksums(BTreeMap<String, (String, &'static str)>);

impl Checksums {
    /// Compares what `who` computed with what others did.
    pub(super) fn check(&mut self, works: &[Work], who: &'static str) -> Result<()> {
        for work in works {
            let entry = || (work.checksum.clone(), who);
            let (sum, first) = self.0.entry(work.name.clone()).or_insert_with(entry);
            ensure!(
                *sum == work.checksum,
                "{}: {who} computed {}, {first} {sum}",
                work.name,
                work.checksum
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn works_are_read() {
        let text = "OpenSBI\r\nwork: integer fib 0a 1500000000\r\n[ 1.0] reboot\n";
        let works = read(text).expect("well-formed");
        let fib = Work {
            name: "fib".into(),
            checksum: "0a".into(),
            seconds: 1.5,
        };
        assert_eq!(works, [fib]);
        assert!(read("work: integer fib 0a").is_err());
        assert!(read("work: integer fib 0a 1 2").is_err());
    }

    #[test]
    fn another_result_is_noticed() {
        let mut sums = Checksums::default();
        let is = |sum| read(&format!("work: x y {sum} 1")).expect("well-formed");
        sums.check(&is("aa"), "the host").expect("the first");
        sums.check(&is("aa"), "QEMU").expect("the same");
        let error = sums.check(&is("ab"), "QEMU").expect_err("another");
        assert_eq!(error.to_string(), "y: QEMU computed ab, the host aa");
    }
}
