//! See `isoform_fuzz::code`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| isoform_fuzz::code::run(data));
