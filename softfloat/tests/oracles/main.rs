//! The crate against independent implementations and against tables.
//!
//! `apfloat` compares every operation with LLVM's APFloat, `berkeley` (behind
//! the feature of that name) with Berkeley SoftFloat, `host` with this
//! machine's FPU, `exhaustive` walks all of binary16, `table` holds
//! hand-picked cases with the value and flags the standard demands.
//! The random operands come from `cases`: seeded, and mostly edge cases.

mod apfloat;
#[cfg(feature = "berkeley")]
mod berkeley;
mod cases;
mod exhaustive;
mod host;
mod reference;
mod table;

/// Without its oracle the comparison is not silently absent: the note goes to
/// the stream itself, since the harness would keep a `println!` to itself.
#[cfg(not(feature = "berkeley"))]
#[test]
fn berkeley() -> std::io::Result<()> {
    use std::io::Write;
    writeln!(
        std::io::stderr(),
        "skipped: softfloat berkeley (needs a C compiler and CMake; run with --features berkeley)"
    )
}
