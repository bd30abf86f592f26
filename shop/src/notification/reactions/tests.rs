//! Who is told what, by which channel; and who is not.

use factum::{money::Currency, reaction::Effect};
use factum_testing::{
    folding::{Folded, folding},
    scenario::{Happened, NOW, happened},
};

use super::*;
use crate::{
    contracts::{customer::CustomerRegistered, ids::ShipmentId, shapes::InvalidItem},
    money::pence,
};

fn created(order: &str, customer: Option<&str>) -> Happened {
    happened(OrderCreated {
        channel: Default::default(),
        order_id: OrderId::from(order),
        customer_id: customer.map(CustomerId::from),
        cart_id: None,
        items: Vec::new(),
        subtotal: None,
        discount: None,
        tax: None,
        shipping_charge: None,
        total: pence(510),
        shipping_address: None,
        payment_method: None,
        status: OrderStatus::PendingValidation,
    })
}

fn registered(customer: &str, email: Option<&str>, phone: Option<&str>) -> Happened {
    happened(CustomerRegistered {
        customer_id: customer.into(),
        name: Some("Ann".to_owned()),
        email: email.map(str::to_owned),
        phone: phone.map(str::to_owned),
        address: None,
    })
}

fn delivered(order: &str) -> Happened {
    happened(OrderDelivered { order_id: order.into(), delivered_at: NOW })
}

fn refunded(order: Option<&str>, credit: Option<&str>) -> Happened {
    happened(PaymentRefunded {
        payment_id: None,
        order_id: order.map(OrderId::from),
        credit_id: credit.map(CreditId::from),
        refund_id: "r".into(),
        amount: pence(255),
        reason: "returned".to_owned(),
    })
}

fn shipped(order: &str) -> Happened {
    happened(OrderShipped {
        order_id: order.into(),
        shipment_id: ShipmentId::from("s"),
        tracking_number: "T1".to_owned(),
        carrier: "Pigeon Post".to_owned(),
        estimated_delivery: None,
    })
}

fn order_events() -> Vec<(&'static str, Happened)> {
    let (order_id, reason) = (|| OrderId::from("1"), || "out_of_stock".to_owned());
    let sku = || InvalidItem { sku: "TEA".into(), reason: "unknown".to_owned() };
    vec![
        ("order_created", created("1", Some("c"))),
        (
            "order_rejected",
            happened(OrderRejected { order_id: order_id(), reason: reason(), invalid_items: vec![sku(); 7] }),
        ),
        (
            "order_paid",
            happened(OrderPaid {
                order_id: order_id(),
                payment_id: "p".into(),
                amount: pence(510),
                payment_method: None,
            }),
        ),
        ("order_shipped", shipped("1")),
        ("order_delivered", delivered("1")),
        ("order_cancelled", happened(OrderCancelled { order_id: order_id(), reason: reason() })),
        (
            "payment_failed",
            happened(PaymentFailed { payment_id: None, order_id: order_id(), amount: None, reason: reason() }),
        ),
        ("payment_refunded", refunded(Some("1"), None)),
    ]
}

fn addressees() -> Folded {
    folding(telling("staff@shop".to_owned()))
}

/// Ann, who has left an address and a number, has ordered.
fn ann() -> Folded {
    addressees().given(registered("c", Some("ann@b"), Some("+44 1"))).given(created("1", Some("c")))
}

#[test]
fn a_customer_is_told_of_each_step_by_every_channel_that_has_a_text_for_it() {
    for (template, event) in order_events() {
        let told = ann().happens(event).sent::<OpenNotification>();
        let channels: Vec<_> = told.iter().map(|open| open.channel).collect();
        assert_eq!(channels, templates::channels(template).collect::<Vec<_>>());
        for open in told {
            let to = match open.channel {
                Channel::Email => "ann@b",
                Channel::Sms => "+44 1",
                Channel::Push => "c",
            };
            assert_eq!((open.to.as_deref(), open.template.as_str()), (Some(to), template));
            assert_eq!((open.customer_id.unwrap().as_str(), open.order_id.unwrap().as_str()), ("c", "1"));
            assert!(!open.body.contains(['{', '}', '_']), "{}", open.body);
            assert!(open.channel != Channel::Email || open.body.starts_with("Dear Ann,"), "{}", open.body);
        }
    }
}

#[test]
fn a_text_says_what_has_happened() {
    let said = |event: Happened| ann().given(shipped("1")).happens(event).sent::<OpenNotification>().remove(0).body;
    assert!(said(created("1", Some("c"))).contains("comes to 5.10 GBP"));
    assert!(said(shipped("1")).contains("Pigeon Post brings your order 1. Its tracking number is T1."));
    assert!(said(delivered("1")).contains("Pigeon Post has delivered your order 1."));
    assert!(said(refunded(Some("1"), None)).contains("sent 2.55 GBP back to you (returned)"));
    let rejected = order_events().remove(1).1;
    assert!(said(rejected).contains("(out of stock): TEA, TEA, TEA, TEA, TEA and 2 more."));
    assert_eq!(pence(1).currency, Currency::GBP);
}

#[test]
fn one_event_and_channel_is_one_notification_however_often_it_comes() {
    let (mut first, mut second) = (ann(), ann());
    let ids = |folded: &mut Folded, event: Happened| -> Vec<_> {
        folded.happens(event).sent::<OpenNotification>().into_iter().map(|open| open.notification_id).collect()
    };
    let told = ids(&mut first, shipped("1"));
    assert_eq!(told, ids(&mut second, shipped("1")));
    assert!(told.len() == 2 && told[0] != told[1] && told[0] != ids(&mut first, delivered("1"))[0]);
}

#[test]
fn without_an_address_an_order_gets_one_note_and_nothing_else_is_tried() {
    for seen in [false, true] {
        for (template, event) in order_events() {
            let contact = seen.then(|| registered("c", None, None));
            let folded = contact.into_iter().fold(addressees(), Folded::given);
            let told = folded.given(created("1", Some("c"))).happens(event).sent::<OpenNotification>();
            let in_short: Vec<_> = told.iter().map(|open| (open.channel, &open.to, open.body.as_str())).collect();
            let wanted = if template == "order_created" { vec![(Channel::Email, &None, "")] } else { vec![] };
            assert_eq!(in_short, wanted, "{template}");
        }
    }
    let texted = addressees().given(registered("c", None, Some("+44 1"))).given(created("1", Some("c")));
    let told = { texted }.happens(shipped("1")).sent::<OpenNotification>();
    assert_eq!(told.iter().map(|open| (open.channel, open.to.is_some())).collect::<Vec<_>>(), [(Channel::Sms, true)]);
}

#[test]
fn a_guest_is_told_nothing() {
    for (_, event) in order_events().into_iter().skip(1) {
        addressees().given(created("1", None)).happens(event).nothing();
    }
    addressees().happens(created("1", None)).nothing();
}

fn changed(fields: &[&str], email: Option<&str>) -> Happened {
    happened(CustomerUpdated {
        customer_id: "c".into(),
        fields: fields.iter().map(ToString::to_string).collect(),
        name: None,
        email: email.map(str::to_owned),
        phone: None,
        address: None,
    })
}

#[test]
fn a_changed_address_is_told_at_the_new_one_and_a_removed_one_is_gone() {
    let told = ann().happens(changed(&["email", "address"], Some("new@b"))).sent::<OpenNotification>();
    assert_eq!((told.len(), told[0].to.as_deref(), told[0].template.as_str()), (1, Some("new@b"), "customer_updated"));
    assert!(told[0].body.contains("email, address"));
    let told = ann().given(changed(&["email"], None)).happens(shipped("1")).sent::<OpenNotification>();
    assert!(!told.is_empty() && told.iter().all(|open| open.channel != Channel::Email), "{told:?}");
}

fn abandoned(customer: Option<&str>, reason: &str, items: Vec<crate::contracts::shapes::Line>) -> Happened {
    let customer_id = customer.map(CustomerId::from);
    happened(CartAbandoned { cart_id: "b".into(), customer_id, reason: reason.to_owned(), items })
}

#[test]
fn a_customer_is_reminded_of_a_cart_that_was_left_and_not_of_one_that_was_given_up() {
    let price = crate::money::price("2.55").unwrap();
    let tea = crate::contracts::shapes::Line::goods(1, "TEA".into(), "Tea", 2, price).unwrap();
    let told = ann().happens(abandoned(Some("c"), TIMED_OUT, vec![tea.clone()])).sent::<OpenNotification>();
    assert_eq!(told.iter().map(|open| open.channel).collect::<Vec<_>>(), [Channel::Email, Channel::Push]);
    assert!(told[0].body.contains("you have left Tea in your cart") && told[0].order_id.is_none());
    ann().happens(abandoned(Some("c"), "customer", vec![tea.clone()])).nothing();
    ann().happens(abandoned(Some("c"), TIMED_OUT, Vec::new())).nothing();
    ann().happens(abandoned(None, TIMED_OUT, vec![tea])).nothing();
}

#[test]
fn what_runs_short_is_told_to_the_staff() {
    let low = happened(LowStockDetected { sku: "TEA".into(), current_quantity: 9, threshold: 10 });
    let told = addressees().happens(low).sent::<OpenNotification>();
    assert_eq!(told.iter().map(|open| open.channel).collect::<Vec<_>>(), [Channel::Email, Channel::Push]);
    for open in told {
        assert_eq!((open.to.as_deref(), open.customer_id, open.order_id), (Some("staff@shop"), None, None));
        assert_eq!((open.subject.as_str(), open.body.contains('9')), ("TEA runs short", true));
    }
}

#[test]
fn a_credit_without_an_order_is_told_to_whom_it_was_given() {
    let credited = happened(OrderCredited {
        credit_id: "k".into(),
        customer_id: Some("c".into()),
        items: Vec::new(),
        amount: pence(255),
        order_id: None,
        not_due: None,
        reason: "unknown_order".to_owned(),
    });
    let told = ann().given(credited).happens(refunded(None, Some("k"))).sent::<OpenNotification>();
    assert_eq!((told.len(), told[0].to.as_deref(), &told[0].order_id), (1, Some("ann@b"), &None));
    ann().happens(refunded(None, Some("k"))).nothing();
}

#[test]
fn an_order_that_has_been_over_for_long_is_forgotten_and_one_that_came_back_since_is_not() {
    let days = |days: u32| NOW + days * Duration::from_secs(86_400);
    let later = |day: u32| created("2", None).at(days(day));
    let over = || ann().given(delivered("1").at(NOW));
    assert_eq!(over().given(later(90)).happens(refunded(Some("1"), None)).sent::<OpenNotification>().len(), 1);
    over().given(later(91)).happens(refunded(Some("1"), None)).nothing();

    let returned = || OrderReturned {
        order_id: "1".into(),
        credit_id: None,
        items: Vec::new(),
        amount: pence(255),
        not_due: None,
        reason: "broken".to_owned(),
    };
    let back = || over().given(happened(returned()).at(days(80)));
    assert_eq!(back().given(later(100)).happens(refunded(Some("1"), None)).sent::<OpenNotification>().len(), 1);
    back().given(later(171)).happens(refunded(Some("1"), None)).nothing();
    // What has not ended is kept however long it takes.
    assert_eq!(ann().given(later(4_000)).happens(shipped("1")).sent::<OpenNotification>().len(), 2);
}

#[test]
fn another_service_has_a_customer_told_once_by_a_channel_that_it_names() {
    let send = |template: &str, channel, customer: &str| SendNotification {
        channel,
        template: template.to_owned(),
        customer_id: customer.into(),
        order_id: Some("1".into()),
        values: [("carrier", "Snail"), ("tracking", "T9")].map(|(name, value)| (name.into(), value.into())).into(),
    };
    let told = ann().when(send("order_shipped", Channel::Sms, "c")).unwrap().sent::<OpenNotification>();
    let [open] = &told[..] else { panic!("{told:?}") };
    assert_eq!((open.to.as_deref(), open.channel), (Some("+44 1"), Channel::Sms));
    assert_eq!(open.body, "Your order 1 is on its way with Snail, tracking number T9.");
    // Whoever asks hears that it failed.
    let told = ann().when(send("order_shipped", Channel::Sms, "d")).unwrap().sent::<OpenNotification>();
    assert_eq!((told.len(), &told[0].to), (1, &None));
    for (template, channel, code) in [
        ("order_shipped", Channel::Push, "unknown_template"),
        ("gift_card", Channel::Email, "unknown_template"),
        ("order_paid", Channel::Email, "missing_value"),
    ] {
        assert_eq!(ann().when(send(template, channel, "c")).unwrap_err().code, code);
    }
}

#[test]
fn what_is_written_goes_to_its_channel() {
    for (channel, call) in
        [(Channel::Email, gateway::MAIL), (Channel::Sms, gateway::SMS), (Channel::Push, gateway::PUSH)]
    {
        let asked = happened(NotificationOpened {
            notification_id: "n-1".into(),
            channel,
            template: "order_paid".to_owned(),
            customer_id: None,
            order_id: None,
            cause_id: "e".to_owned(),
            to: "x".to_owned(),
            subject: "s".to_owned(),
            body: "b".to_owned(),
        })
        .given_to(&handing_over());
        let [Effect::Call { name, .. }] = &asked.effects[..] else { panic!("one call: {asked:?}") };
        assert_eq!(*name, call.name());
        let letters = asked.called(call);
        assert_eq!((letters[0].to.as_str(), letters[0].subject.as_str(), letters[0].body.as_str()), ("x", "s", "b"));
    }
}
