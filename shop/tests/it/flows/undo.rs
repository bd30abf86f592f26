//! Undo: for each row what is let go of, in which order, what the customer is told, and that nothing is left over.

use std::{collections::BTreeSet, iter::repeat_with};

use factum::{envelope::Kind, stream::Position};
use serde_json::json;

use super::{ann, available, ends, is_well, log, placed, told_of};
use crate::{
    gateways::{Outside, Trouble},
    notifications::words,
    shop::Shop,
};

/// Commands that undo.
const UNDO: [&str; 3] = ["shipping.cancel", "payment.void", "inventory.release"];

/// What goes wrong, and how it has to end.
struct Case {
    name: &'static str,
    /// What is wanted.
    of: (&'static str, u32),
    trouble: fn(&Outside),
    ends: (&'static str, &'static str),
    /// In reverse, and only what was sent; of a step that was refused there is nothing.
    undone: &'static [&'static str],
    told: &'static [&'static str],
}

fn none(_: &Outside) {}

fn many(outside: &Outside, what: &str, trouble: fn() -> Trouble) {
    outside.trouble(what, repeat_with(trouble).take(20));
}

const CANCELLED: [&str; 3] = ["email order_created sent", "email order_cancelled sent", "sms order_cancelled sent"];
const NOT_PAID: [&str; 5] = [
    "email order_created sent",
    "email order_cancelled sent",
    "sms order_cancelled sent",
    "email payment_failed sent",
    "push payment_failed sent",
];

const CASES: [Case; 5] = [
    Case {
        name: "an article that nobody has",
        of: ("NOWHERE", 1),
        trouble: none,
        ends: ("rejected", "invalid_products"),
        undone: &[],
        told: &["email order_created sent", "email order_rejected sent"],
    },
    Case {
        name: "out of stock",
        of: ("CUP", 200_000),
        trouble: none,
        ends: ("cancelled", "out_of_stock"),
        undone: &[],
        told: &CANCELLED,
    },
    Case {
        name: "declined",
        of: ("TEA", 2),
        trouble: |outside| outside.trouble("authorize", [Trouble::Refused]),
        ends: ("cancelled", "payment_failed"),
        undone: &["inventory.release"],
        told: &NOT_PAID,
    },
    Case {
        name: "a carrier that does not take it",
        of: ("TEA", 2),
        trouble: |outside| outside.trouble("shipments", [Trouble::Refused]),
        ends: ("cancelled", "undeliverable"),
        undone: &["payment.void", "inventory.release"],
        told: &CANCELLED,
    },
    Case {
        name: "money that was held and is not given",
        of: ("TEA", 2),
        trouble: |outside| outside.trouble("capture", [Trouble::Refused]),
        ends: ("cancelled", "payment_failed"),
        undone: &["shipping.cancel", "payment.void", "inventory.release"],
        told: &NOT_PAID,
    },
];

/// What comes to an end by time: either the order has waited long enough, and the step is undone too, or the room that asks has
/// given up a moment before, and says so.
const LATE: [Case; 3] = [
    Case {
        name: "a provider that is too busy for all of its time",
        of: ("TEA", 2),
        trouble: |outside| many(outside, "authorize", || Trouble::Busy),
        ends: ("cancelled", "payment_failed"),
        undone: &["payment.void", "inventory.release"],
        told: &CANCELLED,
    },
    Case {
        name: "a provider of which nobody knows what it did",
        of: ("TEA", 2),
        trouble: |outside| {
            many(outside, "authorize", || Trouble::AnswerLost);
            many(outside, "calls", || Trouble::RequestLost);
        },
        ends: ("cancelled", "payment_failed"),
        undone: &["payment.void", "inventory.release"],
        told: &CANCELLED,
    },
    Case {
        name: "a carrier of which nobody knows what it did",
        of: ("TEA", 2),
        trouble: |outside| many(outside, "shipments", || Trouble::AnswerLost),
        ends: ("cancelled", "undeliverable"),
        undone: &["shipping.cancel", "payment.void", "inventory.release"],
        told: &CANCELLED,
    },
];

/// Lets it happen: what became of the order, what was undone and what was told.
async fn found(case: &Case) -> ((String, String), Vec<String>, BTreeSet<String>) {
    let (outside, url) = Outside::open().await;
    (case.trouble)(&outside);
    let shop = Shop::calling(&url).await;
    ann(&shop).await;
    let order = placed(&shop, case.of.0, case.of.1).await;
    shop.hours(2).await;
    nothing_is_left(&shop, &outside, case.name).await;
    let invalid = shop.get(&format!("/orders/{order}")).await.body["invalidItems"].clone();
    let wanted = json!([{ "sku": "NOWHERE", "reason": "unknown_product" }]);
    assert!((case.ends.0 == "rejected") == (invalid == wanted), "{}: {invalid}", case.name);
    (ends(&shop, &order).await, undone(&shop), told_of(&shop, &order).await)
}

fn ends_of(case: &Case) -> (String, String) {
    (case.ends.0.to_owned(), case.ends.1.to_owned())
}

/// R166, R167, R210, R216, R219, R223, R224, R241, R243: whatever fails, what was sent is undone in reverse.
/// R258, R259, R261, R318: and the customer is told.
#[tokio::test]
async fn whatever_fails_is_undone_in_reverse_and_the_customer_is_told() {
    let mut differ = Vec::new();
    for case in &CASES {
        let found = found(case).await;
        if found != (ends_of(case), owned(case.undone), words(case.told)) {
            differ.push((case.name, found));
        }
    }
    assert!(differ.is_empty(), "{differ:#?}");
}

/// R166, R167, R216, R224, R241, R258, R317, R318: the same by time, whoever loses patience first.
#[tokio::test]
async fn whatever_takes_too_long_is_undone_in_reverse_too() {
    let mut differ = Vec::new();
    for case in &LATE {
        let (ends, undone, told) = found(case).await;
        let all = owned(case.undone);
        let is_undone = all.ends_with(&undone) && undone.last().is_some_and(|last| last == "inventory.release");
        let is_told = told.is_superset(&words(case.told)) && told.is_subset(&words(&NOT_PAID));
        if ends != ends_of(case) || !is_undone || !is_told {
            differ.push((case.name, ends, undone, told));
        }
    }
    assert!(differ.is_empty(), "{differ:#?}");
}

/// Commands that undo, as they were sent; one that is sent again, because its answer takes long, counts once.
fn undone(shop: &Shop) -> Vec<String> {
    let mut commands = log(shop, Position::START, &[Kind::Command]);
    commands.retain(|command| UNDO.contains(&command.as_str()));
    commands.dedup();
    commands
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

async fn nothing_is_left(shop: &Shop, outside: &Outside, name: &str) {
    assert_eq!((available(shop, "TEA").await, available(shop, "CUP").await), (100_000, 100_000), "{name}");
    assert_eq!(outside.done("capture"), 0, "{name}");
    assert!(outside.done("authorize") == 0 || outside.done("void") == 1, "{name}: {:?}", outside.asked());
    assert!(outside.done("shipments") == 0 || outside.done("cancel") == 1, "{name}: {:?}", outside.asked());
    is_well(shop);
}

/// R166, R216, R234: what looks like fraud waits for a person; refused or not looked at in a day, it is given up.
#[tokio::test]
async fn what_is_flagged_is_refused_by_a_person_or_given_up_after_a_day() {
    for refused in [true, false] {
        let (outside, url) = Outside::open().await;
        let shop = Shop::calling(&url).await;
        ann(&shop).await;
        for _ in 0..6 {
            // These end at once, and leave nothing behind.
            placed(&shop, "NOWHERE", 1).await;
        }
        let order = placed(&shop, "TEA", 4_000).await;
        shop.app.rest().await.unwrap();
        assert_eq!(ends(&shop, &order).await, ("held".to_owned(), "fraud".to_owned()));
        if refused {
            let looked = json!({ "verdict": "flagged", "by": "mara" });
            assert_eq!(shop.post(&format!("/orders/{order}/hold/release"), &looked).await.status, 202);
            shop.app.rest().await.unwrap();
        } else {
            shop.hours(23).await;
            assert_eq!(ends(&shop, &order).await.0, "held");
            shop.hours(25).await;
        }
        assert_eq!(ends(&shop, &order).await, ("cancelled".to_owned(), "fraud".to_owned()), "refused: {refused}");
        assert_eq!(outside.asked(), Vec::<String>::new());
        assert!(told_of(&shop, &order).await.is_superset(&words(&["email order_cancelled sent"])));
        nothing_is_left(&shop, &outside, "flagged").await;
    }
}

/// R166, R167, R216, R237, R317: given up before the pivot, at whichever step it is; behind it only a return is left.
#[tokio::test]
async fn a_customer_gives_up_before_the_pivot_and_not_behind_it() {
    for (waits, sent) in [
        ("authorize", &["payment.void", "inventory.release"][..]),
        ("shipments", &["shipping.cancel", "payment.void", "inventory.release"]),
    ] {
        let (outside, url) = Outside::open().await;
        outside.trouble(waits, [Trouble::Busy]);
        let shop = Shop::calling(&url).await;
        ann(&shop).await;
        let order = placed(&shop, "TEA", 2).await;
        shop.app.rest().await.unwrap();
        assert_eq!(ends(&shop, &order).await.0, "reserved", "{waits}");
        let cancel = format!("/orders/{order}/cancel");
        assert_eq!(shop.post(&cancel, &json!({})).await.status, 202);
        shop.hours(2).await;
        assert_eq!(ends(&shop, &order).await, ("cancelled".to_owned(), "customer".to_owned()), "{waits}");
        assert_eq!(undone(&shop), owned(sent), "{waits}");
        assert_eq!(told_of(&shop, &order).await, words(&CANCELLED), "{waits}");
        nothing_is_left(&shop, &outside, waits).await;

        let order = placed(&shop, "TEA", 2).await;
        shop.app.rest().await.unwrap();
        let late = shop.post(&format!("/orders/{order}/cancel"), &json!({})).await;
        late.refuses(409, "too_late_to_cancel", "use a return");
        assert_eq!(ends(&shop, &order).await.0, "shipped");
    }
}
