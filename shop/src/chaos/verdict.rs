//! What must hold in the end, looked at from outside: letters, books, log and rows.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    time::{Duration, Instant},
};

use anyhow::{anyhow, bail};
use factum::prelude::*;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{Outcome, Settings, books, carrier, history, poison, provider, stage::Stage};
use crate::{
    check::{self, Findings},
    services::archive,
};

/// Questions at once.
const AT_ONCE: usize = 16;
/// Problems of one kind that are told.
const TOLD: usize = 10;
/// How often it is looked.
const LOOK: Duration = Duration::from_millis(50);
/// How long a reader of the log may be behind when nothing comes any more.
const BEHIND: Duration = Duration::from_secs(60);
/// Who does a person's work here.
const PERSON: [(&str, &str); 2] = [("by", "chaos"), ("why", "the program is mended")];

/// An order as its customer sees it, its payment and its shipment; `null` where there is none.
type Views = BTreeMap<String, [Value; 3]>;

/// The orders that have come.
pub async fn delivered(stage: &Stage) -> anyhow::Result<Vec<String>> {
    rows_are_there(stage).await?;
    let views = views(stage).await?.into_iter();
    Ok(views.filter(|(_, [order, ..])| order["status"] == "delivered").map(|(id, _)| id).collect())
}

/// Ends the letters, stops the shop, and compares everything.
pub async fn reach(stage: &mut Stage, settings: &Settings) -> anyhow::Result<Outcome> {
    let mut problems = stage.customers.problems();
    let letters = letters(stage).await?;
    problems.extend(of_letters(&letters, stage, settings));
    stage.stop().await?;
    stage.mend();
    stage.start().await?;
    redrive(stage, settings).await?;
    problems.extend(at_rest(stage).await?);
    rows_are_there(stage).await?;
    let before = views(stage).await?;
    let asked = (effects(stage), repeats(stage));
    rebuild(stage).await?;
    let after = views(stage).await?;
    let changed = before.iter().filter(|(id, views)| after.get(*id) != Some(views));
    problems.extend(
        changed.map(|(id, views)| format!("I11: {id} was {views:?}, and rebuilt it is {:?}", after.get(id))).take(TOLD),
    );
    stage.stop().await?;
    if asked != (effects(stage), repeats(stage)) {
        problems.push("I12: partners were asked while rows were rebuilt".to_owned());
    }
    let archive = archive(stage.place.data())?;
    let failed = |error: HandlerError| anyhow!("the log cannot be checked: {error}");
    let findings = check::check(&archive).map_err(failed)?;
    problems.extend(findings.problems.iter().cloned());
    problems.extend(told(history::problems(&archive, stage).map_err(failed)?));
    problems.extend(of_books(&before, &findings, stage)?);
    let mut ends: BTreeMap<String, u64> = BTreeMap::new();
    for [order, ..] in before.values() {
        *ends.entry(end(order)).or_default() += 1;
    }
    let out_of_time = before.iter().filter(|(id, [order, ..])| is_out_of_time(id, order, stage)).count() as u64;
    let effects = (effects(stage), repeats(stage));
    Ok(Outcome {
        tally: stage.tally.clone(),
        findings,
        ends,
        out_of_time,
        letters: letters.len() as u64,
        effects,
        problems,
        kept: None,
    })
}

/// Every letter is of an order that is poison, and each such order has one.
fn of_letters(letters: &[Value], stage: &Stage, settings: &Settings) -> Vec<String> {
    let is_poison = |order: &&String| poison::is_poison(settings.seed, settings.poison, order);
    let placed = stage.customers.placed();
    let wanted: BTreeSet<String> = placed.values().filter(is_poison).cloned().collect();
    let mut found = BTreeSet::new();
    let mut problems = Vec::new();
    for letter in letters {
        let key = letter["key"].as_str().unwrap_or_default();
        let order = key.rsplit('/').next().unwrap_or_default();
        if letter["consumer"] != poison::CONSUMER || !wanted.contains(order) || !found.insert(order.to_owned()) {
            problems.push(format!("I6: a letter that nothing explains: {letter}"));
        }
        stage.tally.met("poison", poison::CONSUMER);
    }
    let lost = wanted.difference(&found);
    problems.extend(lost.map(|order| format!("I6: the order {order} is poison, and there is no letter of it")));
    problems.truncate(TOLD);
    problems
}

async fn get(stage: &Stage, path: &str) -> anyhow::Result<Value> {
    let answer = stage.direct.get(path).await.map_err(anyhow::Error::msg)?;
    Ok(if answer.status == 404 { Value::Null } else { answer.body })
}

async fn post(stage: &Stage, path: &str, mut body: Value) -> anyhow::Result<Value> {
    PERSON.iter().for_each(|(name, value)| body[*name] = json!(value));
    let answer = stage.direct.post(path, path, &[], &body.to_string()).await.map_err(anyhow::Error::msg)?;
    match answer.status {
        200..300 => Ok(answer.body),
        status => bail!("{path} is answered {status}: {}", answer.body),
    }
}

async fn letters(stage: &Stage) -> anyhow::Result<Vec<Value>> {
    let mut letters: Vec<Value> = Vec::new();
    loop {
        let after = letters.last().and_then(|letter| letter["id"].as_str());
        let after = after.map(|id| format!("&after={id}")).unwrap_or_default();
        let mut page = get(stage, &format!("/factum/v1/letters?limit=1000{after}")).await?;
        match page["letters"].as_array_mut() {
            Some(page) if !page.is_empty() => letters.append(page),
            _ => return Ok(letters),
        }
    }
}

/// A person ends the letters by a plan, now that the program is mended.
async fn redrive(stage: &Stage, settings: &Settings) -> anyhow::Result<()> {
    let made = post(stage, "/factum/v1/plans", json!({ "act": "redrive", "query": {} })).await?;
    let plan = &made["plan"];
    let path = format!("/factum/v1/plans/{}/approve", plan["id"].as_str().unwrap_or_default());
    post(stage, &path, json!({ "hash": plan["hash"] })).await?;
    let begun = Instant::now();
    while !letters(stage).await?.is_empty() {
        if begun.elapsed() > settings.limit {
            bail!("the plan does not end the letters within {:?}", settings.limit);
        }
        sleep(LOOK).await;
    }
    Ok(())
}

/// Waits until every reader of the log is at its end.
async fn rows_are_there(stage: &Stage) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        let consumers = get(stage, "/factum/v1/consumers").await?;
        let behind = |each: &&Value| each["lag"] != 0;
        let list = consumers["consumers"].as_array();
        match list.and_then(|list| list.iter().find(behind)) {
            None if list.is_some_and(|list| !list.is_empty()) => return Ok(()),
            Some(behind) if begun.elapsed() > BEHIND => bail!("a consumer stays behind: {behind}"),
            _ => sleep(LOOK).await,
        }
    }
}

/// I6: nothing is in flight, and without letters nothing is held, as soon as what waited behind them was handled.
async fn at_rest(stage: &Stage) -> anyhow::Result<Option<String>> {
    let begun = Instant::now();
    loop {
        let health = get(stage, "/health").await?;
        let zero = |of: &str| health["engine"][of] == 0 || health[of] == 0;
        if health["status"] == "ok" && ["calls", "held", "letters"].into_iter().all(zero) {
            return Ok(None);
        }
        if begun.elapsed() > BEHIND {
            return Ok(Some(format!("I6: at rest something is in flight or held: {health}")));
        }
        sleep(LOOK).await;
    }
}

async fn views(stage: &Stage) -> anyhow::Result<Views> {
    let orders: Vec<String> = stage.customers.placed().values().cloned().collect();
    stream::iter(orders)
        .map(|id| async move {
            let order = get(stage, &format!("/orders/{id}")).await?;
            let payment = get(stage, &format!("/payments/pay-{id}")).await?;
            let shipment = get(stage, &format!("/shipments/ship-{id}")).await?;
            Ok((id, [order, payment, shipment]))
        })
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await
}

/// Throws the rows away, and lets the shop build them from the log.
async fn rebuild(stage: &mut Stage) -> anyhow::Result<()> {
    stage.stop().await?;
    for entry in fs::read_dir(stage.place.data())? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("rows.sqlite") {
            fs::remove_file(entry.path())?;
        }
    }
    stage.start().await?;
    rows_are_there(stage).await
}

fn effects(stage: &Stage) -> u64 {
    (provider::open(&stage.provider).recorder.effects() + carrier::open(&stage.carrier).recorder.effects()) as u64
}

fn repeats(stage: &Stage) -> u64 {
    provider::open(&stage.provider).recorder.repeats() + carrier::open(&stage.carrier).recorder.repeats()
}

/// I5, I9: to the penny and the parcel.
fn of_books(views: &Views, findings: &Findings, stage: &Stage) -> anyhow::Result<Vec<String>> {
    let (provider, carrier) = (provider::open(&stage.provider), carrier::open(&stage.carrier));
    let (mut problems, mut sums) = (Vec::new(), (0, 0));
    for (id, [order, payment, shipment]) in views {
        let (payment, shipment) = (row(payment)?, row(shipment)?);
        let (taken, given_back) = books::sums(payment.as_ref());
        sums = (sums.0 + taken, sums.1 + given_back);
        problems.extend(books::of_money(order, payment.as_ref(), provider.accounts.get(&format!("pay-{id}"))));
        problems.extend(books::of_parcel(order, shipment.as_ref(), carrier.parcels.get(&format!("ship-{id}"))));
    }
    let accounts = provider.accounts.values();
    let theirs = accounts.fold((0, 0), |sum, account| (sum.0 + account.captured, sum.1 + account.given_back()));
    if theirs != sums || theirs != (findings.captured, findings.refunded) {
        problems.push(format!("I9: the provider's sums are {theirs:?}, our rows' {sums:?}, our log's {findings:?}"));
    }
    problems.extend(
        provider.recorder.problems().iter().chain(carrier.recorder.problems()).map(|each| format!("I5: {each}")),
    );
    Ok(told(problems))
}

/// The first of them.
fn told(mut problems: Vec<String>) -> Vec<String> {
    let left = problems.len().saturating_sub(TOLD);
    problems.truncate(TOLD);
    problems.extend((left > 0).then(|| format!("and {left} more of such differences")));
    problems
}

/// How an order ended, and why if it is said.
fn end(order: &Value) -> String {
    let status = order["status"].as_str().unwrap_or("unknown");
    order["reason"].as_str().map_or_else(|| status.to_owned(), |reason| format!("{status} ({reason})"))
}

/// Whether it was cancelled and nobody had said no: something took too long.
fn is_out_of_time(id: &str, order: &Value, stage: &Stage) -> bool {
    let refused = || provider::open(&stage.provider).refuses(&format!("pay-{id}"));
    order["status"] == "cancelled" && order["reason"] != "customer" && !refused()
}

fn row<R: DeserializeOwned>(view: &Value) -> anyhow::Result<Option<R>> {
    Ok(if view.is_null() { None } else { Some(serde_json::from_value(view.clone())?) })
}
