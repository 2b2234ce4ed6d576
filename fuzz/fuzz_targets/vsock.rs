//! See `isoform_fuzz::vsock`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| isoform_fuzz::vsock::run(data));
