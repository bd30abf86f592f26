//! Poison: user code that fails on some messages, by the seed, until somebody mends it.
//!
//! Handlers of a simulated service call [`strike`] or [`fails`] with a place and with what they are about. Which of those
//! are poisoned is drawn anew at each *deployment*; in between the same message fails in the same place every time, as it
//! does in life. It is kept by thread: a simulation has one.

use std::{cell::RefCell, fmt::Display, sync::Once, time::Duration};

use factum_core::error::{HandlerError, NotYet};
use fastrand::Rng;

#[derive(Clone, Copy, Default)]
struct State {
    seed: u64,
    per_mille: u64,
    hits: u64,
    too_early: u64,
}

thread_local! {
    static POISON: RefCell<State> = const { RefCell::new(State { seed: 0, per_mille: 0, hits: 0, too_early: 0 }) };
}

/// From now on so many of a thousand messages fail in each place, others than before.
pub(super) fn deploy(random: &mut Rng, per_mille: u64) {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let text = info.payload().downcast_ref::<String>();
            if !text.is_some_and(|text| text.starts_with(SAID)) {
                before(info);
            }
        }));
    });
    let seed = random.u64(..);
    POISON.with_borrow_mut(|poison| (poison.seed, poison.per_mille) = (seed, per_mille));
}

/// Everything is mended.
pub(super) fn heal() {
    POISON.with_borrow_mut(|poison| poison.per_mille = 0);
}

/// Does something as if all were mended.
pub(super) fn mended<T>(act: impl FnOnce() -> T) -> T {
    let before = POISON.with_borrow_mut(|poison| std::mem::take(&mut poison.per_mille));
    let done = act();
    POISON.with_borrow_mut(|poison| poison.per_mille = before);
    done
}

/// How often something was hit, and how often a handler said that it was too early; counted anew from now on.
pub(super) fn take_hits() -> (u64, u64) {
    POISON.with_borrow_mut(|poison| (std::mem::take(&mut poison.hits), std::mem::take(&mut poison.too_early)))
}

/// What every poisoned handler says.
const SAID: &str = "poison in ";
/// How long a message waits whose handler says that it is too early.
const TOO_EARLY: Duration = Duration::from_secs(120);

fn hits(place: &str, what: &dyn Display) -> bool {
    POISON.with_borrow_mut(|poison| {
        if poison.per_mille == 0 {
            return false;
        }
        let mut random = Rng::with_seed(poison.seed);
        for byte in place.bytes().chain(what.to_string().bytes()) {
            random = Rng::with_seed(random.u64(..) ^ u64::from(byte));
        }
        let hit = random.u64(..1_000) < poison.per_mille;
        poison.hits += u64::from(hit);
        hit
    })
}

/// Panics if this message is poisoned in this place.
///
/// # Panics
/// That is what it is for.
#[allow(clippy::panic, reason = "a panicking handler is what is simulated")]
pub fn strike(place: &str, what: impl Display) {
    if hits(place, &what) {
        panic!("{SAID}{place}: {what}");
    }
}

/// Fails if this message is poisoned in this place: by an error, by a panic, or by saying that it is too early.
///
/// # Errors
/// That is what it is for.
#[allow(clippy::panic, reason = "a panicking handler is what is simulated")]
pub fn fails(place: &str, what: impl Display) -> Result<(), HandlerError> {
    if !hits(place, &what) {
        return Ok(());
    }
    let said = format!("{SAID}{place}: {what}");
    match said.bytes().fold(0_u8, u8::wrapping_add) % 3 {
        0 => Err(HandlerError::Failed(said)),
        1 => {
            POISON.with_borrow_mut(|poison| poison.too_early += 1);
            Err(NotYet::at_most(TOO_EARLY).into())
        }
        _ => panic!("{said}"),
    }
}
