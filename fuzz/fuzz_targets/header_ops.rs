//! Sequences of operations on the packed word, against a model.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| esker_fuzz::header_ops::run(data));
