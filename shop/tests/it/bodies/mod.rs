//! Whatever is sent to a route: it is carried out and can be read again, or it is refused in a sentence and changes nothing.
//!
//! Requests are drawn by seed, from sound ones to noise. `FACTUM_SEEDS=200` runs so many times 500 of them,
//! `FACTUM_SEED=7` draws those of one again (ids that the shop makes are others).

pub mod damage;
mod json;
pub mod routes;
#[cfg(test)]
mod socket;
pub mod sources;
pub mod world;

use std::{collections::BTreeMap, env};

use factum::{id::unseen, stream::Position};
use fastrand::Rng;
use serde_json::Value;

use self::{
    routes::{BODIES, Case, Takes, drawn, reading},
    world::{Answer, World},
};

/// Seeds on every change.
const SEEDS: u64 = 20;
/// Requests of a seed.
const CASES: usize = 500;
/// Requests after which a day passes.
const DAY: usize = 50;
/// What needs more than this shop has: what a partner refused, a process of two versions, pull groups, schedules, of which there
/// are none on data time, and a place from which its data could move.
const NEVER_DONE: [&str; 12] = [
    "/payments/{id}/retry",
    "/shipments/{id}/retry",
    "/factum/v1/sagas/{id}/move",
    "/factum/v1/move",
    "/factum/v1/groups/{name}/poll",
    "/factum/v1/groups/{name}/ack",
    "/factum/v1/groups/{name}/nack",
    "/factum/v1/groups/{name}/extend",
    "/factum/v1/schedules/{name}/pause",
    "/factum/v1/schedules/{name}/resume",
    "/factum/v1/schedules/{name}/run",
    "/factum/v1/schedules/{name}/backfill",
];
/// Wrong answers that are told whole.
const NAMED: usize = 10;
/// Bytes of a refusal's sentence at most.
const LONGEST_DETAIL: usize = 1_200;
/// Bytes of a refusal at most.
const LONGEST_REFUSAL: usize = 4_096;

#[test]
fn every_route_that_takes_a_body_is_drawn_for() {
    let mut takes: Vec<_> = sources::routes().into_iter().filter(|(method, _)| method != "GET").collect();
    let mut drawn: Vec<_> = BODIES.iter().map(|takes| (takes.method.to_owned(), takes.path.to_owned())).collect();
    takes.sort();
    drawn.sort();
    assert_eq!(drawn, takes, "add the route to BODIES in shop/tests/it/bodies/routes.rs, with a body that it takes");
}

#[tokio::test]
async fn whatever_is_sent_is_done_and_readable_or_refused_in_a_sentence_and_changes_nothing() {
    let number = |name: &str| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match number("FACTUM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("FACTUM_SEEDS").unwrap_or(SEEDS),
    };
    let mut seen = BTreeMap::new();
    let count = seeds.end - seeds.start;
    for seed in seeds {
        run(seed, &mut seen).await;
    }
    // A test that nothing gets through shows nothing.
    for takes in BODIES {
        let of = |done: bool| seen.get(&(takes.path, done)).copied().unwrap_or_default();
        println!("{:50} {:6} done {:6} refused", takes.path, of(true), of(false));
        let never = NEVER_DONE.contains(&takes.path);
        assert!(count < SEEDS || of(false) > 0 && (never || of(true) > 0), "{} is always the same", takes.path);
    }
}

async fn run(seed: u64, seen: &mut BTreeMap<(&'static str, bool), u32>) {
    let mut random = Rng::with_seed(seed);
    let mut world = World::open().await;
    let mut found = Vec::new();
    let reads: Vec<String> =
        sources::routes().into_iter().filter(|(method, _)| method == "GET").map(|(_, path)| path).collect();
    for round in 0..CASES {
        if round % DAY == DAY - 1 {
            world.renew().await;
        }
        let takes = &BODIES[random.usize(..BODIES.len())];
        let (case, takes) = match random.u8(..6) {
            0 => (reading(random.choice(&reads).unwrap(), &world, &mut random), None),
            _ => (drawn(takes, &world, &mut random), Some(takes)),
        };
        // Now and then the method is another.
        let takes = takes.filter(|takes| case.method.as_str() == takes.method);
        let done = one(&world, &case, takes).await;
        match (takes, done) {
            (Some(takes), Ok(Some(done))) => *seen.entry((takes.path, done)).or_default() += 1,
            (_, Ok(_)) => {}
            (_, Err(wrong)) => found.push(format!("FACTUM_SEED={seed}, round {round}: {wrong}\n{case}")),
        }
    }
    assert!(found.is_empty(), "{} are wrong\n{}", found.len(), found[..found.len().min(NAMED)].join("\n\n"));
    world.is_well().await;
}

/// Sends a request, and answers whether it was done; nothing if it could not be sent at all.
pub async fn one(world: &World, case: &Case, takes: Option<&Takes>) -> Result<Option<bool>, String> {
    let Some(request) = World::request(case) else { return Ok(None) };
    let before = world.app.position();
    let late = case.waits();
    if late {
        // Nothing comes that it waits for; its time is over as soon as there is nothing else to do.
        tokio::time::pause();
    }
    let answer = world.send(request).await?;
    if late {
        tokio::time::resume();
    }
    let after = world.app.position();
    let done = answer.status < 300;
    let judged = if done { Ok(()) } else { refusal(&answer) };
    let told = |wrong: String| {
        let text = String::from_utf8_lossy(&answer.bytes[..answer.bytes.len().min(2_000)]).into_owned();
        format!("{wrong}: {} {:?}\n{text}", answer.status, answer.headers)
    };
    judged.map_err(told)?;
    let tried = case.path.contains("dryRun=true") || takes.is_some_and(|takes| takes.path.ends_with("/try"));
    if (!done || takes.is_none() || tried && case.path.starts_with("/factum/")) && before != after {
        return Err(told(format!("the log went from {before:?} to {after:?}")));
    }
    if let (true, Some(takes)) = (done, takes) {
        world.app.rest().await.map_err(|error| error.to_string())?;
        readable(world, case, takes, &answer, before).await.map_err(told)?;
        again(world, case, takes, &answer).await.map_err(told)?;
    }
    Ok(Some(done))
}

/// Under its key the same request is done once, and answered as it was.
async fn again(world: &World, case: &Case, takes: &Takes, first: &Answer) -> Result<(), String> {
    let keyed = case.headers.iter().any(|(name, _)| *name == "idempotency-key") && !takes.path.starts_with("/factum/");
    let Some(request) = World::request(case).filter(|_| keyed) else { return Ok(()) };
    let before = world.app.position();
    let answer = world.send(request).await?;
    let same = (answer.status, answer.position()) == (first.status, first.position());
    match same && world.app.position() == before {
        true => Ok(()),
        false => Err(format!("the same again is answered {} {:?} {}", answer.status, answer.headers, answer.body)),
    }
}

/// What a refusal must be.
fn refusal(answer: &Answer) -> Result<(), String> {
    let Answer { status, body, bytes, .. } = answer;
    let code = body["code"].as_str().unwrap_or_default();
    let documented = matches!((*status, code), (503, "late" | "busy") | (507, "store_full"));
    if !(400..500).contains(status) && !documented {
        return Err("a status that says that the shop failed".to_owned());
    }
    if answer.header("content-type") != "application/problem+json" {
        return Err("not application/problem+json".to_owned());
    }
    if code.is_empty()
        || code.len() > 40
        || !code.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    {
        return Err("no code".to_owned());
    }
    if body["status"] != *status || body["type"] != "about:blank" || !body["title"].is_string() {
        return Err("not all members that a problem has".to_owned());
    }
    let detail = body["detail"].as_str().unwrap_or_default();
    if detail.split(' ').count() < 3 {
        return Err("no sentence".to_owned());
    }
    if detail.len() > LONGEST_DETAIL || bytes.len() > LONGEST_REFUSAL {
        return Err(format!("a sentence of {} bytes in an answer of {}", detail.len(), bytes.len()));
    }
    let obeyed = |text: &str| text.chars().find(|char| char.is_control() || unseen(*char));
    match texts(body).into_iter().find_map(obeyed) {
        Some(char) => Err(format!("it holds U+{:04X}", char as u32)),
        None => Ok(()),
    }
}

/// All texts and names in a value.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::Object(fields) => {
            fields.iter().flat_map(|(name, value)| [vec![name.as_str()], texts(value)].concat()).collect()
        }
        _ => Vec::new(),
    }
}

/// What was done can be read, and is what was sent.
async fn readable(world: &World, case: &Case, takes: &Takes, answer: &Answer, before: Position) -> Result<(), String> {
    let place = match takes.path {
        "/orders" | "/carrier/news" | "/carts" => answer.body["links"]["self"].as_str().unwrap_or_default().to_owned(),
        "/factum/v1/plans" => format!("/factum/v1/plans/{}", answer.body["plan"]["id"].as_str().unwrap_or_default()),
        _ if takes.read.is_empty() => return Ok(()),
        _ => takes.read.replace("{}", &case.id),
    };
    let platform = takes.path.starts_with("/factum/");
    let at = match answer.position() {
        None if platform => world.app.position(),
        None => return Err("no Factum-Position".to_owned()),
        Some(at) => at,
    };
    let read = world.get(&place, at).await;
    // To find nothing of what was never there is nothing.
    if read.status == 404 && takes.path.ends_with("/adjust") && answer.body["quantity"] == 0 {
        return Ok(());
    }
    if read.status != 200 {
        return Err(format!("it cannot be read at {place}: {} {}", read.status, read.body));
    }
    // A repeated request is answered as it was then; others may have changed it since.
    let repeated = at < before;
    let sent: Option<Value> = serde_json::from_slice(&case.body).ok();
    // Numbers that nothing can hold may stand where nobody looks.
    let unread = sent.is_none();
    let sent = sent.unwrap_or_default();
    let same = |field: &str| match (&sent[field], &read.body[field]) {
        (Value::Null, _) => true,
        (Value::Object(sent), Value::Object(read)) => read.iter().all(|(name, kept)| sent.get(name) == Some(kept)),
        (sent, read) => sent == read,
    };
    let fits = match takes.path {
        _ if repeated || unread => true,
        "/products/{sku}" => read.body == answer.body,
        "/customers/{id}" => ["name", "email", "phone", "address"].into_iter().all(same),
        "/orders/{id}/cancel" => ["cancelled", "rejected"].iter().any(|ended| read.body["status"] == *ended),
        "/orders" => {
            let sum = |items: &Value| -> i64 {
                items.as_array().into_iter().flatten().filter_map(|item| item["quantity"].as_i64()).sum()
            };
            sum(&sent["items"]) == sum(&read.body["items"])
        }
        _ => true,
    };
    if fits { Ok(()) } else { Err(format!("{place} says something else: {}", read.body)) }
}
