//! See `isoform_fuzz::nvme`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| isoform_fuzz::nvme::run(data));
