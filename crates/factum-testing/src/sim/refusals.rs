//! I1 from the other side: who was refused was refused on a state that the log had between the question and the answer. What
//! was decided on a state that was never stored is no answer.

use std::ops::Range;

use factum_core::{
    Timestamp,
    decider::{Addressed, AnyDecider, Context, Decision},
    envelope::{Draft, Kind, Message, Stored},
};
use factum_runtime::registry::{Handler, Registry};

use super::{
    clients::{Ask, End},
    world::Violation,
};
use crate::scenario::message;

/// Holds every no to a command against the log, by each version of the program that may have said it.
pub(super) fn check(log: &[Stored], asks: &[Ask], programs: &[Registry]) -> Result<(), Violation> {
    for ask in asks {
        // What was sent together was decided on what went before it, too.
        let (End::Rejected(code, seen), [id], [draft]) = (&ask.end, &ask.ids[..], &ask.drafts[..]) else { continue };
        let at = ask.since.unwrap_or_default();
        if !programs
            .iter()
            .any(|program| refuses(program, draft, at, (log, seen)).is_none_or(|codes| codes.contains(code)))
        {
            let problem = format!("command {id}: it was rejected as {code}, on a state that was never stored");
            return Violation::found("I1", problem);
        }
    }
    Ok(())
}

/// The codes with which a program refuses a command on any state that its stream had while the log grew by so much; nothing if
/// that cannot be told.
fn refuses(
    program: &Registry,
    draft: &Draft,
    at: Timestamp,
    (log, seen): (&[Stored], &Range<usize>),
) -> Option<Vec<String>> {
    let id = program.addressee(&draft.type_name)?;
    let Handler::Decider(index) = program.consumer(id).handler else { return None };
    let (decider, service) = (&*program.service(id).deciders[index], program.service(id).name.clone());
    let command = message(draft.clone(), Kind::Command, at);
    let Addressed { stream, .. } = decider.address(&command).ok()?;
    let known = log.iter().take(seen.end).filter(|stored| stored.stream == stream);
    let mut of_stream: Vec<Stored> = known.cloned().collect();
    let before = of_stream.iter().filter(|stored| stored.position.0 as usize <= seen.start).count();
    of_stream.iter_mut().for_each(|stored| program.upcasters.raise(&mut stored.message));
    let envelope = &command.envelope;
    let (message_id, correlation_id) = (envelope.id.clone(), envelope.correlation_id.clone());
    let context = Context { now: at, message_id, correlation_id, service };
    let refused = |through| refused_on(decider, &of_stream[..through], &command, &context);
    Some((before..=of_stream.len()).filter_map(refused).collect())
}

/// Each time on a state of its own, for deciding changes it.
fn refused_on(decider: &dyn AnyDecider, history: &[Stored], command: &Message, context: &Context) -> Option<String> {
    let mut state = decider.blank();
    for stored in history {
        decider.evolve(&mut *state, stored).ok()?;
    }
    match decider.decide(&mut *state, decider.address(command).ok()?, context).ok()? {
        Decision::Refused(refused) => Some(refused.code),
        Decision::Accepted(_) => None,
    }
}
