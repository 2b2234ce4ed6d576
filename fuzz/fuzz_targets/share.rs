//! See `isoform_fuzz::share`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| isoform_fuzz::share::run(data));
