//! I5 and I6 from the other side: what each reaction makes of each event is known, since it is pure; the log has exactly
//! that, neither more nor less.

use std::collections::HashMap;

use factum_core::{
    envelope::{Kind, Stored},
    id::MessageId,
    reaction::{Effect, Effects},
};
use factum_runtime::registry::{ConsumerId, Handler};

use super::{aftermath::lines, invariants::Evidence, seen::line, world::Violation};

type Made = (Kind, String, Vec<u8>);

pub(super) fn check(Evidence { log, registry, .. }: &Evidence<'_>) -> Result<(), Violation> {
    let mut by_cause: HashMap<&MessageId, Vec<&Stored>> = HashMap::new();
    for stored in *log {
        if let Some(cause) = &stored.envelope().causation_id {
            by_cause.entry(cause).or_default().push(stored);
        }
    }
    for event in log.iter().filter(|stored| stored.envelope().kind == Kind::Event) {
        let caused = by_cause.get(&event.envelope().id).map_or(&[][..], |caused| caused);
        for id in registry.readers(event.type_name()) {
            let Handler::Reaction(at) = registry.consumer(*id).handler else { continue };
            let mut fx = Effects::default();
            if registry.service(*id).reactions[at].run(event, &mut fx).is_err() {
                continue;
            }
            let wanted: Vec<Made> =
                fx.finish().unwrap_or_default().into_iter().filter_map(|fx| made(registry, *id, fx)).collect();
            let here = |stored: &&&Stored| stored.stream.category() == registry.category(*id);
            let here: Vec<&Stored> = caused.iter().filter(here).copied().collect();
            let found: Vec<Made> = here.iter().map(|stored| seen(stored)).collect();
            if wanted != found {
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
        Effect::Call { name, request } => {
            let name = format!("{}.{name}", registry.service(id).name);
            Some((Kind::Call, name, request.data.to_vec()))
        }
        // An event stands in a stream of its own; timers are no messages.
        Effect::Emit(..) | Effect::After { .. } | Effect::Cancel(_) => None,
    }
}

fn seen(stored: &Stored) -> Made {
    (stored.envelope().kind, stored.type_name().to_owned(), stored.message.data.to_vec())
}
