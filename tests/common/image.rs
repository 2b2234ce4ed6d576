//! The image `debian:riscv64`, from the person's cache or the network.

use isoform_images::{Error, Image, Options, Silent, fetch};
use std::sync::OnceLock;

/// The catalogue's name.
pub(crate) const DEBIAN: &str = "debian:riscv64";

/// Says that a test is skipped, and why; with `ISOFORM_REQUIRE_GUESTS=1` that is a
/// failure.
pub(crate) fn skip(test: &str, why: &str) {
    let required = std::env::var("ISOFORM_REQUIRE_GUESTS").is_ok_and(|v| v == "1");
    assert!(!required, "{test}: {why}, but ISOFORM_REQUIRE_GUESTS=1");
    // Past the harness, which keeps to itself what a passing test prints.
    use std::io::Write;
    let said = writeln!(std::io::stdout(), "skipped: {test} ({why})");
    said.expect("standard output is there");
}

/// What came of asking the archive; why not, where no mirror can be reached.
pub(crate) fn reached<T>(asked: Result<T, Error>) -> Result<T, String> {
    match asked {
        Ok(got) => Ok(got),
        Err(
            error @ (Error::NoMirror { .. }
            | Error::Unreachable { .. }
            | Error::Interrupted { .. }
            | Error::NotDebian { .. }
            | Error::Status { .. }
            | Error::AllMirrors { .. }),
        ) => Err(error.to_string()),
        Err(error) => panic!("{error}"),
    }
}

/// The image, or `None` and a word about it where no mirror can be reached.
pub(crate) fn debian(test: &str) -> Option<&'static Image> {
    static IMAGE: OnceLock<Result<Image, String>> = OnceLock::new();
    let image = IMAGE.get_or_init(|| reached(fetch(DEBIAN, &Options::new(&Silent))));
    image.as_ref().map_err(|why| skip(test, why)).ok()
}
