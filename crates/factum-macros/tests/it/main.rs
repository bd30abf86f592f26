//! What the derives make, seen from outside: wire shape, dispatch, schema, and the sentences of refused code.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests, which clippy.toml does not see")]

mod payloads;
mod rejections;
mod rows;

/// Each file in `tests/ui` fails to build with exactly the errors in the `.stderr` beside it.
/// `TRYBUILD=overwrite cargo test -p factum-macros` rewrites them.
#[test]
fn refuses_wrong_code_with_a_sentence() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
