//! Any bytes as the payload of a frame whose header and checksums are right.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Err(problem) = factum_testing::fuzz::frames(input) {
        panic!("{problem}");
    }
});
