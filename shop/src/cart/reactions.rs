//! What the cart service does when something happens: a cart that nobody changes for long is given up.

use std::time::Duration;

use factum::prelude::*;

use crate::contracts::cart::{AbandonCart, CartEvent, TIMED_OUT};

/// When a cart is given up.
const ABANDON: TimerTo<AbandonCart> = TimerTo::new("abandon");

/// Gives up what nobody has changed for so long. Each change starts the time anew.
pub fn abandoning(after: Duration) -> Reaction {
    let wait = move |event: &Recorded<CartEvent>, fx: &mut Effects| {
        let cart_id = match &event.data {
            CartEvent::Created(e) => &e.cart_id,
            CartEvent::ItemAdded(e) => &e.cart_id,
            CartEvent::ItemRemoved(e) => &e.cart_id,
            CartEvent::CheckedOut(_) | CartEvent::Abandoned(_) => return fx.cancel(ABANDON),
        };
        let (cart_id, reason, unchanged_since) = (cart_id.clone(), TIMED_OUT.to_owned(), Some(event.at()));
        fx.after(ABANDON, after, AbandonCart { cart_id, reason, unchanged_since });
    };
    Reaction::new("abandon", wait).by("cartId").sets(ABANDON)
}

#[cfg(test)]
mod tests;
