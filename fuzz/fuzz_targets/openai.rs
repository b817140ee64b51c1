#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    assert!(vibectl_server::fuzz::run("openai", bytes));
});
