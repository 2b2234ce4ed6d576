//! The independent judge of checksums: the same kernels built for the host.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::works::{self, Work};
use crate::{process, skips};

const COMPILER: &str = "cc";
const SOURCES: &[&str] = &[
    "user/main.c",
    "bench/integer.c",
    "bench/float.c",
    "bench/chase.c",
];

/// What the host computes for the portable groups; nothing where it has no compiler.
pub(super) fn works(scratch: &Path, groups: &[&str]) -> Result<Vec<Work>> {
    if !process::works(COMPILER, "--version") {
        skips::note("bench peers", "no cc: checksums have no native judge");
        return Ok(Vec::new());
    }
    let program = scratch.join("native");
    let mut compiler = Command::new(COMPILER);
    compiler.current_dir(crate::repository().join("test-roms"));
    compiler.args(["-DNATIVE", "-O2", "-ffp-contract=off", "-fno-math-errno"]);
    compiler.args(SOURCES).arg("-lm").arg("-o").arg(&program);
    process::visible(&mut compiler)?;
    let output = process::captured(Command::new(&program).args(groups))?;
    works::read(&String::from_utf8_lossy(&output.stdout))
}
