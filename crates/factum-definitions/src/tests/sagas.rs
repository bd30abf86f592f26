//! Sagas as people write them: what they come to, and what is told of those that are wrong.

use factum_core::{
    envelope::{Spelled, Spellings},
    reaction::{Effects, Folding, Reaction},
    rejection::Never,
    replies::Replies,
    saga::{Role, Versions, requesting},
    service::Service,
};
use factum_macros::{Command, Event};

use super::{Recorded, sentences};
use crate::{Definitions, Problem};

macro_rules! messages {
    ($($derive:ident $attribute:ident $name:ident $type_name:literal { $($field:ident: $of:ty),* };)+) => {$(
        #[derive($derive, Clone, Debug)]
        #[$attribute($type_name)]
        #[allow(dead_code, reason = "only their shapes are looked at")]
        struct $name { $($field: $of),* }
    )+};
}

messages! {
    Command command CreateOrder "order.create" { order_id: String, items: Vec<String>, total: i64 };
    Command command CancelOrder "order.cancel" { order_id: String, reason: String };
    Command command ShipOrder "order.ship" { order_id: String };
    Event event OrderCreated "order.created" { order_id: String, customer_id: String, items: Vec<String>, total: i64 };
    Event event OrderCancelled "order.cancelled" { order_id: String, reason: String };
    Event event OrderShipped "order.shipped" { order_id: String };
    Command command Reserve "inventory.reserve" { order_id: String, items: Vec<String> };
    Command command Release "inventory.release" { order_id: String, reason: String };
    Command command Receive "inventory.receive" { sku: String };
    Event event Reserved "inventory.reserved" { order_id: String, reservation_id: String };
    Event event ReservationFailed "inventory.reservation_failed" { order_id: String, reason: String };
    Event event Released "inventory.released" { order_id: String };
    Command command Process "payment.process" { order_id: String, amount: i64 };
    Command command Refund "payment.refund" { order_id: String, payment_id: String, reason: String };
    Event event Captured "payment.captured" { order_id: String, payment_id: String };
    Event event PaymentFailed "payment.failed" { order_id: String, reason: String };
    Event event Refunded "payment.refunded" { order_id: String, payment_id: String };
    Command command Weigh "scales.weigh" { sku: String };
    Event event Weighed "scales.weighed" { sku: String };
}

#[derive(Event)]
enum Orders {
    Created(OrderCreated),
    Cancelled(OrderCancelled),
    Shipped(OrderShipped),
}

#[derive(Event)]
#[event("cart.changed", own)]
struct CartChanged {
    cart_id: String,
}

#[derive(Event)]
enum Others {
    Reserved(Reserved),
    Failed(ReservationFailed),
    Released(Released),
    Captured(Captured),
    Refused(PaymentFailed),
    Refunded(Refunded),
    Weighed(Weighed),
}

/// Answers a command without declaring by what.
fn silent() -> Folding<()> {
    Folding::new("receiving", 1).answer(|(), _: &Receive, _, _| Ok::<(), Never>(()))
}

fn services() -> Vec<Service> {
    let makes = |_: &Recorded<'_, CartChanged>, _: &mut Effects| {};
    let (orders, others) = (Reaction::new("orders", makes), Reaction::new("others", makes));
    let carts = Reaction::new("carts", |_: &Recorded<'_, OrderCreated>, _: &mut Effects| {});
    vec![
        Service::new("order")
            .source("order-service")
            .owns("order")
            .reaction(orders.emits::<Orders>("order"))
            .answers(Replies::to::<CreateOrder>().done::<OrderCreated>().undone_by::<CancelOrder>())
            .answers(Replies::to::<CancelOrder>().done::<OrderCancelled>().nothing_to_undo())
            .answers(Replies::to::<ShipOrder>().done::<OrderShipped>()),
        Service::new("inventory")
            .source("inventory-service")
            .answers(
                Replies::to::<Reserve>()
                    .done::<Reserved>()
                    .refused::<ReservationFailed>(|e| e.reason.clone())
                    .undone_by::<Release>(),
            )
            .answers(Replies::to::<Release>().done::<Released>().nothing_to_undo())
            .folding(silent()),
        Service::new("payment")
            .answers(
                Replies::to::<Process>()
                    .done::<Captured>()
                    .refused::<PaymentFailed>(|e| e.reason.clone())
                    .undone_by::<Refund>(),
            )
            .answers(Replies::to::<Refund>().done::<Refunded>().nothing_to_undo()),
        Service::new("cart").owns("cart").owns("stock").reaction(carts.emits::<CartChanged>("cart")),
        Service::new("scales")
            .owns("things")
            .reaction(others.emits::<Others>("things"))
            .answers(Replies::to::<Weigh>().done::<Weighed>().nothing_to_undo()),
    ]
}

fn spellings() -> Spellings {
    const COMMANDS: &[Spelled] = &[Spelled::new("payment.process", &["charge"])];
    Spellings::new().commands(COMMANDS).unwrap()
}

fn resolved(yaml: &str) -> Result<Vec<Service>, Vec<Problem>> {
    Definitions::new().add("a.yaml", yaml).resolve(&services(), &spellings())
}

/// The sagas of a definition that is right.
fn sagas(yaml: &str) -> Vec<Versions> {
    match resolved(yaml) {
        Ok(mut services) => services.remove(0).sagas,
        Err(problems) => panic!("{}\n{yaml}", sentences(&problems)),
    }
}

const SAMPLE: &str = "
saga: order-creation
steps:
  - service: inventory-service
    action: reserve-inventory
    compensation: release-inventory
  - service: payment-service
    action: process-payment
    compensation: refund-payment
  - service: order-service
    action: create-order
    compensation: cancel-order
";

/// The same, as other people write it.
const SHAPES: [&str; 9] = [
    SAMPLE,
    "saga:\n  name: order-creation\n  steps:\n    - { service: inventory, action: reserve, compensation: release }\n    - { service: payment, action: process, compensation: refund }\n    - { service: order, action: create, compensation: cancel }",
    "sagas:\n  order_creation:\n    steps:\n      - inventory.reserve\n      - charge\n      - order.create",
    "OrderCreation_:\n  steps: [ReserveInventory, ProcessPayment, CreateOrder]\n  name: order_creation",
    "- saga: order-creation\n  steps:\n    - reserve_inventory\n    - payment.process\n    - createOrder",
    "saga: order creation\nsteps:\n  reserve: { action: inventory.reserve, undo: inventory.release }\n  pay: { action: charge }\n  create: { action: order.create }",
    "saga: order.creation\nversion: 1.0\nkey: orderId\nsteps:\n  - reserve: { service: inventory, action: reserve }\n  - pay: { service: payment, action: charge }\n  - create: { service: order, action: create }",
    "saga: order-creation\nsteps:\n  - { action: inventory.reserve, compensation: { service: inventory, action: release }, timeout: 30s, retry: { attempts: 3 } }\n  - { action: charge, compensation: payment.refund, retries: 2 }\n  - { action: order.create, description: at last }",
    "saga: order-creation\ndescription: all at once\nsteps:\n  - inventory.reserve\n  - - charge\n    - order.create",
];

#[test]
fn what_people_write_is_one_saga() {
    for yaml in SHAPES {
        let sagas = sagas(yaml);
        let saga = sagas[0].newest();
        assert_eq!(
            (saga.name(), saga.version(), saga.key(), sagas.len()),
            ("order_creation", 1, "orderId", 1),
            "{yaml}"
        );
        let sent: Vec<&str> =
            saga.uses().iter().filter(|used| used.role == Role::Sent).map(|used| used.info.name).collect();
        let wanted = [
            "inventory.reserve",
            "inventory.release",
            "payment.process",
            "payment.refund",
            "order.create",
            "order.cancel",
        ];
        assert_eq!(sent, wanted, "{yaml}");
        assert!(saga.request().is_some(), "{yaml}");
    }
}

#[test]
fn a_table_says_what_it_was_read_from_and_can_be_read_again() {
    let yaml = "saga: order-creation
start: order.created
steps:
  - { name: keep, service: inventory, action: reserve, timeout: 45s }
  - { name: weigh, action: weigh, beside: true, bestEffort: true, with: { sku: orderId }, key: sku }
";
    let found = resolved(yaml).err().unwrap();
    assert!(found[0].sentence.contains("a step has no `key`"), "{}", sentences(&found));
    let yaml = "saga: order-creation
start: order.created
steps:
  - { name: keep, service: inventory, action: reserve, timeout: 45s, error: sold_out }
  - { name: pay, action: charge, with: { amount: total }, bestEffort: true }
  - { name: ship, action: order.ship, pivot: true, within: 2 days }
";
    let printed = sagas(yaml)[0].newest().yaml();
    for line in [
        "start: order.created",
        "send: inventory.reserve",
        "within: 45s",
        "error: sold_out",
        "bestEffort: true",
        "pivot: true",
    ] {
        assert!(printed.contains(line), "{line} is not in\n{printed}");
    }
    let again = printed.replace("send: payment.process", "send: payment.process\n    with: { amount: total }");
    assert_eq!(sagas(&again)[0].newest().yaml(), printed);
}

#[test]
fn sagas_that_are_asked_for_share_one_door_and_those_of_events_have_none() {
    let yaml = format!("{SAMPLE}---\nsaga: keeping\nstart: order.created\nsteps: [inventory.reserve]\n");
    let mut defined = resolved(&yaml).unwrap();
    assert_eq!((defined.len(), &*defined[0].name, defined[0].sagas.len()), (1, "sagas", 2));
    let door = requesting(&defined).unwrap();
    let made: Vec<&str> = door.deciders[0].events().iter().map(|info| info.name).collect();
    assert_eq!(made, ["order_creation.received"]);
    defined[0].sagas.remove(0);
    assert!(requesting(&defined).is_none());
}

/// Steps around a line, which is line 3.
fn steps(line: &str) -> String {
    format!("saga: a\nsteps:\n  - {line}\n  - {{ name: last, service: order, action: cancel }}\n")
}

#[test]
fn each_mistake_gets_a_sentence_with_its_line() {
    let mistakes: Vec<(String, usize, &str)> = vec![
        ("steps: [order.create]".to_owned(), 1, "the saga has no name: add `saga: checkout`"),
        ("saga: a".to_owned(), 1, "the saga has no steps: add `steps:`"),
        ("saga: a\nsteps: []".to_owned(), 1, "the saga has no steps"),
        ("saga: a\nsteps: order.create".to_owned(), 2, "`steps` is a list, and this is a text"),
        ("saga: a\nstpes: []".to_owned(), 2, "is `steps` meant?"),
        ("saga: a\nversion: new\nsteps: [order.create]".to_owned(), 2, "a whole number from 1"),
        ("saga: order\nsteps: [order.create]".to_owned(), 1, "belong to the service order"),
        ("saga: 9to5!\nsteps: [order.create]".to_owned(), 1, "9to5!"),
        (format!("{SAMPLE}---{SAMPLE}"), 14, "there are two sagas `order-creation` of version 1: raise the `version`"),
        (steps("{ service: ordr, action: create }"), 3, "there is no service `ordr`: is `order` meant?"),
        (steps("{ service: order }"), 3, "the step has no action: add `action:`"),
        (steps("{ service: order, action: craete }"), 3, "answers no command `craete`: is `order.create` meant?"),
        (steps("{ action: fly }"), 3, "no service answers a command `fly`"),
        (
            steps("{ service: order, action: reserve-inventory }"),
            3,
            "`reserve-inventory` is `inventory.reserve`, which inventory answers and not order: write `service: inventory`",
        ),
        (steps("{ service: inventory, action: receive }"), 3, "does not say what `inventory.receive` is answered by"),
        (steps("{ service: order, action: ship }"), 3, "nothing undoes `order.ship`: add `compensation:`"),
        (
            steps("{ service: inventory, action: reserve, compensation: refund-payment }"),
            3,
            "`inventory.reserve` is undone by `inventory.release` and not by `payment.refund`",
        ),
        (steps("{ service: inventory, action: reserve, compensation: none }"), 3, "leaves something behind"),
        (steps("{ service: inventory, action: reserve, compensation: relaese }"), 3, "is `inventory.release` meant?"),
        (steps("{ action: inventory.reserve, compenstation: release }"), 3, "is `compensation` meant?"),
        (steps("{ name: last, action: inventory.reserve }"), 4, "two steps are called `last`"),
        (
            format!("{}  - {{ name: again, action: order.cancel }}\n", steps("inventory.reserve")),
            5,
            "`last` sends `order.cancel` too",
        ),
        (steps("{ action: inventory.reserve, timeout: soon }"), 3, "a span of time such as `30s`"),
        (steps("{ action: inventory.reserve, timeout: 0s }"), 3, "a span of time such as `30s`"),
        (steps("{ action: inventory.reserve, retry: often }"), 3, "how often the compensation is sent"),
        (steps("{ action: inventory.reserve, pivot: perhaps }"), 3, "`pivot` is `true` or `false`"),
        (steps("{ action: inventory.reserve, pivot: true, bestEffort: true }"), 3, "choose one"),
        (
            "saga: a\nsteps:\n  - { action: order.create, pivot: true }\n  - { action: order.ship, pivot: true }"
                .to_owned(),
            4,
            "there is a pivot before it already",
        ),
        (steps("{ action: inventory.reserve, beside: true }"), 3, "stands beside nothing"),
        (steps("{ action: inventory.reserve, reply: inventory.reservd }"), 3, "is `inventory.reserved` meant?"),
        (steps("{ action: inventory.reserve, with: { itmes: goods } }"), 3, "is `items` meant?"),
        (steps("{ action: inventory.reserve, with: items }"), 3, "as `{ amount: total }`, and this is a text"),
        (
            "saga: a\nkey: customerId\nsteps: [order.create]".to_owned(),
            2,
            "`customerId` does not name the instance in `order.cancelled`",
        ),
        (steps("{ action: weigh }"), 1, "no field `…Id` stands in all events of the saga: add `key:`"),
        ("saga: a\nstart: order.creatd\nsteps: [inventory.reserve]".to_owned(), 2, "is `order.created` meant?"),
        ("saga: a\nstart: cart.changed\nsteps: [inventory.reserve]".to_owned(), 2, "own event of cart"),
        (
            "saga: a\nstart: order.created\nsteps:\n  - inventory.reserve\n  - charge".to_owned(),
            5,
            "`payment.process` needs `amount`, which neither order.created nor a step before says",
        ),
        (format!("saga: a\nsteps:\n{}", "  - inventory.reserve\n".repeat(65)), 67, "more than 64 steps"),
    ];
    let missed = mistakes.iter().filter_map(|(yaml, line, wanted)| {
        let found = resolved(yaml).err().unwrap_or_default();
        let hit = found.iter().any(|problem| problem.line == *line && problem.sentence.contains(wanted));
        (!hit).then(|| format!("`{wanted}` in line {line} of:\n{yaml}\nis not in:\n{}", sentences(&found)))
    });
    let missed: Vec<String> = missed.collect();
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn nothing_that_is_read_makes_it_panic() {
    let mut random = fastrand::Rng::with_seed(11);
    let parts =
        ["'", "{", "}", "[", "]", ":", "- ", "\n", "  ", "saga", "steps", "true", "none", "é", "\u{212a}", "%", "~"];
    for _ in 0..3_000 {
        let mut text: Vec<char> = SHAPES[random.usize(0..SHAPES.len())].chars().collect();
        for _ in 0..random.usize(1..6) {
            let at = random.usize(0..=text.len());
            match random.u8(0..3) {
                0 => drop(text.drain(at.saturating_sub(random.usize(0..9))..at)),
                _ => drop(text.splice(at..at, parts[random.usize(0..parts.len())].chars())),
            }
        }
        let _ = resolved(&text.into_iter().collect::<String>());
    }
}
