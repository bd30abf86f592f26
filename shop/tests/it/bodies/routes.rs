//! Every route that takes a body, with a body that it takes; and requests drawn from them.

use std::fmt;

use axum::http::Method;
use fastrand::Rng;
use serde_json::{Value, json};

use super::{
    damage::damage,
    json::{Json, odd, one_of},
    world::World,
};
use crate::shop::secret;

/// A route that takes a body.
pub struct Takes {
    pub method: &'static str,
    pub path: &'static str,
    /// Where what it accepts is read: the path below which it stands, or nothing if there is no such place.
    pub read: &'static str,
    sound: fn(&World, &mut Rng) -> Value,
}

const fn takes(
    method: &'static str,
    path: &'static str,
    read: &'static str,
    sound: fn(&World, &mut Rng) -> Value,
) -> Takes {
    Takes { method, path, read, sound }
}

/// All of them. Who adds a route adds it here, with a body that it takes.
pub const BODIES: &[Takes] = &[
    takes("PUT", "/products/{sku}", "/products/{}", product),
    takes("PUT", "/customers/{id}", "/customers/{}", customer),
    takes("POST", "/stock/{sku}/receive", "/stock/{}", received),
    takes("POST", "/stock/{sku}/adjust", "/stock/{}", adjusted),
    takes("POST", "/carts", "", cart),
    takes("POST", "/carts/{id}/items", "/carts/{}", item),
    takes("DELETE", "/carts/{id}/items/{sku}", "/carts/{}", nothing),
    takes("POST", "/carts/{id}/check-out", "/carts/{}", checked_out),
    takes("POST", "/carts/{id}/abandon", "/carts/{}", because),
    takes("POST", "/orders", "", order),
    takes("POST", "/orders/{id}/cancel", "/orders/{}", because),
    takes("POST", "/orders/{id}/return", "/orders/{}", returned),
    takes("POST", "/orders/{id}/hold/release", "/orders/{}", looked_at),
    takes("POST", "/payments/{id}/retry", "/payments/{}", retried),
    takes("POST", "/shipments/{id}/retry", "/shipments/{}", nothing),
    takes("POST", "/carrier/news", "", news),
    takes("POST", "/factum/v1/move", "", |_, _| json!({ "to": "./elsewhere" })),
    takes("DELETE", "/factum/v1/move", "", nothing),
    takes("POST", "/factum/v1/events", "", foreign_event),
    takes("POST", "/factum/v1/commands", "", foreign_command),
    takes("POST", "/factum/v1/letters/{id}/try", "/factum/v1/letters/{}", signed),
    takes("POST", "/factum/v1/letters/{id}/redrive", "", signed),
    takes("POST", "/factum/v1/letters/{id}/discard", "", signed),
    takes("POST", "/factum/v1/letters/{id}/release", "", signed),
    takes("POST", "/factum/v1/letters/{id}/plan", "/factum/v1/letters/{}", planned),
    takes("POST", "/factum/v1/plans", "", plan),
    takes("POST", "/factum/v1/plans/{id}/approve", "/factum/v1/plans/{}", approval),
    takes("POST", "/factum/v1/plans/{id}/cancel", "/factum/v1/plans/{}", signed),
    takes("POST", "/factum/v1/consumers/{name}/try-again", "", signed),
    takes("POST", "/factum/v1/groups/{name}/poll", "", nothing),
    takes("POST", "/factum/v1/groups/{name}/ack", "", settled),
    takes("POST", "/factum/v1/groups/{name}/nack", "", settled),
    takes("POST", "/factum/v1/groups/{name}/extend", "", settled),
    takes("POST", "/factum/v1/schedules/{name}/pause", "", signed),
    takes("POST", "/factum/v1/schedules/{name}/resume", "", signed),
    takes("POST", "/factum/v1/schedules/{name}/run", "", signed),
    takes("POST", "/factum/v1/schedules/{name}/backfill", "", filling),
    takes("POST", "/factum/v1/sagas", "", asked_for),
    takes("POST", "/factum/v1/sagas/{id}/retry", "/factum/v1/sagas/{}", on_step),
    takes("POST", "/factum/v1/sagas/{id}/resolve", "/factum/v1/sagas/{}", on_step),
    takes("POST", "/factum/v1/sagas/{id}/undo", "/factum/v1/sagas/{}", signed),
    takes("POST", "/factum/v1/sagas/{id}/move", "/factum/v1/sagas/{}", moving),
];

/// Of a worker that has been away: its leases are another's.
fn settled(_: &World, random: &mut Rng) -> Value {
    json!({ "tokens": [format!("a-{}-{}", random.u16(..), random.u8(..))] })
}

fn product(_: &World, random: &mut Rng) -> Value {
    let name = one_of(random, &["Tea", "T\u{e9}a", "a \"quoted\" cup", "\u{1f375}"]);
    json!({ "name": name, "price": one_of(random, &["2.55", "0.135", "0", "10"]), "active": random.u8(..) > 10 })
}

fn customer(_: &World, random: &mut Rng) -> Value {
    let all = json!({
        "name": one_of(random, &["Mara", "J\u{fc}rgen", "\u{6771}\u{4eac}"]), "email": "m@example.org", "phone": "+44 1",
        "address": { "country": "GB", "name": "M", "street": "1 High Street", "city": "Hull", "postcode": "HU1" },
    });
    if random.bool() { all } else { json!({ "phone": random.u16(..).to_string() }) }
}

/// Of others, of the shop's own domains, and of what nobody knows.
fn foreign_event(_: &World, random: &mut Rng) -> Value {
    let event = |random: &mut Rng| {
        let name = one_of(random, &["weather.changed", "WeatherChanged", "OrderPlaced", "parcel.weighed"]);
        json!({ "eventId": format!("e-{}", random.u16(..400)), "eventType": name, "source": "erp", "version": "1.0",
            "aggregateId": one_of(random, &["7", "TEA", "weather-hull"]), "metadata": { "a": 1 }, "tenant": "acme",
            "data": { "userId": 7, "items": [{ "productId": "TEA", "quantity": 2, "price": 2.55 }], "totalAmount": 5.1 } })
    };
    match random.u8(..5) {
        0 => (0..random.usize(1..4)).map(|_| event(random)).collect(),
        1 => json!({ "topic": "weather", "partition": 1, "event": event(random) }),
        2 => json!({ "originalEvent": event(random), "failureCount": 2 }),
        _ => event(random),
    }
}

fn foreign_command(_: &World, random: &mut Rng) -> Value {
    let sku = one_of(random, &["TEA", "CUP", "MUG"]);
    let data = json!({ "sku": sku, "name": "tea", "price": { "amount": "2.55", "currency": "GBP" }, "active": true });
    let command =
        json!({ "commandId": format!("c-{}", random.u16(..400)), "command": "product.register", "data": data });
    match random.u8(..4) {
        0 => json!([command, { "type": "product.register", "data": data }]),
        1 => json!({ "sagaId": "s-1", "orderId": "none", "currentStep": 1,
            "command": { "service": "order-service", "action": "CancelOrder", "data": {} } }),
        _ => command,
    }
}

fn received(_: &World, random: &mut Rng) -> Value {
    json!({ "quantity": random.i64(1..2_000) })
}

fn adjusted(_: &World, random: &mut Rng) -> Value {
    json!({ "quantity": random.i64(-30..50), "reason": "counted" })
}

fn items(random: &mut Rng, most: i64) -> Value {
    let item = |random: &mut Rng| {
        let sku = one_of(random, &["TEA", "CUP", "tea", "MUG", "GOLD"]);
        json!({ "sku": sku, "quantity": random.i64(1..=most) })
    };
    (0..random.usize(1..4)).map(|_| item(random)).collect()
}

fn order(_: &World, random: &mut Rng) -> Value {
    let items = items(random, 5);
    match random.u8(..3) {
        0 => json!({ "items": items }),
        1 => json!({ "customerId": "c-1", "items": items, "paymentMethod": "card" }),
        _ => json!({
            "customerId": one_of(random, &["c-2", "c-often"]), "items": items,
            "shippingAddress": { "country": "GB", "city": "Hull", "street": "1 High Street" },
        }),
    }
}

fn cart(_: &World, random: &mut Rng) -> Value {
    if random.bool() { json!({}) } else { json!({ "customerId": one_of(random, &["c-1", "c-2"]) }) }
}

fn item(_: &World, random: &mut Rng) -> Value {
    json!({ "sku": one_of(random, &["TEA", "CUP", "tea", "GOLD"]), "quantity": random.i64(1..5) })
}

fn nothing(_: &World, _: &mut Rng) -> Value {
    json!({})
}

fn checked_out(_: &World, random: &mut Rng) -> Value {
    match random.u8(..3) {
        0 => json!({}),
        1 => json!({ "customerId": "c-1", "paymentMethod": "card", "shippingAddress": { "country": "GB" } }),
        _ => json!({ "total": { "amount": random.i64(1..3_000), "currency": "GBP" } }),
    }
}

fn because(_: &World, _: &mut Rng) -> Value {
    json!({ "reason": "changed my mind" })
}

fn returned(_: &World, random: &mut Rng) -> Value {
    let sku = one_of(random, &["TEA", "CUP", "cup"]);
    json!({ "items": [{ "sku": sku, "quantity": random.i64(1..3) }], "reason": "broken" })
}

fn looked_at(_: &World, random: &mut Rng) -> Value {
    json!({ "verdict": one_of(random, &["cleared", "flagged"]), "by": "mara" })
}

fn retried(_: &World, random: &mut Rng) -> Value {
    if random.bool() { json!({}) } else { json!({ "refundId": "r-1" }) }
}

fn news(world: &World, random: &mut Rng) -> Value {
    let shipment = world.id("/shipments/", random);
    let state = one_of(random, &["dispatched", "delivered", "failed"]);
    json!({ "shipmentId": shipment, "state": state, "at": world.app.now() })
}

fn signed(_: &World, random: &mut Rng) -> Value {
    json!({ "by": one_of(random, &["mara", "noor"]), "why": "it is mended" })
}

fn filling(_: &World, _: &mut Rng) -> Value {
    json!({ "by": "mara", "why": "it was down", "from": "2025-01-01T00:00:00Z", "to": "2025-01-02T00:00:00Z" })
}

fn planned(world: &World, random: &mut Rng) -> Value {
    match random.u8(..3) {
        0 => json!({ "by": "mara", "at": world.app.now() }),
        1 => json!({ "by": "mara", "whenProgramChanges": true }),
        _ => json!({ "by": "mara", "why": "not any more" }),
    }
}

fn plan(_: &World, random: &mut Rng) -> Value {
    let query = json!({ "consumer": "workshop.label" });
    match random.u8(..4) {
        0 => json!({ "act": "redrive", "query": query, "rate": 1000, "by": "mara" }),
        1 => json!({ "act": "discard", "query": query, "by": "mara", "why": "old", "secondPerson": true }),
        2 => json!({ "act": "redeliver", "consumer": "workshop.label", "key": "MUG", "by": "noor" }),
        _ => json!({ "act": "move", "saga": "fulfilment", "from": 1, "to": 2, "by": "noor" }),
    }
}

fn approval(world: &World, random: &mut Rng) -> Value {
    let hash = random.choice(&world.plans).map_or("0", |(_, hash)| hash);
    json!({ "by": "noor", "hash": hash })
}

fn asked_for(_: &World, random: &mut Rng) -> Value {
    let items = json!([{ "sku": one_of(random, &["TEA", "CUP"]), "quantity": random.u32(1..5) }]);
    json!({ "saga": "keeping", "data": { "orderId": format!("k-{}", random.u32(..50)), "items": items } })
}

fn on_step(_: &World, random: &mut Rng) -> Value {
    let step = one_of(random, &["validate", "reserve", "pay", "deliver"]);
    if random.bool() { signed_of(random) } else { json!({ "by": "mara", "why": "seen", "step": step }) }
}

fn signed_of(random: &mut Rng) -> Value {
    json!({ "by": one_of(random, &["mara", "noor"]), "why": "it is mended" })
}

fn moving(_: &World, random: &mut Rng) -> Value {
    json!({ "by": "mara", "version": random.u32(1..4) })
}

/// A request as it is drawn.
pub struct Case {
    pub method: Method,
    pub path: String,
    pub headers: Vec<(&'static str, Vec<u8>)>,
    pub body: Vec<u8>,
    /// What the path names, as it stands there.
    pub id: String,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |bytes: &[u8]| bytes[..bytes.len().min(600)].escape_ascii().to_string();
        write!(f, "{} {}", self.method, short(self.path.as_bytes()))?;
        for (name, value) in &self.headers {
            write!(f, "\n  {name}: {}", short(value))?;
        }
        write!(f, "\n  {} bytes: {}", self.body.len(), short(&self.body))
    }
}

/// The end of any log.
const FAR: &str = "18446744073709551615";

impl Takes {
    /// A body that the route takes.
    pub fn sound(&self, world: &World, random: &mut Rng) -> Value {
        (self.sound)(world, random)
    }
}

impl Case {
    /// A body to its route, and nothing beside it.
    pub fn plain(takes: &Takes, world: &World, body: Vec<u8>) -> Self {
        let (before, after) = takes.path.split_once('{').unwrap_or((takes.path, ""));
        let after = after.split_once('}').map_or("", |(_, after)| after);
        let id = if before == takes.path { String::new() } else { world.first(takes.path) };
        let query = if takes.path.ends_with("/resolve") { "?dryRun=true" } else { "" };
        let headers = match takes.path {
            "/carrier/news" => vec![("carrier-signature", secret().sign(&body).into_bytes())],
            _ => Vec::new(),
        };
        let method = takes.method.parse().unwrap();
        let after = after.replace("{sku}", "GOLD");
        Self { method, path: format!("{before}{id}{after}{query}"), headers, body, id }
    }

    /// Whether it asks for what the log will never hold.
    pub fn waits(&self) -> bool {
        let far = |(name, value): &(&str, Vec<u8>)| *name == "factum-position" && value.ends_with(FAR.as_bytes());
        self.headers.iter().any(far)
    }
}

/// Segments of a path, as they are sent.
const SEGMENTS: [&str; 18] = [
    "",
    "%00",
    "%1b%5B2J",
    "%e2%80%ae",
    "%E2%80%8BTEA",
    "%ff",
    "%zz",
    "%",
    "..",
    ".",
    "%2e%2e%2f",
    "%C0%80",
    "e%CC%81",
    "TEA%20",
    "none",
    "a:b;c=d",
    "{id}",
    "+",
];
/// What stands behind the question mark.
const QUERIES: [&str; 26] = [
    "",
    "&&==",
    "%ff=%ff",
    "a=%00",
    "after=main:0:1",
    "after=main:0:1&after=main:0:2",
    "after=42",
    "after=main:1:1",
    "after=main:1:-1",
    "after=%1b[2J",
    "after=",
    "page=0",
    "page=-1",
    "page=1000000000",
    "page=1000000001",
    "page=99999999999999999999",
    "size=0",
    "size=201",
    "size=200",
    "page=1&page=2",
    "limit=0",
    "limit=1000",
    "status=%1b[31mforged",
    "stuck=maybe",
    "order=%E2%80%AE",
    "customer=%0d%0a",
];
const TYPES: [&[u8]; 9] = [
    b"application/json",
    b"application/json; charset=utf-16",
    b"Application/Merge-Patch+JSON",
    b"text/plain",
    b"",
    b"application/x-www-form-urlencoded",
    b"application/\xff\x1b",
    b"multipart/form-data; boundary=x",
    b"\t,;=",
];

/// Draws a request to a route that takes a body. Half of them are nearly what the route takes.
pub fn drawn(takes: &Takes, world: &World, random: &mut Rng) -> Case {
    let mut tree = Json::of(&takes.sound(world, random));
    for _ in 0..[0, 0, 1, 1, 2, 4][random.usize(..6)] {
        tree.change(random);
    }
    let text = if random.u8(..) < 4 { odd(random).text() } else { tree.text() };
    let mut body = text.into_bytes();
    if random.u8(..8) == 0 {
        damage(&mut body, random);
    }
    let (path, id) = filled(takes.path, world, random);
    // What counts as done without being done is only tried: what comes of it is on the person who said so.
    let query = if takes.path.ends_with("/resolve") { "dryRun=true".to_owned() } else { query(random) };
    let method = match random.u8(..100) {
        0 => [Method::DELETE, Method::PATCH, Method::GET][random.usize(..3)].clone(),
        _ => takes.method.parse().unwrap(),
    };
    let mut headers = headers(world, random);
    if takes.path == "/carrier/news" {
        headers.push(("carrier-signature", signature(&body, random)));
    }
    Case { method, path: format!("{path}{}{query}", if query.is_empty() { "" } else { "?" }), headers, body, id }
}

/// Draws a request that only reads.
pub fn reading(path: &str, world: &World, random: &mut Rng) -> Case {
    let (path, id) = filled(path, world, random);
    let (query, more) = (query(random), query(random));
    let mut headers = headers(world, random);
    if random.u8(..16) == 0 {
        headers.retain(|(name, _)| *name != "factum-position");
        headers.push(("factum-position", format!("main:0:{FAR}").into_bytes()));
    }
    Case { method: Method::GET, path: format!("{path}?{query}&{more}"), headers, body: Vec::new(), id }
}

/// The path with something for its parameter.
fn filled(path: &str, world: &World, random: &mut Rng) -> (String, String) {
    let Some((before, rest)) = path.split_once('{') else { return (path.to_owned(), String::new()) };
    let after = rest.split_once('}').map_or("", |(_, after)| after);
    let id = match random.u8(..16) {
        0 => one_of(random, &SEGMENTS).to_owned(),
        1 => {
            let times = [100, 120, 121, 128, 129, 2_048, 2_049, 30_000][random.usize(..8)];
            one_of(random, &["x", "%C3%BC", "%E1%BE%AE"]).repeat(times)
        }
        _ => world.id(path, random),
    };
    // Where there is a second one, it is an article.
    let after = match after.split_once('{') {
        None => after.to_owned(),
        Some((between, _)) if random.u8(..8) == 0 => format!("{between}{}", one_of(random, &SEGMENTS)),
        Some((between, _)) => format!("{between}{}", one_of(random, &["GOLD", "gold", "TEA", "MUG%2F2"])),
    };
    (format!("{before}{id}{after}"), id)
}

fn query(random: &mut Rng) -> String {
    match random.u8(..20) {
        0 => one_of(random, &QUERIES).to_owned(),
        1 => format!("{}={}", one_of(random, &["after", "dryRun", "page", "x"]), "9".repeat(random.usize(..3_000))),
        2 => format!("dryRun={}", one_of(random, &["true", "false", "", "TRUE", "1", "%00"])),
        _ => String::new(),
    }
}

fn headers(world: &World, random: &mut Rng) -> Vec<(&'static str, Vec<u8>)> {
    let mut headers = Vec::new();
    let noise = |random: &mut Rng, most: usize| -> Vec<u8> {
        let byte = |random: &mut Rng| [b'\t', b' ', b'a', b':', b'=', 0x80, 0xff][random.usize(..7)];
        (0..random.usize(..most)).map(|_| byte(random)).collect()
    };
    match random.u8(..10) {
        // The same ones come again, with the same body and with another, for the same and for another.
        0..=2 => headers.push(("idempotency-key", format!("key-{}", random.u8(..40)).into_bytes())),
        3 => headers.push(("idempotency-key", b"k".repeat([0, 1, 127, 128, 129, 9_000][random.usize(..6)]))),
        4 => headers.push(("idempotency-key", noise(random, 140))),
        5 => headers.extend([("idempotency-key", b"a".to_vec()), ("idempotency-key", b"b".to_vec())]),
        _ => {}
    }
    match random.u8(..16) {
        0 => headers.push(("factum-position", noise(random, 60))),
        1 => {
            let (epoch, upto) = (world.app.lineage().epoch, world.app.position().0);
            headers.push(("factum-position", format!("main:{epoch}:{}", random.u64(..=upto)).into_bytes()));
        }
        2 => headers.push(("factum-position", format!("main:{}:1", random.u32(..)).into_bytes())),
        _ => {}
    }
    match random.u8(..12) {
        0 => headers.push(("content-type", TYPES[random.usize(..TYPES.len())].to_vec())),
        1..=6 => headers.push(("content-type", b"application/json".to_vec())),
        _ => {}
    }
    match random.u8(..40) {
        0 => headers.push(("content-length", one_of(random, &["0", "1", "99999999999", "-1", "x"]).into())),
        1 => headers.push(("content-encoding", b"gzip".to_vec())),
        2 => headers.push(("origin", noise(random, 20))),
        3 => headers.push(("host", noise(random, 20))),
        4 => headers.push(("sec-fetch-site", b"cross-site".to_vec())),
        5 => headers.push(("traceparent", noise(random, 80))),
        _ => {}
    }
    headers
}

fn signature(body: &[u8], random: &mut Rng) -> Vec<u8> {
    let good = secret().sign(body).into_bytes();
    match random.u8(..12) {
        0 => Vec::new(),
        1 => good[..random.usize(..good.len())].to_vec(),
        2 => {
            let mut wrong = good;
            let at = random.usize(..wrong.len());
            wrong[at] = [b'0', b'g', b' ', 0xff][random.usize(..4)];
            wrong
        }
        3 => [good, b"00".repeat(random.usize(..4_000))].concat(),
        _ => good,
    }
}
