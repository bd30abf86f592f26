//! What the log says, against what was told, shown and done outside of the shop.

use std::collections::{BTreeMap, BTreeSet};

use factum::{Archive, envelope::Kind, error::StoreError, prelude::*};
use serde_json::Value;

use super::{carrier, poison, provider, stage::Stage};
use crate::{
    contracts::order::OrderEvent,
    order::views::{OrderRow, order_of},
};

/// An order's events.
#[derive(Default)]
struct Told {
    created: u32,
    /// Where those are that are looked at.
    positions: Vec<u64>,
    row: Option<OrderRow>,
    /// The states that it went through.
    states: BTreeSet<String>,
}

impl Told {
    fn take(&mut self, event: &Recorded<'_, OrderEvent>) {
        match &event.data {
            OrderEvent::Created(created) => {
                self.created += 1;
                self.row = Some(OrderRow::of(created, event.at()));
            }
            later => self.row.iter_mut().for_each(|row| row.take(later)),
        }
        let state = self.row.as_ref().and_then(|row| serde_json::to_value(row.status).ok());
        self.states.extend(state.as_ref().and_then(Value::as_str).map(str::to_owned));
    }
}

/// Where in the log a call is, among those of its name and key.
type Call = ((String, String), u64);

/// Sentences about what does not agree.
///
/// # Errors
/// The log cannot be read.
pub fn problems(archive: &Archive, stage: &Stage) -> Result<Vec<String>, HandlerError> {
    let (mut problems, mut next, mut calls) = (Vec::new(), 1, BTreeMap::new());
    archive
        .each::<StoreError>(None, |stored| {
            if stored.position.0 != next {
                problems.push(format!("I3: position {} stands where {next} should", stored.position.0));
            }
            next = stored.position.0 + 1;
            let envelope = stored.envelope();
            if envelope.kind == Kind::Call {
                let lane = (stored.type_name().to_owned(), envelope.partition_key.to_string());
                calls.insert(envelope.id.to_string(), (lane, stored.position.0));
            }
            Ok(())
        })
        .map_err(HandlerError::failed)?;
    let orders = archive.fold::<OrderEvent, BTreeMap<String, Told>>(BTreeMap::new(), |orders, event| {
        orders.entry(order_of(&event.data).to_string()).or_default().take(event);
    })?;
    let orders = archive.fold::<poison::OfOrder, _>(orders, |orders, event| {
        orders.entry(event.data.order().to_string()).or_default().positions.push(event.position().0);
    })?;
    let looked = archive.fold::<poison::Looked, BTreeMap<String, Vec<u64>>>(BTreeMap::new(), |looked, event| {
        looked.entry(event.order_id.to_string()).or_default().push(event.position);
    })?;
    problems.extend(of_orders(&orders, &stage.customers.placed().values().cloned().collect()));
    problems.extend(of_looks(&orders, &looked));
    problems.extend(of_sights(&orders, &stage.onlooker.seen()));
    problems.extend(of_effects("provider", provider::open(&stage.provider).recorder.order(), &calls));
    problems.extend(of_effects("carrier", carrier::open(&stage.carrier).recorder.order(), &calls));
    Ok(problems)
}

/// I1: each order that was acknowledged is there once, and no other is.
fn of_orders(orders: &BTreeMap<String, Told>, placed: &BTreeSet<String>) -> Vec<String> {
    let created = |order: &String| orders.get(order).map_or(0, |told| told.created);
    let wrong = placed.iter().filter(|order| created(order) != 1);
    let wrong = wrong.map(|order| format!("I1: order.created of {order} is there {} times", created(order)));
    let strange = orders.keys().filter(|order| !placed.contains(*order));
    wrong.chain(strange.map(|order| format!("I1: the order {order}, which nobody was told of"))).collect()
}

/// I2, I5: each event of an order was handled once, in order, also where the first one had to wait for a redrive.
fn of_looks(orders: &BTreeMap<String, Told>, looked: &BTreeMap<String, Vec<u64>>) -> Vec<String> {
    let nothing = Vec::new();
    let wrong = orders.iter().filter_map(|(order, told)| {
        let handled = looked.get(order).unwrap_or(&nothing);
        let mut sorted = handled.clone();
        sorted.sort_unstable();
        let broken = if sorted == told.positions { "I2" } else { "I5" };
        let at = &told.positions;
        (handled != at)
            .then(|| format!("{broken}: the events of {order} are at {at:?}, and were handled as {handled:?}"))
    });
    wrong.collect()
}

/// I4: whoever saw an order in a state saw what the log says, whatever ended the shop behind it.
fn of_sights(orders: &BTreeMap<String, Told>, seen: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let nothing = BTreeSet::new();
    let ghosts = seen.iter().flat_map(|(order, states)| {
        let known = orders.get(order).map_or(&nothing, |told| &told.states);
        states.difference(known).map(move |state| format!("I4: {order} was seen {state}, and the log knows {known:?}"))
    });
    ghosts.collect()
}

/// I2, I4: what a partner did it was asked for by a call of the log, and in the order of the calls of its key.
fn of_effects(partner: &str, done: &[String], calls: &BTreeMap<String, Call>) -> Vec<String> {
    let (mut problems, mut last) = (Vec::new(), BTreeMap::new());
    for key in done {
        match calls.get(key) {
            None => {
                problems.push(format!("I4: the {partner} was asked under the key {key}, and no call of the log has it"))
            }
            Some((lane, position)) => match last.insert(lane, *position) {
                Some(before) if before > *position => {
                    problems.push(format!("I2: the {partner} did {lane:?} at {before} before that at {position}"));
                }
                _ => {}
            },
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(positions: &[u64], states: &[&str]) -> BTreeMap<String, Told> {
        let states = states.iter().map(|state| (*state).to_owned()).collect();
        BTreeMap::from([("o1".to_owned(), Told { created: 1, positions: positions.to_vec(), row: None, states })])
    }

    #[test]
    fn what_was_handled_in_another_order_or_not_once_is_told_apart() {
        let orders = told(&[1, 5, 9], &[]);
        let looks = |at: &[u64]| of_looks(&orders, &BTreeMap::from([("o1".to_owned(), at.to_vec())]));
        assert_eq!(looks(&[1, 5, 9]), [""; 0]);
        assert!(looks(&[1, 9, 5])[0].starts_with("I2"));
        for wrong in [&[1, 5][..], &[1, 5, 5, 9], &[]] {
            assert!(looks(wrong)[0].starts_with("I5"), "{wrong:?}");
        }
    }

    #[test]
    fn what_was_seen_or_acknowledged_and_is_not_in_the_log_is_a_ghost() {
        let orders = told(&[1], &["pending_validation", "cancelled"]);
        let seen =
            |state: &str| of_sights(&orders, &BTreeMap::from([("o1".to_owned(), BTreeSet::from([state.to_owned()]))]));
        assert_eq!(seen("cancelled"), [""; 0]);
        assert!(seen("delivered")[0].starts_with("I4: o1 was seen delivered"));
        let placed = |orders: &[&str]| orders.iter().map(|order| (*order).to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(of_orders(&orders, &placed(&["o1"])), [""; 0]);
        assert_eq!(of_orders(&orders, &placed(&["o2"])).len(), 2, "one is missing, and nobody was told of the other");
    }

    #[test]
    fn what_a_partner_did_is_asked_for_in_the_log_and_in_its_order() {
        let call = |key: &str, lane: &str, position| (key.to_owned(), ((lane.to_owned(), "o1".to_owned()), position));
        let calls = BTreeMap::from([call("a", "pay", 1), call("b", "pay", 2), call("c", "ship", 1)]);
        let done = |keys: &[&str]| {
            of_effects("provider", &keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>(), &calls)
        };
        assert_eq!(done(&["a", "b", "c"]), [""; 0]);
        assert!(done(&["b", "a"])[0].starts_with("I2"));
        assert!(done(&["a", "ghost"])[0].starts_with("I4"));
    }
}
