//! Any bytes as a message: as stores keep it, as JSON, as a CloudEvent.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Err(problem) = factum_testing::fuzz::envelope(input) {
        panic!("{problem}");
    }
});
