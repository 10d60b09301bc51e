#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| egoat_fuzz::check("shares_log", input));
