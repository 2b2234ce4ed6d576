//! Isoform.
fn main() {}
