//! Planted bugs: the tests must find each of them, or they would not find a real one.
//!
//! They exist only with the feature `sabotage`, which no release build takes, and one at a time is switched on by the
//! environment variable `FACTUM_SABOTAGE`.

use factum_core::service::Service;

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

/// Applies each upcaster twice, if that bug is in.
#[cfg(feature = "sabotage")]
pub(crate) fn upcasters(mut services: Vec<Service>) -> Vec<Service> {
    for upcast in services.iter_mut().flat_map(|service| &mut service.upcasts) {
        if is("upcaster-applied-twice") {
            let once = upcast.raise.clone();
            upcast.raise = std::sync::Arc::new(move |data| once(once(data)));
        }
    }
    services
}

/// No bug is in.
#[cfg(not(feature = "sabotage"))]
pub(crate) const fn upcasters(services: Vec<Service>) -> Vec<Service> {
    services
}
