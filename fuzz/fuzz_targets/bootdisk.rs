//! See `isoform_fuzz::bootdisk`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| isoform_fuzz::bootdisk::run(data));
