#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| geophone_fuzz::targets::json(bytes));
