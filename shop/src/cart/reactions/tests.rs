//! A cart's time runs from its last change.

use factum_testing::scenario::{NOW, happened};

use super::*;
use crate::contracts::cart::{CartAbandoned, CartCreated, CartItemRemoved};

const DAY: Duration = Duration::from_secs(86_400);

#[test]
fn each_change_moves_the_time_at_which_a_cart_is_given_up() {
    for event in [
        happened(CartCreated { cart_id: "b".into(), customer_id: None }),
        happened(CartItemRemoved { cart_id: "b".into(), sku: "TEA".into(), quantity: None }),
    ] {
        let timers = event.given_to(&abandoning(DAY)).timers::<AbandonCart>();
        let [(name, after, abandon)] = &timers[..] else { panic!("{timers:?}") };
        assert_eq!((name.as_str(), *after, abandon.cart_id.as_str()), ("abandon", DAY, "b"));
        assert_eq!((abandon.reason.as_str(), abandon.unchanged_since), (TIMED_OUT, Some(NOW)));
    }
}

#[test]
fn what_has_ended_has_no_time_any_more() {
    let reason = "customer".to_owned();
    let ended = happened(CartAbandoned { cart_id: "b".into(), customer_id: None, reason, items: Vec::new() });
    let follows = ended.given_to(&abandoning(DAY));
    assert_eq!((follows.cancelled(), follows.effects.len()), (vec!["abandon"], 1));
}
