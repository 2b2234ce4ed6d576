//! See `isoform_fuzz::hart`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| isoform_fuzz::hart::run(data));
