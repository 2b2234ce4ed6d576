//! The interpreter: instruction semantics on plain integers.
