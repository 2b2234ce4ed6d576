//! What was not done, and why. A skip is never silent: it is printed where it
//! happens, again at the end of `cargo xtask test`, and is a failure where the
//! machine is supposed to have everything.

use std::sync::Mutex;

static NOTED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// What a test prints in front of the name of what it skips.
const MARK: &str = "skipped: ";

/// What a line of a test's output says was skipped. The line may begin with the
/// harness's own words, which end so when tests run one at a time.
pub(crate) fn said(line: &str) -> Option<&str> {
    let (before, what) = line.split_once(MARK)?;
    (before.is_empty() || before.ends_with("... ")).then_some(what)
}

/// Says on standard output that `what` was not done, and why.
pub(crate) fn note(what: &str, why: &str) {
    let line = format!("{what}: {why}");
    println!("{MARK}{line}");
    record(line);
}

/// Remembers what a test said was skipped.
pub(crate) fn record(line: String) {
    NOTED.lock().unwrap_or_else(|e| e.into_inner()).push(line);
}

/// All that was noted so far.
pub(crate) fn all() -> Vec<String> {
    NOTED.lock().unwrap_or_else(|e| e.into_inner()).clone()
}

/// Whether skips are failures: a machine of continuous integration has everything,
/// and so has one whose owner says so.
pub(crate) fn are_failures() -> bool {
    let set = |name: &str, value: &str| std::env::var(name).is_ok_and(|v| v == value);
    set("CI", "true") || set("ISOFORM_REQUIRE_GUESTS", "1")
}

#[cfg(test)]
mod tests {
    use super::said;

    #[test]
    fn skips_are_heard() {
        assert_eq!(said("skipped: a: b"), Some("a: b"));
        assert_eq!(said("test x ... skipped: a: b"), Some("a: b"));
        assert_eq!(said("lines are skipped: always"), None);
        assert_eq!(said("test x ... ok"), None);
    }
}
