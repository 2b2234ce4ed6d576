//! See `isoform_fuzz::devices`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| isoform_fuzz::devices::run(data));
