//! Any bytes in the files of a log: segments, checkpoints, archive.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Err(problem) = factum_testing::fuzz::recovery(input) {
        panic!("{problem}");
    }
});
