//! What other systems write goes in at the door as it stands and comes out in ours: every name of the shop's table, and every
//! form that a message may have, in an app that has none of the shop's services.

mod cases;

use std::collections::BTreeSet;

use axum::{body::Body, http::Request};
use factum::{
    Archive,
    envelope::{Envelope, Stored, When},
    payload::{Payload, PayloadError},
    prelude::*,
    stream::StreamId,
};
use serde_json::{Value, json};
use shop::contracts::{
    analytics::AnalyticsEvent, cart::*, catalog::*, customer::CustomerEvent, fraud::*, inventory::*,
    loyalty::LoyaltyEvent, notification::*, order::*, payment::*, shipping::*, spellings,
};
use tower::ServiceExt;

use self::cases::{commands, events};

/// Reads events of all services, and makes none.
fn probe() -> Service {
    let probe = Service::new("probe").decider::<Probe>();
    let probe = probe.react("cart", see::<CartEvent>).react("order", see::<OrderEvent>);
    let probe = probe.react("payment", see::<PaymentEvent>).react("inventory", see::<InventoryEvent>);
    let probe = probe.react("shipping", see::<ShippingEvent>).react("product", see::<ValidationEvent>);
    let probe = probe.react("customer", see::<CustomerEvent>).react("notification", see::<NotificationEvent>);
    let probe = probe.react("loyalty", see::<LoyaltyEvent>).react("fraud", see::<FraudEvent>);
    probe.react("analytics", see::<AnalyticsEvent>)
}

fn see<E: factum::payload::Event>(_: &Recorded<'_, E>, _: &mut Effects) {}

/// All commands that others may send.
#[derive(Command)]
enum Asking {
    AddItem(AddItem),
    Create(CreateOrder),
    Update(UpdateOrder),
    Cancel(CancelOrder),
    MarkPaid(MarkPaid),
    Validate(ValidateProducts),
    Authorize(AuthorizePayment),
    Capture(CapturePayment),
    Process(ProcessPayment),
    Refund(RefundPayment),
    Reserve(ReserveStock),
    Release(ReleaseStock),
    Ship(CreateShipment),
    Dispatch(DispatchShipment),
    Recall(CancelShipment),
    Check(CheckTransaction),
    Send(SendNotification),
}

/// A command came, as its contract reads it.
#[derive(Event)]
#[event("probe.asked")]
struct Asked {
    command: String,
    data: Value,
}

#[derive(Default)]
struct Probe;

impl Decider for Probe {
    const CATEGORY: &'static str = "probe";
    type Id = String;
    type Command = Asking;
    type Event = Asked;
    type Rejection = Never;

    fn address(_: &Asking, envelope: &Envelope) -> String {
        envelope.id.to_string()
    }

    fn decide(&self, _: &String, asking: Asking, _: &Context) -> Result<Vec<Asked>, Never> {
        let mut data = Vec::new();
        asking.encode(&mut data).unwrap();
        let command = asking.type_info().name.to_owned();
        Ok(vec![Asked { command, data: serde_json::from_slice(&data).unwrap() }])
    }

    fn evolve(&mut self, _: &Asked) {}
}

async fn start() -> App {
    App::in_memory().spellings(spellings::spellings()).with(probe()).start().await.unwrap()
}

async fn post(app: &App, path: &str, headers: &[(&str, &str)], body: &Value) -> (u16, Value) {
    let mut request = Request::post(format!("/factum/v1/{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = app.router().oneshot(request.body(Body::from(body.to_string())).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap())
}

/// The message of ours that a foreign one has become.
async fn ours(app: &App, path: &str, headers: &[(&str, &str)], body: &Value) -> Stored {
    let (status, answer) = post(app, path, headers, body).await;
    assert_eq!(status, 200, "{body}: {answer}");
    let stream = StreamId::parse(answer["messages"][0]["stream"].as_str().unwrap()).unwrap();
    Archive::of(app.reader()).stream(&stream).unwrap().pop().unwrap()
}

/// Reads an event by its contract.
fn by_contract(stored: &Stored) -> Result<(), PayloadError> {
    fn fits<E: Payload>(stored: &Stored) -> Option<Result<(), PayloadError>> {
        let known = E::types().iter().any(|info| info.name == stored.type_name());
        known.then(|| stored.decode::<E>().map(|_| ()))
    }
    let readers = [
        fits::<CartEvent>,
        fits::<OrderEvent>,
        fits::<PaymentEvent>,
        fits::<InventoryEvent>,
        fits::<ShippingEvent>,
        fits::<ValidationEvent>,
        fits::<CustomerEvent>,
        fits::<NotificationEvent>,
        fits::<LoyaltyEvent>,
        fits::<FraudEvent>,
        fits::<AnalyticsEvent>,
    ];
    let found = readers.iter().find_map(|reader| reader(stored));
    assert!(found.is_some(), "{} has no contract", stored.type_name());
    found.unwrap()
}

fn holds(name: &str, data: &Value, wanted: &[(&str, Value)]) {
    for (place, value) in wanted {
        assert_eq!(data.pointer(place), Some(value), "{name} {place}: {data}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_spelling_of_an_event_comes_out_as_ours() {
    let app = start().await;
    let mut number = 0;
    let mut take = async |name: &str, source: &str, data: &Value| {
        number += 1;
        let body = json!({ "eventId": format!("e-{number}"), "eventType": name, "version": "1.0", "source": source,
            "timestamp": "2011-12-09T12:50:00Z", "data": data });
        ours(&app, "events", &[], &body).await
    };
    for (names, data, ours, wanted) in events() {
        for name in names {
            let stored = take(name, "OrderService", &data).await;
            assert_eq!(stored.type_name(), ours, "{name}");
            assert_eq!(&*stored.envelope().source, "order-service");
            assert_eq!(by_contract(&stored).map_err(|error| error.to_string()), Ok(()), "{name}");
            holds(name, &serde_json::from_slice(&stored.message.data).unwrap(), &wanted);
        }
    }
    // Said by shipping, it is another event.
    let data = json!({ "shipmentId": "s-1", "orderId": "o-1", "dispatchedAt": "2011-12-09T12:50:00Z" });
    let stored = take("order.shipped", "fulfillment-service", &data).await;
    assert_eq!((stored.type_name(), &*stored.envelope().source), ("shipping.dispatched", "shipping-service"));
    by_contract(&stored).unwrap();
    app.rest().await.unwrap();
    let health = app.health();
    assert_eq!((health.engine.letters, health.engine.stopped.len()), (0, 0), "all of it was read");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_spelling_of_a_command_comes_out_as_ours() {
    let app = start().await;
    let mut number = 0;
    for (names, data, wanted_type, wanted) in commands() {
        for name in names {
            number += 1;
            let body = json!({ "commandId": format!("cmd-{number}"), "command": name, "timestamp": "2011-12-09T12:50:00Z", "data": data });
            let asked: Asked = ours(&app, "commands", &[], &body).await.decode().unwrap();
            assert_eq!(asked.command, wanted_type, "{name}");
            holds(name, &asked.data, &wanted);
        }
    }
    app.stop().await;
}

/// A name that is taken out of the table, or put into it, is noticed here.
#[test]
fn every_name_of_the_table_is_tried_and_none_beside() {
    for (table, cases, beside) in [(spellings::EVENTS, events(), vec![]), (spellings::COMMANDS, commands(), vec![])] {
        let ours: BTreeSet<&str> = table.iter().map(|spelled| spelled.ours()).collect();
        let mut theirs: BTreeSet<(&str, &str)> = BTreeSet::new();
        for spelled in table {
            // By whom it is sent is tried by itself.
            let told = spelled.theirs().filter(|(_, when)| !matches!(when, Some(When::From(_))));
            theirs.extend(told.map(|(name, _)| (name, spelled.ours())));
        }
        let tried: BTreeSet<(&str, &str)> =
            cases.iter().flat_map(|(names, _, ours, _)| names.iter().map(move |name| (*name, *ours))).collect();
        let foreign: BTreeSet<_> = tried.into_iter().filter(|(name, to)| name != to).chain(beside).collect();
        assert_eq!(foreign, theirs);
        assert_eq!(cases.iter().map(|case| case.2).collect::<BTreeSet<_>>(), ours);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_of_a_message_is_taken_as_it_stands() {
    let app = start().await;
    let data = json!({ "orderId": "o-1", "reason": "customer" });
    let full = json!({ "id": "e-1", "type": "order.cancelled", "source": "order-service", "dataVersion": "1.0.0",
        "timestamp": "2011-12-09T12:50:00Z", "correlationId": "c-1", "causationId": "cmd-1", "userId": "u-1",
        "subject": "order-o-1", "sequence": 4, "partitionKey": "o-1", "metadata": { "a": 1 }, "data": data,
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" });
    let theirs = json!({ "eventId": "evt-12345", "eventType": "OrderCancelled", "version": "2.0".replace('2', "1"),
        "aggregateId": "o-1", "sequenceNumber": 4, "correlationId": "c-1", "data": data });
    let small = json!({ "type": "OrderCancelled", "timestamp": "2011-12-09T12:50:00Z", "data": data });
    let nested = |inner: &Value| json!({ "topic": "orders", "partition": 3, "event": inner });
    let dead = |inner: &Value| {
        json!({ "originalEvent": inner, "failureReason": "no", "failureCount": 3,
        "failedAt": "2011-12-09T12:50:00Z", "nextRetry": null, "consumer": "x", "attempts": [], "codeVersion": "1", "state": "open" })
    };
    let cloud =
        json!({ "specversion": "1.0", "id": "e-2", "source": "OrderService", "type": "OrderCancelled", "data": data });
    let attributes = [("eventType", "OrderCancelled"), ("correlationId", "c-9")];
    for (headers, body) in [
        (&[][..], full.clone()),
        (&[], theirs.clone()),
        (&[], small.clone()),
        (&[], nested(&theirs)),
        (&[], dead(&full)),
        (&[], dead(&nested(&small))),
        (&[], cloud),
        (&attributes, json!({ "id": "e-3", "data": data })),
    ] {
        let stored = ours(&app, "events", headers, &body).await;
        assert_eq!((stored.type_name(), stored.stream.as_str()), ("order.cancelled", "order-o-1"), "{body}");
        by_contract(&stored).unwrap();
    }
    let stream = Archive::of(app.reader()).stream(&StreamId::parse("order-o-1").unwrap()).unwrap();
    assert_eq!(stream.len(), 5, "what came twice is there once");
    assert_eq!(stream[4].envelope().correlation_id.to_string(), "c-9");

    let of_saga = json!({ "sagaId": "saga-12345", "orderId": "o-1", "currentStep": 1,
        "command": { "service": "InventoryService", "action": "reserve_inventory", "data": { "items": [{ "productId": "A", "quantity": 1 }] } } });
    let flat = json!({ "commandId": "cmd-11111", "command": "inventory.reserve", "sagaId": "saga-12345", "orderId": "o-1",
        "currentStep": 1, "service": "inventory-service", "action": "reserve", "timestamp": "2011-12-09T12:50:00Z",
        "data": { "orderId": "o-1", "items": [{ "sku": "A", "quantity": 1 }] } });
    for body in [of_saga, flat] {
        let stored = ours(&app, "commands", &[], &body).await;
        let asked: Asked = stored.decode().unwrap();
        assert_eq!((&*asked.command, &asked.data["items"][0]["sku"]), ("inventory.reserve", &json!("A")), "{body}");
        assert_eq!(asked.data["orderId"], "o-1");
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shop_itself_takes_no_events_of_its_own_domains() {
    let app = shop::services::equipped(App::in_memory(), &shop::services::Options::default()).start().await.unwrap();
    // A start on a live clock tells the schedules.
    app.rest().await.unwrap();
    let before = app.position();
    for (names, data, ours, _) in events() {
        let body = json!({ "id": "e-1", "type": names[0], "source": "erp", "data": data });
        let (status, answer) = post(&app, "events", &[], &body).await;
        assert_eq!((status, &answer["code"]), (409, &json!("owned_here")), "{ours}: {answer}");
        let detail = answer["detail"].as_str().unwrap();
        assert!(
            detail.contains("of this program") && detail.contains("the command that leads to it instead"),
            "{detail}"
        );
    }
    assert_eq!(app.position(), before);
    // What it does not know it keeps for those who will; a command of others is carried out.
    let (status, answer) =
        post(&app, "events", &[], &json!({ "id": "e-1", "type": "weather.changed", "data": {} })).await;
    assert_eq!(status, 200, "{answer}");
    let register = json!({ "id": "k-1", "type": "product.register", "data":
        { "sku": "TEA", "name": "tea", "price": { "amount": "2.55", "currency": "GBP" }, "active": true } });
    let (status, answer) = post(&app, "commands", &[], &register).await;
    assert_eq!((status, &answer["messages"][0]["stream"]), (200, &json!("product-TEA")), "{answer}");
    app.stop().await;
}

/// What a partner's answer or the process says is not for others to say: a payment would be taken that nobody made.
#[tokio::test(flavor = "multi_thread")]
async fn own_commands_are_not_taken_from_others() {
    let app = shop::services::equipped(App::in_memory(), &shop::services::Options::default()).start().await.unwrap();
    // A start on a live clock tells the schedules.
    app.rest().await.unwrap();
    let before = app.position();
    let types = app.types();
    let own: Vec<_> = types.iter().filter(|it| it.own && it.kind == "command").map(|it| &*it.type_name).collect();
    for name in ["payment.record", "shipping.record", "order.confirm", "partners.choose"] {
        assert!(own.contains(&name), "{name} is own");
    }
    for name in own {
        let body = json!({ "id": "k-1", "type": name, "source": "erp", "kind": "command", "data": {} });
        let (status, answer) = post(&app, "commands", &[], &body).await;
        assert_eq!((status, &answer["code"]), (409, &json!("owned_here")), "{name}: {answer}");
        assert!(answer["detail"].as_str().unwrap().contains("own command"), "{answer}");
    }
    assert_eq!(app.position(), before);
    app.stop().await;
}
