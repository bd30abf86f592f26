//! The invariants of the log and of the world outside, each held against what others have seen.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use factum_core::{
    envelope::{Kind, Stored},
    id::MessageId,
};
use factum_runtime::registry::Registry;

use super::{
    aftermath::lines,
    clients::{Ask, End},
    oracle,
    peers::Effect,
    sagas,
    seen::{Seen, line},
    world::Violation,
};

/// What is there to judge by.
pub(super) struct Evidence<'a> {
    /// The log as a plain reader finds it at the end.
    pub log: &'a [Stored],
    pub seen: &'a Seen,
    pub asks: &'a [Ask],
    pub effects: &'a [Effect],
    /// Keys that the peers refused.
    pub refused: &'a [String],
    pub registry: &'a Registry,
}

pub(super) fn check(evidence: &Evidence<'_>) -> Result<(), Violation> {
    positions(evidence)?;
    nothing_seen_is_gone(evidence)?;
    acknowledged(evidence)?;
    once(evidence)?;
    order_in_the_log(evidence)?;
    effects(evidence)?;
    oracle::check(evidence)?;
    sagas::check(evidence)
}

/// I3: positions and versions are gapless, and no id is used twice.
fn positions(Evidence { log, .. }: &Evidence<'_>) -> Result<(), Violation> {
    let mut versions: BTreeMap<&str, u64> = BTreeMap::new();
    let mut ids = BTreeSet::new();
    for (index, stored) in log.iter().enumerate() {
        let version = versions.entry(stored.stream.as_str()).or_default();
        *version += 1;
        if stored.position.0 != index as u64 + 1 || stored.version.0 != *version {
            let wanted = format!("position {} with version {version}", index + 1);
            return Violation::found("I3", format!("expected {wanted}, found {}", line(stored)));
        }
        if !ids.insert(&stored.envelope().id) {
            return Violation::found("I3", format!("its id was used before: {}", line(stored)));
        }
    }
    Ok(())
}

/// I4: what a reader has seen is in the log, unchanged.
fn nothing_seen_is_gone(Evidence { log, seen, .. }: &Evidence<'_>) -> Result<(), Violation> {
    if let Some(gone) = seen.messages.get(log.len()) {
        return Violation::found("I4", format!("it was seen, and is not in the log: {}", line(gone)));
    }
    seen.same(log, 0, "I4")
}

/// I1: what was acknowledged is in the log once, what was refused never, and of what is unknown all or nothing.
fn acknowledged(Evidence { log, asks, .. }: &Evidence<'_>) -> Result<(), Violation> {
    let mut by_cause: HashMap<&MessageId, Vec<&Stored>> = HashMap::new();
    for stored in log.iter().filter(|stored| stored.envelope().digest.is_some()) {
        by_cause
            .entry(stored.envelope().causation_id.as_ref().unwrap_or(&stored.envelope().id))
            .or_default()
            .push(stored);
    }
    for ask in *asks {
        for (index, id) in ask.ids.iter().enumerate() {
            let events = by_cause.get(id).map_or(&[][..], |events| events);
            let problem = match &ask.end {
                End::Open => Some("it never had an answer".to_owned()),
                End::Rejected(code, _) if !events.is_empty() => Some(format!("it was rejected as {code}")),
                End::Rejected(..) => None,
                End::Abandoned => scattered(events),
                End::Accepted(receipts) => {
                    let receipt = &receipts[index];
                    let placed = events.last().is_some_and(|last| {
                        (&last.stream, last.version, last.position)
                            == (&receipt.stream, receipt.version, receipt.position)
                    });
                    (!placed).then(|| format!("its receipt is {receipt:?}")).or_else(|| scattered(events))
                }
            };
            if let Some(problem) = problem {
                return Violation::found("I1", format!("command {id}: {problem}; in the log: {}", lines(events)));
            }
        }
    }
    Ok(())
}

/// Events of one command stand side by side in one stream.
fn scattered(events: &[&Stored]) -> Option<String> {
    let apart = events.windows(2).find(|pair| {
        pair[0].stream != pair[1].stream
            || pair[0].version.0 + 1 != pair[1].version.0
            || pair[0].position.0 + 1 != pair[1].position.0
    });
    apart.map(|_| "its events stand apart".to_owned())
}

/// I5: nothing follows twice from one message, or from one timer that it set: what a timer makes has its due time.
fn once(Evidence { log, .. }: &Evidence<'_>) -> Result<(), Violation> {
    let mut known = HashMap::new();
    for stored in *log {
        let envelope = stored.envelope();
        let what = (&stored.stream, envelope.kind, stored.type_name(), &stored.message.data);
        let effect = (&envelope.causation_id, envelope.timestamp, what);
        if let Some(first) = known.insert(effect, stored) {
            return Violation::found("I5", format!("it happened twice: {}", lines(&[first, stored])));
        }
    }
    Ok(())
}

/// I2: what a reaction makes of messages of one key and source stands in the order of those messages.
fn order_in_the_log(Evidence { log, registry, .. }: &Evidence<'_>) -> Result<(), Violation> {
    let by_id: HashMap<&MessageId, &Stored> = log.iter().map(|stored| (&stored.envelope().id, stored)).collect();
    let categories: BTreeSet<&str> = (0..registry.consumers.len())
        .map(|index| registry.category(factum_runtime::registry::ConsumerId(index)))
        .collect();
    let mut last: HashMap<(&str, &str, &str), &Stored> = HashMap::new();
    for stored in log.iter().filter(|stored| categories.contains(stored.stream.category())) {
        let cause = stored.envelope().causation_id.as_ref().and_then(|cause| by_id.get(cause));
        let Some(cause) = cause else { continue };
        // What a timer made is later than the message that set it; a saga's replies come from several sources.
        if cause.envelope().timestamp != stored.envelope().timestamp {
            continue;
        }
        let lane = (stored.stream.as_str(), &*cause.envelope().partition_key, cause.envelope().source.as_str());
        if let Some(before) = last.insert(lane, cause)
            && before.position > cause.position
        {
            return Violation::found("I2", format!("it was handled after {}: {}", line(before), line(cause)));
        }
    }
    Ok(())
}

/// I5 and I2 outside: each operation was done once, because of a call in the log, and those of one key in order.
fn effects(Evidence { log, effects, refused, .. }: &Evidence<'_>) -> Result<(), Violation> {
    let calls = log.iter().filter(|stored| stored.envelope().kind == Kind::Call);
    let calls: HashMap<String, &Stored> = calls.map(|stored| (stored.envelope().id.to_string(), stored)).collect();
    let mut done: HashMap<(&str, &str), &Effect> = HashMap::new();
    let mut last: HashMap<(&str, &str), &Stored> = HashMap::new();
    for effect in *effects {
        if let Some(first) = done.insert((effect.peer, &effect.operation), effect) {
            return Violation::found("I5", format!("a peer did it twice: {first:?}, {effect:?}"));
        }
        let Some(call) = calls.get(&effect.key) else {
            return Violation::found("I5", format!("a peer did {effect:?} by a key that no call in the log has"));
        };
        if effect.late {
            continue;
        }
        let lane = (call.type_name(), &*call.envelope().partition_key);
        if let Some(before) = last.insert(lane, call)
            && before.position > call.position
        {
            return Violation::found("I2", format!("it was done after {}: {}", line(before), line(call)));
        }
    }
    for key in *refused {
        if !calls.contains_key(key) {
            return Violation::found("I5", format!("a peer refused {key}, which no call in the log has"));
        }
    }
    Ok(())
}
