//! Any bytes as a file to import.
#![no_main]
#![allow(dead_code, unused_imports, reason = "the shop's tests are made of the same")]

#[path = "../../tests/it/bodies/mod.rs"]
mod bodies;
#[path = "../../tests/it/fuzz.rs"]
mod fuzz;
#[path = "../../tests/it/rows.rs"]
mod rows;
#[path = "../../tests/it/shop.rs"]
mod shop;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    if let Err(problem) = fuzz::files(input) {
        panic!("{problem}");
    }
});
