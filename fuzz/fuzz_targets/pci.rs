//! See `isoform_fuzz::pci`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| isoform_fuzz::pci::run(data));
