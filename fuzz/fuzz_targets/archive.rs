//! See `isoform_fuzz::archive`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| isoform_fuzz::archive::run(data));
