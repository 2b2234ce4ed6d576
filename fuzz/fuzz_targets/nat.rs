//! See `isoform_fuzz::nat`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| isoform_fuzz::nat::run(data));
