//! Arbitrary bytes through the scanner and every decoder.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| esker_fuzz::format_scan::run(data));
