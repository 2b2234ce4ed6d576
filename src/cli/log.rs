//! What `-v` shows: log records on standard error, one a line.

use std::io::Write;

/// Starts logging; `verbose` counts the `-v`s. Without any, warnings are shown.
pub(super) fn start(verbose: u8) {
    let level = match verbose {
        0 => log::LevelFilter::Warn,
        1 => log::LevelFilter::Info,
        2 => log::LevelFilter::Debug,
        _ => log::LevelFilter::Trace,
    };
    // Other crates' records are their authors' business until everything is wanted.
    let others = if verbose > 2 {
        level
    } else {
        log::LevelFilter::Warn
    };
    let logger = env_logger::Builder::new()
        .filter_level(others)
        .filter_module("isoform", level)
        .format(|out, record| {
            let level = record.level().as_str().to_ascii_lowercase();
            writeln!(out, "{level}: {}", record.args())
        })
        .try_init();
    // A second start in one process, as in tests, keeps the first.
    drop(logger);
}
