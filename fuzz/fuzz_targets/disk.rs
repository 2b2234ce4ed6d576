//! See `isoform_fuzz::disk`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| isoform_fuzz::disk::run(data));
