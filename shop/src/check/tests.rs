//! Planted wrongs: a log in which one thing is not as it should be, and what `check` says about it.

use std::sync::{Arc, Mutex};

use factum::{Archive, memory::Memory, prelude::*};

use super::*;
use crate::{
    contracts::{
        ids::*,
        inventory::*,
        order::*,
        payment::*,
        shapes::{Line, Quantity, Reservation},
        shipping::*,
    },
    money::{pence, price},
};

/// Writes what it is told, whoever it belongs to: what no decider would.
#[derive(Event, Clone, Debug)]
#[event("script.written")]
struct Written {
    id: String,
}

#[derive(Command)]
#[command("script.write")]
struct Write {
    id: String,
}

#[derive(Default)]
struct Plan;

impl Decider for Plan {
    const CATEGORY: &'static str = "script";
    type Id = String;
    type Command = Write;
    type Event = Written;
    type Rejection = Never;

    fn address(write: &Write, _: &Envelope) -> String {
        write.id.clone()
    }

    fn decide(&self, _: &String, write: Write, _: &Context) -> Result<Vec<Written>, Never> {
        Ok(vec![Written { id: write.id }])
    }

    fn evolve(&mut self, _: &Written) {}
}

#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "a handful")]
enum One {
    Order(OrderEvent),
    Credit(CreditEvent),
    Payment(PaymentEvent),
    Stock(InventoryEvent),
    Parcel(ShippingEvent),
}

async fn found(events: Vec<One>) -> Vec<String> {
    let events = Arc::new(Mutex::new(events));
    let write = move |_: &Recorded<Written>, fx: &mut Effects| {
        for one in events.lock().unwrap().drain(..) {
            match one {
                One::Order(event) => fx.emit("order", "1", event),
                One::Credit(event) => fx.emit("credit", "c", event),
                One::Payment(event) => fx.emit("payment", "p", event),
                One::Stock(event) => fx.emit("warehouse", "main", event),
                One::Parcel(event) => fx.emit("shipment", "s", event),
            }
        }
    };
    let write = Reaction::new("write", write)
        .emits::<OrderEvent>("order")
        .emits::<CreditEvent>("credit")
        .emits::<PaymentEvent>("payment")
        .emits::<InventoryEvent>("warehouse")
        .emits::<ShippingEvent>("shipment");
    let books = Service::new("script").owns("order").owns("credit").owns("payment").owns("warehouse").owns("shipment");
    let app = App::over(Memory::new()).on_data_time().with(books.decider::<Plan>().reaction(write));
    let app = app.start().await.unwrap();
    app.execute(Write { id: "1".to_owned() }).await.unwrap();
    app.rest().await.unwrap();
    assert_eq!(app.health().engine.letters, 0);
    let reader = app.reader();
    app.stop().await;
    check(&Archive::of(reader)).unwrap().problems
}

fn order() -> OrderId {
    OrderId::from("1")
}

fn payment() -> PaymentId {
    PaymentId::of(&order())
}

fn tea(quantity: i64) -> Vec<Quantity> {
    vec![Quantity { sku: Sku::from("TEA"), quantity }]
}

fn created() -> OrderCreated {
    OrderCreated {
        channel: Default::default(),
        order_id: order(),
        customer_id: None,
        cart_id: None,
        items: vec![Line::goods(1, Sku::from("TEA"), "Tea", 2, price("2.55").unwrap()).unwrap()],
        subtotal: None,
        discount: None,
        tax: None,
        shipping_charge: None,
        total: pence(510),
        shipping_address: None,
        payment_method: None,
        status: OrderStatus::PendingValidation,
    }
}

fn captured(amount: i64) -> One {
    One::Payment(PaymentEvent::Captured(PaymentCaptured {
        payment_id: payment(),
        order_id: order(),
        amount: pence(amount),
        method: PaymentMethod::from("card"),
        transaction_id: "t".to_owned(),
        status: CaptureStatus::Approved,
    }))
}

fn returned(quantity: i64, amount: i64) -> One {
    One::Order(OrderEvent::Returned(OrderReturned {
        order_id: order(),
        credit_id: None,
        items: tea(quantity).into_iter().map(Into::into).collect(),
        amount: pence(amount),
        not_due: None,
        reason: "customer".to_owned(),
    }))
}

fn refund(number: u32, amount: i64) -> [One; 2] {
    let refund_id = RefundId::from(format!("{}/{number}", payment()));
    let opened = RefundOpened {
        payment_id: payment(),
        order_id: Some(order()),
        credit_id: None,
        refund_id: refund_id.clone(),
        amount: pence(amount),
        reason: "customer".to_owned(),
    };
    let done = PaymentRefunded {
        payment_id: Some(payment()),
        order_id: Some(order()),
        credit_id: None,
        refund_id,
        amount: pence(amount),
        reason: "customer".to_owned(),
    };
    [One::Payment(PaymentEvent::RefundOpened(opened)), One::Payment(PaymentEvent::Refunded(done))]
}

fn cancelled() -> One {
    One::Order(OrderEvent::Cancelled(OrderCancelled { order_id: order(), reason: "customer".to_owned() }))
}

fn void_opened() -> One {
    One::Payment(PaymentEvent::VoidOpened(VoidOpened { payment_id: payment(), order_id: order(), amount: pence(510) }))
}

/// Reserved, and the money held.
fn begun() -> Vec<One> {
    let reservations = vec![Reservation { sku: Sku::from("TEA"), quantity: 2, reservation_id: "r".into() }];
    let method = || PaymentMethod::from("card");
    vec![
        One::Stock(InventoryEvent::StockReceived(StockReceived {
            sku: Sku::from("TEA"),
            quantity: 10,
            warehouse_id: "main".into(),
        })),
        One::Order(OrderEvent::Created(created())),
        One::Order(OrderEvent::Validated(OrderValidated { order_id: order() })),
        One::Stock(InventoryEvent::Reserved(InventoryReserved { order_id: order(), items: reservations.clone() })),
        One::Order(OrderEvent::StockReserved(OrderStockReserved { order_id: order(), items: reservations })),
        One::Payment(PaymentEvent::Opened(PaymentOpened {
            payment_id: payment(),
            order_id: order(),
            amount: pence(510),
            method: method(),
            take: false,
        })),
        One::Payment(PaymentEvent::Authorized(PaymentAuthorized {
            payment_id: payment(),
            order_id: order(),
            amount: pence(510),
            method: method(),
        })),
    ]
}

fn confirmed() -> Vec<One> {
    let mut all = begun();
    all.push(One::Order(OrderEvent::Confirmed(OrderConfirmed { order_id: order() })));
    let (payment_id, order_id, amount) = (payment(), order(), pence(510));
    all.push(One::Payment(PaymentEvent::CaptureOpened(CaptureOpened { payment_id, order_id, amount })));
    all
}

fn paid() -> One {
    let (order_id, payment_id, amount) = (order(), payment(), pence(510));
    One::Order(OrderEvent::Paid(OrderPaid { order_id, payment_id, amount, payment_method: None }))
}

/// The carrier has it in its books.
fn labelled() -> Vec<One> {
    let opened = ShippingOpened {
        shipment_id: ShipmentId::of(&order()),
        order_id: order(),
        items: tea(2),
        shipping_address: None,
        warehouse_id: "main".into(),
    };
    let label = ShippingCreated {
        shipment_id: ShipmentId::of(&order()),
        order_id: order(),
        carrier: "C".to_owned(),
        tracking_number: "T".to_owned(),
        warehouse_id: "main".into(),
        estimated_delivery: Timestamp::UNIX_EPOCH,
        label_ref: "L".to_owned(),
    };
    vec![One::Parcel(ShippingEvent::Opened(opened)), One::Parcel(ShippingEvent::Created(label))]
}

fn handed_over() -> One {
    let (shipment_id, order_id) = (ShipmentId::of(&order()), order());
    One::Parcel(ShippingEvent::Dispatched(ShippingDispatched {
        shipment_id,
        order_id,
        dispatched_at: Timestamp::UNIX_EPOCH,
    }))
}

fn recall_opened() -> One {
    One::Parcel(ShippingEvent::RecallOpened(ShippingRecallOpened {
        shipment_id: ShipmentId::of(&order()),
        order_id: order(),
    }))
}

fn recall_failed() -> One {
    One::Parcel(ShippingEvent::RecallFailed(ShippingRecallFailed {
        shipment_id: ShipmentId::of(&order()),
        order_id: order(),
        reason: "on the van".to_owned(),
    }))
}

/// The carrier says of a cancelled one that it was brought.
fn brought_all_the_same() -> One {
    One::Parcel(ShippingEvent::NewsKept(ShippingNewsKept {
        shipment_id: ShipmentId::of(&order()),
        order_id: order(),
        state: ShipmentState::Delivered,
        at: Timestamp::UNIX_EPOCH,
    }))
}

fn shipped() -> Vec<One> {
    vec![
        handed_over(),
        One::Order(OrderEvent::Shipped(OrderShipped {
            order_id: order(),
            shipment_id: ShipmentId::of(&order()),
            tracking_number: "T".to_owned(),
            carrier: "C".to_owned(),
            estimated_delivery: None,
        })),
        One::Stock(InventoryEvent::StockShipped(StockShipped { order_id: order(), items: tea(2) })),
    ]
}

fn delivered_event() -> One {
    One::Order(OrderEvent::Delivered(OrderDelivered { order_id: order(), delivered_at: Timestamp::UNIX_EPOCH }))
}

fn stock_back(quantity: i64) -> One {
    One::Stock(InventoryEvent::StockReturned(StockReturned { order_id: order(), items: tea(quantity) }))
}

/// A whole order.
fn delivered() -> Vec<One> {
    let mut all = confirmed();
    all.extend(labelled());
    all.extend([captured(510), paid()]);
    all.extend(shipped());
    all.push(delivered_event());
    all
}

/// Its stock given back, and its end.
fn undone() -> Vec<One> {
    let (order_id, reason) = (order(), "undone".to_owned());
    vec![
        cancelled(),
        One::Stock(InventoryEvent::Released(InventoryReleased { order_id, items: tea(2), reason })),
        void_opened(),
        One::Payment(PaymentEvent::Voided(PaymentVoided {
            payment_id: payment(),
            order_id: order(),
            amount: pence(510),
        })),
    ]
}

fn with<const N: usize>(mut all: Vec<One>, more: [One; N]) -> Vec<One> {
    all.extend(more);
    all
}

fn without(all: Vec<One>, gone: impl Fn(&One) -> bool) -> Vec<One> {
    all.into_iter().filter(|one| !gone(one)).collect()
}

fn changed(mut all: Vec<One>, mut change: impl FnMut(&mut One)) -> Vec<One> {
    all.iter_mut().for_each(&mut change);
    all
}

#[tokio::test]
async fn what_is_right_is_not_found() {
    let returned_whole = {
        let [opened, done] = refund(1, 510);
        with(delivered(), [returned(2, 510), opened, done, stock_back(2)])
    };
    let brought =
        [begun(), labelled(), undone(), vec![recall_opened(), recall_failed(), brought_all_the_same()]].concat();
    for right in [delivered(), [begun(), undone()].concat(), returned_whole, brought] {
        assert_eq!(found(right).await, Vec::<String>::new());
    }
}

#[tokio::test]
async fn each_planted_wrong_is_found_and_named() {
    let [opened, done] = refund(1, 510);
    let [_, done_again] = refund(1, 510);
    let [second, second_done] = refund(2, 510);
    let is_void = |one: &One| matches!(one, One::Payment(PaymentEvent::VoidOpened(_) | PaymentEvent::Voided(_)));
    let is_voided = |one: &One| matches!(one, One::Payment(PaymentEvent::Voided(_)));
    let is_released = |one: &One| matches!(one, One::Stock(InventoryEvent::Released(_)));
    let is_captured = |one: &One| matches!(one, One::Payment(PaymentEvent::Captured(_)));
    let is_paid = |one: &One| matches!(one, One::Order(OrderEvent::Paid(_)));
    let is_handed_over = |one: &One| matches!(one, One::Parcel(ShippingEvent::Dispatched(_)));
    let is_shipped = |one: &One| matches!(one, One::Order(OrderEvent::Shipped(_)));
    let refund_refused = One::Payment(PaymentEvent::RefundRefused(RefundRefused {
        payment_id: payment(),
        order_id: Some(order()),
        credit_id: None,
        refund_id: RefundId::from(format!("{}/1", payment())),
        amount: pence(510),
        reason: "account closed".to_owned(),
    }));
    let ([half, _], [rest, rest_done]) = (refund(1, 255), refund(2, 255));
    let half_refused = One::Payment(PaymentEvent::RefundRefused(RefundRefused {
        payment_id: payment(),
        order_id: Some(order()),
        credit_id: None,
        refund_id: RefundId::from(format!("{}/1", payment())),
        amount: pence(255),
        reason: "closed".to_owned(),
    }));
    let credited = |amount: i64| {
        One::Credit(CreditEvent::Credited(OrderCredited {
            credit_id: CreditId::from("C1"),
            customer_id: None,
            items: Vec::new(),
            amount: pence(amount),
            order_id: None,
            not_due: None,
            reason: "goodwill".to_owned(),
        }))
    };
    let nobodys = One::Payment(PaymentEvent::Refunded(PaymentRefunded {
        payment_id: None,
        order_id: None,
        credit_id: None,
        refund_id: RefundId::from("x"),
        amount: pence(1),
        reason: String::new(),
    }));
    let released_less = |one: &mut One| {
        if let One::Stock(InventoryEvent::Released(released)) = one {
            released.items = tea(1);
        }
    };
    let dearer = |one: &mut One| {
        if let One::Order(OrderEvent::Created(created)) = one {
            created.total = pence(i64::MAX);
        }
    };
    let wrong: Vec<(Vec<One>, &str)> = vec![
        (begun(), "has not ended and nothing is under way"),
        ([begun(), without(undone(), is_void)].concat(), "is held at the provider, and order 1 has ended"),
        ([begun(), without(undone(), is_voided)].concat(), "the void was decided, and nobody asks the provider"),
        ([begun(), without(undone(), is_released)].concat(), "stock is reserved for order 1, which has ended"),
        ([begun(), changed(undone(), released_less)].concat(), "something else was released than was reserved"),
        (without(delivered(), is_captured), "counts as paid, and nothing was captured"),
        (with(delivered(), [captured(510)]), "was captured 2 times"),
        (
            changed(delivered(), |one| {
                if is_captured(one) {
                    *one = captured(509)
                }
            }),
            "509 pence captured, 510",
        ),
        (without(delivered(), is_paid), "was shipped out of its turn"),
        (without(delivered(), is_shipped), "was delivered out of its turn"),
        (with(delivered(), [cancelled()]), "was cancelled out of its turn"),
        (with(delivered(), [One::Order(OrderEvent::Created(created()))]), "was created 2 times"),
        (changed(delivered(), dearer), "and its lines come to 510"),
        (with(delivered(), [opened.clone(), done.clone()]), "510 pence given back, 0 owed"),
        (with(delivered(), [returned(2, 510), stock_back(2)]), "0 pence given back, 510 owed"),
        (
            with(delivered(), [returned(2, 510), opened.clone(), done.clone(), done_again, stock_back(2)]),
            "1020 pence given back, 510 captured",
        ),
        (
            with(
                delivered(),
                [returned(2, 510), opened.clone(), done.clone(), returned(2, 510), second, second_done, stock_back(2)],
            ),
            "2 pieces of TEA came back that it never had",
        ),
        ([begun(), undone(), vec![opened.clone(), done]].concat(), "510 pence given back, 0 captured"),
        (
            with(delivered(), [returned(2, 510), opened, refund_refused, stock_back(2)]),
            "the provider has refused what was decided (account closed)",
        ),
        (with(delivered(), [returned(2, 510), half.clone(), stock_back(2)]), "the refund was decided, and nobody asks"),
        (
            with(delivered(), [returned(1, 255), half, half_refused, returned(1, 255), rest, rest_done, stock_back(2)]),
            "the provider has refused what was decided (closed)",
        ),
        (with(delivered(), [credited(70)]), "credit C1: 0 pence given back, 70 owed"),
        (with(delivered(), [credited(-70)]), "credit C1 has a negative amount"),
        (with(delivered(), [nobodys]), "is for neither an order nor a credit"),
        (with(delivered(), [stock_back(3)]), "more of article TEA came back from order 1 than was shipped"),
        (with(begun(), [returned(2, 510)]), "was returned out of its turn"),
        ([begun(), labelled(), undone()].concat(), "its order was cancelled, and it was neither dropped nor delivered"),
        ([begun(), labelled(), undone(), vec![recall_opened()]].concat(), "is to drop it, and nobody asks for that"),
        (
            [begun(), labelled(), undone(), vec![recall_opened(), recall_failed()]].concat(),
            "the carrier has not dropped it (on the van)",
        ),
        (without(delivered(), is_handed_over), "was shipped, and no parcel was handed over"),
    ];
    for (events, sentence) in wrong {
        let found = found(events).await;
        assert!(found.iter().any(|problem| problem.contains(sentence)), "{sentence}: {found:#?}");
    }
}
