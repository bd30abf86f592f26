//! What is told of a customer's orders, order by order.

use factum::reaction::Effect;
use factum_testing::{
    folding::{Folded, pipeline},
    scenario::{Happened, happened},
};

use super::*;
use crate::contracts::{
    ids::OrderId,
    order::{OrderCreated, OrderStatus},
};

fn ordered(customer: Option<&str>, total: i64) -> Happened {
    happened(OrderCreated {
        channel: Default::default(),
        order_id: OrderId::from("1"),
        customer_id: customer.map(CustomerId::from),
        cart_id: None,
        items: Vec::new(),
        subtotal: None,
        discount: None,
        tax: None,
        shipping_charge: None,
        total: pence(total),
        shipping_address: None,
        payment_method: None,
        status: OrderStatus::PendingValidation,
    })
}

fn told(totals: &mut Folded, customer: &str, total: i64) -> (String, u64, i64) {
    let reacted = totals.happens(ordered(Some(customer), total));
    let (stream, told) = reacted.emitted::<CustomerTotalsUpdated>().remove(0);
    assert_eq!(told.customer_id, CustomerId::from(customer));
    (stream.to_string(), told.order_count, told.total.amount)
}

#[test]
fn each_order_tells_its_customers_totals_with_itself_in_them() {
    let mut totals = pipeline(customer_totals());
    assert_eq!(told(&mut totals, "c", 100), ("customer_order_totals-c".to_owned(), 1, 100));
    assert_eq!(told(&mut totals, "c", 50), ("customer_order_totals-c".to_owned(), 2, 150));
    assert_eq!(told(&mut totals, "d", 7), ("customer_order_totals-d".to_owned(), 1, 7));
}

/// The totals as they have always been written: readers compare bytes.
#[test]
fn what_is_told_is_the_same_text_as_ever() {
    let told = pipeline(customer_totals()).happens(ordered(Some("c"), 100)).effects;
    let Effect::Emit(_, draft) = &told[0] else { panic!("{told:?}") };
    let text = r#"{"customerId":"c","orderCount":1,"total":{"amount":100,"currency":"GBP"}}"#;
    assert_eq!((std::str::from_utf8(&draft.data).unwrap(), told.len()), (text, 1));
    assert_eq!((&*draft.type_name, &*draft.version), ("analytics.customer_totals_updated", "1.0.0"));
}

#[test]
fn guests_have_no_totals() {
    pipeline(customer_totals()).happens(ordered(None, 100)).nothing();
}

#[test]
fn a_total_beyond_all_numbers_stays_at_the_largest() {
    let mut totals = pipeline(customer_totals()).given(ordered(Some("c"), i64::MAX));
    assert_eq!(told(&mut totals, "c", 1).2, i64::MAX);
}
