//! Planted bugs: the tests must find each of them, or they would not find a real one.
//!
//! They exist only with the feature `sabotage`, which no release build takes, and one at a time is switched on by the
//! environment variable `FACTUM_SABOTAGE`.

#[cfg(all(feature = "sabotage", not(debug_assertions)))]
compile_error!("the feature `sabotage` plants bugs for tests: a release build must not have it");

/// Whether this bug is in.
#[cfg(feature = "sabotage")]
pub(crate) fn is(bug: &str) -> bool {
    static CHOSEN: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    CHOSEN.get_or_init(|| std::env::var("FACTUM_SABOTAGE").ok()).as_deref() == Some(bug)
}

/// No bug is in.
#[cfg(not(feature = "sabotage"))]
pub(crate) const fn is(_: &str) -> bool {
    false
}
