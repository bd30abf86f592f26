//! Any bytes as a cell's key and as a sealed snapshot.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Err(problem) = factum_testing::fuzz::cells(input) {
        panic!("{problem}");
    }
});
