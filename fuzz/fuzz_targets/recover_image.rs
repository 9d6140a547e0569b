//! A log whose files were tampered with: opened, read, verified, appended to.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| esker_fuzz::recover_image::run(data));
