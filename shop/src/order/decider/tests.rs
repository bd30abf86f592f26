//! What may happen to an order and to a credit, rule by rule.

use factum_testing::scenario::{Given, NOW, given, given_nothing};

use super::*;
use crate::{
    contracts::{
        ids::{CustomerId, PaymentId, ReservationId, ShipmentId},
        shapes::{Contact, InvalidItem, ReturnItem},
    },
    money::pence,
};

fn id() -> OrderId {
    OrderId::from("1")
}

fn line(number: u32, kind: LineKind, sku: &str, quantity: i64, amount: i64) -> Line {
    let (sku, name) = (Sku::from(sku), String::new());
    Line { line: number, kind, sku, name, quantity, unit_price: None, amount: pence(amount) }
}

fn two_lines() -> Vec<Line> {
    vec![line(1, LineKind::Goods, "A", 3, 300), line(2, LineKind::Carriage, "POST", 1, 50)]
}

fn create(items: Vec<Line>, total: i64) -> CreateOrder {
    CreateOrder {
        channel: Default::default(),
        order_id: id(),
        customer_id: Some(CustomerId::from("c")),
        cart_id: None,
        items,
        subtotal: None,
        discount: None,
        tax: None,
        shipping_charge: None,
        total: pence(total),
        shipping_address: None,
        payment_method: None,
    }
}

fn creating(order: CreateOrder) -> OrderCommand {
    OrderCommand::Create(order)
}

fn created() -> OrderEvent {
    accepted(create(two_lines(), 350))
}

fn accepted(c: CreateOrder) -> OrderEvent {
    OrderEvent::Created(OrderCreated {
        channel: Default::default(),
        order_id: c.order_id,
        customer_id: c.customer_id,
        cart_id: None,
        items: c.items,
        subtotal: None,
        discount: None,
        tax: None,
        shipping_charge: None,
        total: c.total,
        shipping_address: None,
        payment_method: None,
        status: OrderStatus::PendingValidation,
    })
}

fn kept() -> Vec<Reservation> {
    vec![Reservation { sku: Sku::from("A"), quantity: 3, reservation_id: ReservationId::from("1/1") }]
}

fn held() -> OrderEvent {
    OrderEvent::Held(OrderHeld { order_id: id(), reason: "fraud".to_owned() })
}

fn cancelled(reason: &str) -> OrderEvent {
    OrderEvent::Cancelled(OrderCancelled { order_id: id(), reason: reason.to_owned() })
}

fn rejected() -> OrderEvent {
    let (reason, invalid_items) = ("invalid_products".to_owned(), invalid());
    OrderEvent::Rejected(OrderRejected { order_id: id(), reason, invalid_items })
}

fn invalid() -> Vec<InvalidItem> {
    vec![InvalidItem { sku: Sku::from("A"), reason: "unknown_product".to_owned() }]
}

/// The steps of an order's life, each with the command that leads to it.
fn life() -> Vec<(OrderCommand, OrderEvent)> {
    use OrderCommand as C;
    use OrderEvent as E;
    let order_id = id;
    let (payment_id, shipment_id) = (PaymentId::of(&id()), ShipmentId::of(&id()));
    let (tracking_number, carrier) = ("T".to_owned(), "P".to_owned());
    vec![
        (
            C::MarkValidated(MarkValidated { order_id: order_id() }),
            E::Validated(OrderValidated { order_id: order_id() }),
        ),
        (
            C::MarkReserved(MarkReserved { order_id: order_id(), items: kept() }),
            E::StockReserved(OrderStockReserved { order_id: order_id(), items: kept() }),
        ),
        (C::Confirm(ConfirmOrder { order_id: order_id() }), E::Confirmed(OrderConfirmed { order_id: order_id() })),
        (
            C::MarkPaid(MarkPaid {
                order_id: order_id(),
                payment_id: payment_id.clone(),
                amount: pence(350),
                payment_method: None,
            }),
            E::Paid(OrderPaid { order_id: order_id(), payment_id, amount: pence(350), payment_method: None }),
        ),
        (
            C::ReleaseForShipping(ReleaseForShipping { order_id: order_id(), reservations: Vec::new() }),
            E::ReleasedForShipping(OrderReleasedForShipping {
                order_id: order_id(),
                items: vec![Quantity { sku: Sku::from("A"), quantity: 3 }],
                shipping_address: None,
                reservations: kept(),
            }),
        ),
        (
            C::MarkShipped(MarkShipped {
                order_id: order_id(),
                shipment_id: shipment_id.clone(),
                tracking_number: tracking_number.clone(),
                carrier: carrier.clone(),
                estimated_delivery: None,
            }),
            E::Shipped(OrderShipped {
                order_id: order_id(),
                shipment_id,
                tracking_number,
                carrier,
                estimated_delivery: None,
            }),
        ),
        (
            C::MarkDelivered(MarkDelivered { order_id: order_id(), delivered_at: NOW }),
            E::Delivered(OrderDelivered { order_id: order_id(), delivered_at: NOW }),
        ),
    ]
}

/// An order after so many steps of its life.
fn after(steps: usize) -> Vec<OrderEvent> {
    let mut events = vec![created()];
    events.extend(life().into_iter().take(steps).map(|(_, event)| event));
    events
}

fn order(events: Vec<OrderEvent>) -> Given<Order> {
    given(events)
}

fn with(steps: usize, event: OrderEvent) -> Given<Order> {
    let mut events = after(steps);
    events.push(event);
    order(events)
}

fn cancel() -> OrderCommand {
    OrderCommand::Cancel(CancelOrder { order_id: id(), reason: "customer".to_owned() })
}

fn hold() -> OrderCommand {
    OrderCommand::Hold(HoldOrder { order_id: id(), reason: "fraud".to_owned() })
}

fn reject() -> OrderCommand {
    let (reason, invalid_items) = ("invalid_products".to_owned(), invalid());
    OrderCommand::Reject(RejectOrder { order_id: id(), reason, invalid_items })
}

fn release(verdict: Verdict) -> OrderCommand {
    OrderCommand::ReleaseHold(ReleaseHold { order_id: id(), verdict, by: None })
}

fn give_back(credit: Option<&str>, sku: &str, quantity: i64, amount: i64) -> ReturnOrder {
    ReturnOrder {
        order_id: id(),
        credit_id: credit.map(CreditId::from),
        items: vec![ReturnItem { sku: Sku::from(sku), quantity, line: None }],
        amount: Some(pence(amount)),
        reason: "broken".to_owned(),
    }
}

fn returning(back: ReturnOrder) -> OrderCommand {
    OrderCommand::Return(back)
}

fn returned(back: ReturnOrder) -> OrderEvent {
    let amount = back.amount.unwrap();
    given_back(back, amount, None)
}

fn given_back(back: ReturnOrder, amount: Money, not_due: Option<Money>) -> OrderEvent {
    let ReturnOrder { order_id, credit_id, items, reason, .. } = back;
    OrderEvent::Returned(OrderReturned { order_id, credit_id, items, amount, not_due, reason })
}

#[test]
fn an_order_is_created_once() {
    given_nothing::<Order>().when(creating(create(two_lines(), 350))).then([created()]);
    order(after(0)).when(creating(create(two_lines(), 350))).then_rejected("order_exists");
}

#[test]
fn an_order_that_makes_no_sense_is_not_created() {
    let goods = |quantity| vec![line(1, LineKind::Goods, "A", quantity, 0)];
    let cases = [
        ("no_items", create(Vec::new(), 0)),
        ("too_many_lines", create(vec![line(1, LineKind::Goods, "A", 1, 0); MAX_LINES + 1], 0)),
        ("bad_quantity", create(goods(0), 0)),
        ("bad_quantity", create(goods(-1), 0)),
        ("bad_quantity", create(goods(i64::MAX), 0)),
        ("bad_id", create(vec![line(1, LineKind::Goods, "", 1, 0)], 0)),
        ("wrong_total", create(two_lines(), 349)),
        (
            "negative_total",
            create(vec![line(1, LineKind::Goods, "A", 1, 200), line(2, LineKind::Manual, "D", 1, -201)], -1),
        ),
        ("bad_id", CreateOrder { order_id: OrderId::from("x".repeat(121)), ..create(two_lines(), 350) }),
        ("bad_id", CreateOrder { customer_id: Some(CustomerId::from("a\nb")), ..create(two_lines(), 350) }),
        (
            "mixed_currencies",
            CreateOrder { total: Money::new(350, factum::money::Currency::EUR), ..create(two_lines(), 350) },
        ),
    ];
    for (code, order) in cases {
        given_nothing::<Order>().when(creating(order)).then_rejected(code);
    }
}

#[test]
fn a_manual_line_may_take_something_off() {
    let mut lines = two_lines();
    lines.push(line(3, LineKind::Manual, "D", -1, -50));
    given_nothing::<Order>().when(creating(create(lines.clone(), 300))).then([accepted(create(lines, 300))]);
}

#[test]
fn the_longest_order_id_still_names_its_payment_and_its_shipment() {
    let id = OrderId::from("x".repeat(120));
    assert!(id.valid() && PaymentId::of(&id).as_str().len() <= 128 && ShipmentId::of(&id).as_str().len() <= 128);
}

#[test]
fn what_is_not_there_is_unknown() {
    let mut commands: Vec<OrderCommand> = life().into_iter().map(|(command, _)| command).collect();
    commands.extend([cancel(), hold(), reject(), release(Verdict::Cleared), returning(give_back(None, "A", 1, 1))]);
    for command in commands {
        given_nothing::<Order>().when(command).then_rejected("unknown_order");
    }
}

#[test]
fn its_life_goes_step_by_step_and_a_step_behind_is_a_repetition() {
    for at in 0..=life().len() {
        for (place, (command, event)) in life().into_iter().enumerate() {
            // Where the rooms answer each other it may be paid from validated on; a process of a definition may not validate it.
            if matches!(command, OrderCommand::MarkPaid(_)) && at <= 2 {
                continue;
            }
            let when = order(after(at)).when(command);
            match place.cmp(&at) {
                std::cmp::Ordering::Less => _ = when.then_nothing(),
                std::cmp::Ordering::Equal => _ = when.then([event]).again_changes_nothing(),
                std::cmp::Ordering::Greater => _ = when.then_rejected("not_now"),
            }
        }
    }
}

/// Where nobody validates it; what has no price is not given away.
#[test]
fn it_is_paid_before_anything_else_where_a_process_does_so() {
    let (pay, paid) = life().remove(3);
    let there = || order(after(0)).when(pay.clone()).then([paid.clone()]);
    there().again_changes_nothing();
    there().when(cancel()).then_rejected("too_late_to_cancel");
    given::<Order>([accepted(create(vec![line(1, LineKind::Goods, "A", 3, 0)], 0))]).when(pay).then_rejected("not_now");
}

/// Choreographed: in either order from validated on; with both it is confirmed and released.
#[test]
fn paid_and_reserved_come_in_either_order() {
    let step = |place: usize| life().remove(place);
    let (reserve, pay) = (step(1), step(3));
    let both = || [step(2).1, step(4).1];
    let released = |first: &OrderEvent| [vec![first.clone()], both().to_vec()].concat();
    let paid = || order(after(1)).when(pay.0.clone()).then([pay.1.clone()]);
    paid().again_changes_nothing();
    paid().when(reserve.0.clone()).then(released(&reserve.1)).again_changes_nothing();
    order(after(2)).when(pay.0.clone()).then(released(&pay.1)).again_changes_nothing();
    paid().when(cancel()).then_rejected("too_late_to_cancel");
    let fail = || OrderCommand::Fail(FailOrder { order_id: id(), reason: "out_of_stock".to_owned() });
    paid().when(fail()).then([cancelled("out_of_stock")]).again_changes_nothing();
    order(after(5)).when(fail()).then_rejected("too_late_to_cancel");
}

#[test]
fn it_is_cancelled_before_the_pivot_and_not_behind() {
    for at in 0..=2 {
        order(after(at)).when(cancel()).then([cancelled("customer")]).again_changes_nothing();
    }
    for at in 3..=life().len() {
        order(after(at)).when(cancel()).then_rejected("too_late_to_cancel");
    }
    with(0, held()).when(cancel()).then([cancelled("customer")]);
    with(0, rejected()).when(cancel()).then_nothing();
}

#[test]
fn after_its_end_it_does_not_go_on() {
    for end in [cancelled("customer"), rejected()] {
        for (command, _) in life() {
            with(0, end.clone()).when(command).then_rejected("not_now");
        }
        with(0, end.clone()).when(hold()).then_rejected("not_now");
        with(0, end).when(release(Verdict::Cleared)).then_rejected("not_now");
    }
}

#[test]
fn it_is_rejected_only_while_it_is_checked() {
    order(after(0)).when(reject()).then([rejected()]).again_changes_nothing();
    with(0, held()).when(reject()).then([rejected()]);
    order(after(1)).when(reject()).then_rejected("not_now");
    with(0, cancelled("customer")).when(reject()).then_rejected("not_now");
}

#[test]
fn a_hold_stops_it_and_its_release_lets_it_go_on_where_it_was() {
    for at in 0..=2 {
        order(after(at)).when(hold()).then([held()]);
        let (command, event) = life().remove(at);
        with(at, held()).when(command.clone()).then_rejected("not_now");
        let by = "review".to_owned();
        with(at, held())
            .when(release(Verdict::Cleared))
            .then([OrderEvent::HoldReleased(OrderHoldReleased { order_id: id(), by })])
            .when(command)
            .then([event]);
        with(at, held()).when(release(Verdict::Flagged)).then([cancelled("fraud")]);
    }
    order(after(3)).when(hold()).then_rejected("not_now");
    order(after(1)).when(release(Verdict::Cleared)).then_rejected("not_now");
}

#[test]
fn goods_come_back_in_parts_up_to_what_was_ordered_and_paid() {
    let first = give_back(Some("C1"), "A", 1, 100);
    order(after(7)).when(returning(first.clone())).then([returned(first.clone())]).again_changes_nothing();
    let rest = give_back(None, "A", 2, 250);
    with(7, returned(first.clone())).when(returning(rest.clone())).then([returned(rest.clone())]);
    with(7, returned(first.clone())).when(returning(give_back(None, "A", 3, 1))).then_rejected("not_that_many");
    let more = give_back(None, "A", 1, 251);
    with(7, returned(first.clone())).when(returning(more.clone())).then([given_back(more, pence(250), Some(pence(1)))]);
    with(7, returned(first)).when(returning(give_back(None, "A", 1, -1))).then_rejected("bad_amount");
}

/// Nobody says how much: what the pieces are worth is decided by the order, also if two come at once.
#[test]
fn what_comes_back_without_an_amount_is_worth_what_its_pieces_cost() {
    let back = |quantity| ReturnOrder { amount: None, ..give_back(None, "A", quantity, 0) };
    let worth = two_lines()[0].amount.amount;
    let (one, rest) = (worth / 3 + worth % 3, worth - worth / 3 - worth % 3);
    order(after(7))
        .when(returning(back(1)))
        .then([given_back(back(1), pence(one), None)])
        .when(returning(back(2)))
        .then([given_back(back(2), pence(rest), None)])
        .when(returning(back(1)))
        .then_rejected("not_that_many");
}

#[test]
fn only_a_refused_capture_cancels_behind_the_pivot() {
    let fail = || OrderCommand::Fail(FailOrder { order_id: id(), reason: "payment_failed".to_owned() });
    for at in 0..=3 {
        order(after(at)).when(fail()).then([cancelled("payment_failed")]).again_changes_nothing();
    }
    for at in 4..=7 {
        order(after(at)).when(fail()).then_rejected("too_late_to_cancel");
    }
}

#[test]
fn a_lost_parcel_comes_back_whole_but_not_to_the_shelves() {
    let lose = || OrderCommand::Lose(LoseOrder { order_id: id() });
    let back = ReturnOrder { reason: LOST.to_owned(), ..give_back(None, "A", 3, 350) };
    let items = back.items.iter().cloned().map(|item| ReturnItem { line: Some(1), ..item }).collect();
    let back = ReturnOrder { items, ..back };
    for at in 5..=6 {
        order(after(at)).when(lose()).then([returned(back.clone())]).again_changes_nothing();
    }
    for at in [0, 3, 4, 7] {
        order(after(at)).when(lose()).then_rejected("not_now");
    }
}

#[test]
fn what_cannot_come_back_is_rejected() {
    let back = |sku, quantity| returning(give_back(None, sku, quantity, 1));
    for (sku, quantity) in [("A", 0), ("A", -1), ("A", 4), ("B", 1), ("POST", 1), ("A", i64::MAX)] {
        order(after(7)).when(back(sku, quantity)).then_rejected("not_that_many");
    }
    let of_line = |line, quantity| {
        let items = vec![ReturnItem { sku: Sku::from("A"), quantity, line: Some(line) }];
        returning(ReturnOrder { items, ..give_back(None, "A", 1, 1) })
    };
    for (line, quantity) in [(0, 1), (2, 1), (9, 1), (u32::MAX, 1)] {
        order(after(7)).when(of_line(line, quantity)).then_rejected("not_in_that_line");
    }
    order(after(7)).when(of_line(1, 4)).then_rejected("not_that_many");
    let mut twice = give_back(None, "A", 2, 1);
    twice.items.extend(twice.items.clone());
    order(after(7)).when(returning(twice)).then_rejected("not_that_many");
    order(after(7))
        .when(returning(ReturnOrder { items: vec![], ..give_back(None, "A", 1, 1) }))
        .then_rejected("no_items");
    let euros = Money::new(1, factum::money::Currency::EUR);
    let foreign = ReturnOrder { amount: Some(euros), ..give_back(None, "A", 1, 1) };
    order(after(7)).when(returning(foreign)).then_rejected("mixed_currencies");
    for at in 0..=6 {
        order(after(at)).when(back("A", 1)).then_rejected("not_delivered");
    }
}

#[test]
fn it_is_changed_until_it_is_shipped() {
    let address = Address { country: "GB".into(), name: None, street: None, city: None, region: None, postcode: None };
    let update = |address: Option<Address>, contact: Option<Contact>| {
        let (shipping_address, items) = (address, None);
        OrderCommand::Update(UpdateOrder { order_id: id(), contact, shipping_address, items })
    };
    let moved = |at| order(after(at)).when(update(Some(address.clone()), None));
    for at in 0..=5 {
        moved(at)
            .then([OrderEvent::Updated(OrderUpdated {
                order_id: id(),
                fields: vec!["shippingAddress".to_owned()],
                contact: None,
                shipping_address: Some(address.clone()),
            })])
            .again_changes_nothing();
    }
    for at in 6..=7 {
        moved(at).then_rejected("not_now");
    }
    order(after(0)).when(update(None, None)).then_nothing();
    let contact = Contact { email: Some("a@b".to_owned()), ..Contact::default() };
    order(after(0)).when(update(None, Some(contact.clone()))).then([OrderEvent::Updated(OrderUpdated {
        order_id: id(),
        fields: vec!["contact".to_owned()],
        contact: Some(contact),
        shipping_address: None,
    })]);
    let items = Some(two_lines());
    let lines = UpdateOrder { order_id: id(), contact: None, shipping_address: None, items };
    order(after(0)).when(OrderCommand::Update(lines)).then_rejected("lines_stay");
}

#[test]
fn a_credit_is_booked_once() {
    let credit = |id: &str| {
        let (credit_id, items, reason) = (CreditId::from(id), Vec::new(), "goodwill".to_owned());
        CreditOrder { credit_id, customer_id: None, items, amount: pence(7), order_id: None, not_due: None, reason }
    };
    let CreditOrder { credit_id, customer_id, items, amount, order_id, not_due, reason } = credit("C1");
    given_nothing::<Credit>()
        .when(CreditCommand::Credit(credit("C1")))
        .then([CreditEvent::Credited(OrderCredited {
            credit_id,
            customer_id,
            items,
            amount,
            order_id,
            not_due,
            reason,
        })])
        .again_changes_nothing();
    given_nothing::<Credit>().when(CreditCommand::Credit(credit(&"x".repeat(121)))).then_rejected("bad_id");
}

#[test]
fn goods_without_a_price_are_not_given_away() {
    given::<Order>([accepted(create(vec![line(1, LineKind::Goods, "A", 3, 0)], 0))])
        .when(OrderCommand::MarkValidated(MarkValidated { order_id: id() }))
        .then_rejected("no_price");
}
