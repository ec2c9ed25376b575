//! The libFuzzer target: `cargo +nightly fuzz run --fuzz-dir broker/amqp/fuzz --features libfuzzer connection`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    amqp_fuzz::fuzz_one(data);
});
