//! See `isoform_fuzz::kept`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| isoform_fuzz::kept::run(data));
