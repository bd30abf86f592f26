//! I5 and I6 from the other side: what each reaction makes of each event is known, since it is pure; the log has exactly
//! that, neither more nor less.

use std::collections::{BTreeSet, HashMap};

use factum_core::{
    cell::Cell,
    envelope::{Kind, Stored},
    id::MessageId,
    letter::{Held, Key, Letter},
    reaction::Effect,
};
use factum_runtime::registry::{ConsumerId, Handler, Registry};

use super::{aftermath::lines, invariants::Evidence, operator::position_of, poison, seen::line, world::Violation};

/// Consumer and message of each letter that was discarded.
fn discarded(log: &[Stored]) -> BTreeSet<(String, String)> {
    let discards = log.iter().filter(|stored| stored.type_name() == "letter.discarded");
    let data = discards.filter_map(|stored| serde_json::from_slice::<serde_json::Value>(&stored.message.data).ok());
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    data.map(|data| (text(&data["consumer"]), text(&data["messageId"]))).collect()
}

type Made = (Kind, String, Vec<u8>);

/// I6: accepted = done + dead + held, exactly, for each reaction and event that it has read. What it makes of the event
/// stands in the log; or the event has a letter, or was discarded; or it waits behind a held key.
pub(super) fn accounted(
    log: &[Stored],
    registry: &Registry,
    letters: &[Letter],
    held: &[Held],
    cursors: &[Cell],
) -> Result<(), Violation> {
    let cursor_of = |name: &str| cursors.iter().find(|cell| cell.key.name == name);
    let number = |cell: &Cell| {
        let value: serde_json::Value = serde_json::from_slice(&cell.value).unwrap_or_default();
        value.as_u64().or(value["position"].as_u64()).or(value["cursor"].as_u64()).unwrap_or_default()
    };
    let engine = cursor_of("engine").map_or(0, number);
    let mut by_cause: HashMap<&MessageId, Vec<&Stored>> = HashMap::new();
    for stored in log {
        if let Some(cause) = &stored.envelope().causation_id {
            by_cause.entry(cause).or_default().push(stored);
        }
    }
    for letter in letters {
        let cause = position_of(&letter.id).and_then(|position| log.get(position.0 as usize - 1));
        let same = cause.is_none_or(|stored| stored.envelope().id.to_string() == letter.message_id);
        if letter.failures.is_empty() || letter.reason().is_empty() || !same {
            return Violation::found("I6", format!("a letter without its cause: {letter:?}"));
        }
    }
    let discarded = discarded(log);
    for (index, consumer) in registry.consumers.iter().enumerate() {
        let (id, name) = (ConsumerId(index), consumer.name.as_str());
        let Handler::Reaction(at) = consumer.handler else { continue };
        // One that has its own cursor has read as far; the stored ones are never ahead.
        let read = cursor_of(name).map_or(engine, number);
        for event in log.iter().filter(|stored| stored.envelope().kind == Kind::Event && stored.position.0 <= read) {
            if !registry.readers(event.type_name()).contains(&id) {
                continue;
            }
            let ran = poison::mended(|| registry.service(id).reactions[at].run(event));
            let Ok(effects) = ran else { continue };
            let wanted: Vec<Made> = effects.into_iter().filter_map(|effect| made(registry, id, effect)).collect();
            if wanted.is_empty() {
                continue;
            }
            let caused = by_cause.get(&event.envelope().id).map_or(&[][..], |caused| caused);
            let here = caused.iter().filter(|stored| stored.stream.category() == registry.category(id));
            let found: Vec<Made> = here.map(|stored| seen(stored)).collect();
            let dead = letters.iter().any(|it| it.id.consumer == name && position_of(&it.id) == Some(event.position))
                || discarded.contains(&(name.to_owned(), event.envelope().id.to_string()));
            let key = Key::Ordered(event.envelope().partition_key.to_string());
            let waits = held.iter().any(|held| {
                let listed = held.passed.contains(&event.position);
                let behind = held.more_from.is_some_and(|from| from <= event.position) && held.key == key;
                held.consumer == name && (listed || behind && !held.skipped.contains(&event.position))
            });
            if found.len() == wanted.len() && found != wanted {
                let problem = format!("{name} makes other messages of {} than it made: is it pure?", line(event));
                return Violation::found("I5", problem);
            }
            let done = found == wanted;
            if u8::from(done) + u8::from(dead) + u8::from(waits) != 1 {
                let problem = format!("{name} and {}: done {done}, dead {dead}, held {waits}", line(event));
                return Violation::found("I6", problem);
            }
        }
    }
    Ok(())
}

pub(super) fn check(Evidence { log, registry, .. }: &Evidence<'_>) -> Result<(), Violation> {
    let mut by_cause: HashMap<&MessageId, Vec<&Stored>> = HashMap::new();
    for stored in *log {
        if let Some(cause) = &stored.envelope().causation_id {
            by_cause.entry(cause).or_default().push(stored);
        }
    }
    let discarded = discarded(log);
    for event in log.iter().filter(|stored| stored.envelope().kind == Kind::Event) {
        let caused = by_cause.get(&event.envelope().id).map_or(&[][..], |caused| caused);
        let gone = |name: &str| discarded.contains(&(name.to_owned(), event.envelope().id.to_string()));
        for id in registry.readers(event.type_name()) {
            let Handler::Reaction(at) = registry.consumer(*id).handler else { continue };
            let Ok(effects) = registry.service(*id).reactions[at].run(event) else { continue };
            let wanted: Vec<Made> = effects.into_iter().filter_map(|effect| made(registry, *id, effect)).collect();
            let here = |stored: &&&Stored| stored.stream.category() == registry.category(*id);
            let here: Vec<&Stored> = caused.iter().filter(here).copied().collect();
            let found: Vec<Made> = here.iter().map(|stored| seen(stored)).collect();
            if wanted != found && !(found.is_empty() && gone(&registry.consumer(*id).name)) {
                let (name, lines) = (&registry.consumer(*id).name, lines(&here));
                let problem = format!("{name} makes {} messages of {}; in the log: {lines}", wanted.len(), line(event));
                return Violation::found("I5", problem);
            }
        }
    }
    Ok(())
}

fn made(registry: &factum_runtime::registry::Registry, id: ConsumerId, effect: Effect) -> Option<Made> {
    match effect {
        Effect::Send(draft) => Some((Kind::Command, draft.type_name.to_string(), draft.data.to_vec())),
        Effect::Call { name, request, .. } => {
            let name = format!("{}.{name}", registry.service(id).name);
            Some((Kind::Call, name, request.data.to_vec()))
        }
        // An event stands in a stream of its own; timers are no messages.
        Effect::Emit(..) | Effect::After { .. } | Effect::At { .. } | Effect::Cancel(_) => None,
    }
}

fn seen(stored: &Stored) -> Made {
    (stored.envelope().kind, stored.type_name().to_owned(), stored.message.data.to_vec())
}
