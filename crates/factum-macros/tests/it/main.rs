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

/// What is missing is told with the way to it. Around our sentences stand the compiler's own, which change: they are
/// compared with the version that the workspace names, and with another the test says that it was skipped.
#[test]
fn a_missing_trait_is_told_with_the_way_to_it() {
    let compiler = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let version = std::process::Command::new(compiler).arg("--version").output().unwrap().stdout;
    let version = String::from_utf8(version).unwrap();
    if !version.starts_with(concat!("rustc ", env!("CARGO_PKG_RUST_VERSION"), ".")) {
        println!("skipped: it needs rustc {}, and this is {version}", env!("CARGO_PKG_RUST_VERSION"));
        return;
    }
    trybuild::TestCases::new().compile_fail("tests/ui/hints/*.rs");
}
