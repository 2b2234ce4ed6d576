//! See `isoform_fuzz::forms`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| isoform_fuzz::forms::run(data));
