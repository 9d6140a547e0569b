//! Sequences of calls on a log with crashes among them, against a model.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| esker_fuzz::log_ops::run(data));
