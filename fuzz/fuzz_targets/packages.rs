//! See `isoform_fuzz::packages`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| isoform_fuzz::packages::run(data));
