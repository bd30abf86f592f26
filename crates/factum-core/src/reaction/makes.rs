//! What a reaction makes besides commands, as it is declared: calls, events and timers. A start compares it with the
//! services of the program, and each delivery with it.

use super::Effect;
use crate::{
    call::{CallTo, Shape},
    envelope::Draft,
    error::HandlerError,
    payload::{Command, Event, TypeInfo},
    stream::StreamId,
    timer::{self, TimerTo},
};

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Makes {
    /// Calls, by name.
    pub calls: Vec<(&'static str, Shape)>,
    /// Events, with the category of the streams that they are emitted to.
    pub events: Vec<(&'static str, TypeInfo)>,
    /// Timers, by name, with the commands that they send.
    pub timers: Vec<(&'static str, Vec<TypeInfo>)>,
}

impl Makes {
    pub(super) fn calls<R, A>(&mut self, to: CallTo<R, A>) {
        self.calls.push((to.name(), CallTo::<R, A>::shape()));
    }

    pub(crate) fn emits<E: Event>(&mut self, category: &'static str) {
        self.events.extend(E::types().into_iter().map(|info| (category, info)));
    }

    pub(super) fn sets<C: Command>(&mut self, timer: TimerTo<C>) {
        self.timers.push((timer.name(), C::types()));
    }

    /// The effects, if all that must be declared is.
    pub(super) fn allow(&self, reaction: &str, effects: Vec<Effect>) -> Result<Vec<Effect>, HandlerError> {
        match effects.iter().find_map(|effect| self.lacks(effect)) {
            None => Ok(effects),
            Some(what) => Err(undeclared(reaction, &what)),
        }
    }

    /// Whether an event is declared.
    pub(super) fn allow_event(&self, reaction: &str, stream: &StreamId, event: &Draft) -> Result<(), HandlerError> {
        self.lacks_event(stream, event).map_or(Ok(()), |what| Err(undeclared(reaction, &what)))
    }

    fn lacks_event(&self, stream: &StreamId, event: &Draft) -> Option<String> {
        let (category, name) = (stream.category(), &*event.type_name);
        let known = self.events.iter().any(|(declared, info)| *declared == category && info.name == name);
        let add =
            || format!("emits `{name}` to `{category}`, which it does not declare: add `.emits::<…>(\"{category}\")`");
        (!known).then(add)
    }

    /// What is not declared of an effect, and what to write.
    fn lacks(&self, effect: &Effect) -> Option<String> {
        match effect {
            Effect::Send(_) => None,
            Effect::Emit(stream, event) => self.lacks_event(stream, event),
            Effect::After { name, command, .. } | Effect::At { name, command, .. } => {
                let (name, sends) = (timer::declared(name), &*command.type_name);
                let fits = |infos: &[TypeInfo]| infos.iter().any(|info| info.name == sends);
                let known = self.timers.iter().any(|(declared, infos)| *declared == name && fits(infos));
                let add = || {
                    format!(
                        "sets the timer `{name}` to `{sends}`, which it does not declare: add `.sets(…)` with its `TimerTo`"
                    )
                };
                (!known).then(add)
            }
            Effect::Cancel(name) => {
                let name = timer::declared(name);
                let known = self.timers.iter().any(|(declared, _)| *declared == name);
                let add = || {
                    format!("cancels the timer `{name}`, which it does not declare: add `.sets(…)` with its `TimerTo`")
                };
                (!known).then(add)
            }
            Effect::Call { name, shape, .. } => {
                let add =
                    || format!("makes the call `{name}`, which it does not declare: add `.calls(…)` with its `CallTo`");
                (!self.calls.contains(&(*name, *shape))).then(add)
            }
        }
    }
}

fn undeclared(reaction: &str, what: &str) -> HandlerError {
    HandlerError::Failed(format!("`{reaction}` {what} to where it is declared"))
}
