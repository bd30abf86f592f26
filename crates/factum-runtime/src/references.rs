//! What handlers refer to besides what they read: calls, commands, categories and fields. Each must be in the program, so
//! that a start says what is missing and not the first message.

use std::fmt;

use factum_core::{
    call::{AnyCall, Shape},
    id::{Name, check_id},
    payload::{CarriesText, TypeInfo},
    reaction::Makes,
    saga::{AnySaga, Role, Versions},
    service::Service,
};

use crate::registry::{Handler, Registry};

/// Something that a handler refers to and that is not there, or not as it is meant.
#[derive(Debug, thiserror::Error)]
pub enum ReferenceError {
    /// A call that the service does not declare.
    #[error("{who} makes the call `{call}`, and service {service} has none: add `.call(…)` to it")]
    NoCall {
        /// Who makes it.
        who: String,
        /// The call.
        call: &'static str,
        /// The service.
        service: Name,
    },
    /// A call that is made in another way than it is declared.
    #[error(
        "{who} makes the call `{call}` and asks {}, answered by {}; it is declared for {}, answered by {}: use one \
         `CallTo` on both sides",
        wanted.request, wanted.answer, declared.request, declared.answer
    )]
    OtherCall {
        /// Who makes it.
        who: String,
        /// The call.
        call: &'static str,
        /// How it is made.
        wanted: Shape,
        /// How it is declared.
        declared: Shape,
    },
    /// A call of steps, made by a reaction.
    #[error("{who} makes the call `{call}`, whose answers go to steps of sagas: declare it by `CallSpec::new`")]
    CallOfSteps {
        /// Who makes it.
        who: String,
        /// The call.
        call: &'static str,
    },
    /// A command that nobody answers.
    #[error("{who} {how} `{command}`, which no service of this program answers: add the service that does")]
    NoAddressee {
        /// Who refers to it.
        who: String,
        /// How.
        how: String,
        /// The command.
        command: &'static str,
    },
    /// A saga's own command that is not its service's.
    #[error(
        "{who} decides `{command}` on its own aggregate, and no decider of service {service} answers it: add \
         `.decider::<…>()` to the service, or `.send(…)` it to the one that does"
    )]
    NotOwn {
        /// Who refers to it.
        who: String,
        /// The command.
        command: &'static str,
        /// The saga's service.
        service: Name,
    },
    /// A category to which the service may not emit.
    #[error(
        "{who} emits `{type_name}` to `{category}`, and service {service} owns no such streams: add \
         `.owns(\"{category}\")` to it, or emit to a category of its own"
    )]
    NotOwned {
        /// Who emits.
        who: String,
        /// What.
        type_name: &'static str,
        /// Where to.
        category: &'static str,
        /// The service.
        service: Name,
    },
    /// A field that a type does not have, or that is no text.
    #[error("{who} {how} by the field `{field}`, {}", told(*.found, type_name))]
    NoField {
        /// Who refers to it.
        who: String,
        /// For what.
        how: &'static str,
        /// The field.
        field: &'static str,
        /// The type.
        type_name: &'static str,
        /// What its schema tells.
        found: CarriesText,
    },
    /// Order by a field that tells of a person: it would stand in names of streams and in letters.
    #[error(
        "{who} {how} by the field `{field}`, which tells of a person in `{type_name}`: name an id, such as the field that says \
         of whom"
    )]
    Personal {
        /// Who refers to it.
        who: String,
        /// For what.
        how: &'static str,
        /// The field.
        field: &'static str,
        /// The type.
        type_name: &'static str,
    },
    /// A timer's name that cannot be one.
    #[error(
        "{who} sets the timer `{name}`: a name has 1 to 128 bytes of printable text without a slash, behind which `of` writes the variable part"
    )]
    TimerName {
        /// Who sets it.
        who: String,
        /// The name.
        name: &'static str,
    },
}

fn told(found: CarriesText, type_name: &str) -> String {
    match found {
        CarriesText::Other => {
            format!("which in `{type_name}` is no text: name a field that is a text in all of these types")
        }
        CarriesText::Missing | CarriesText::Perhaps => format!(
            "which `{type_name}` does not have: name a field (as in JSON, such as `orderId`) that all of these types have"
        ),
    }
}

/// Checks what all handlers refer to.
pub(crate) fn check(registry: &Registry) -> Result<(), ReferenceError> {
    for consumer in &registry.consumers {
        let service = &registry.services[consumer.service];
        let place = Place { registry, service, who: &consumer.name };
        match consumer.handler {
            Handler::Decider(_) | Handler::Group(_) => {}
            Handler::Reaction(at) => {
                let reaction = &service.reactions[at];
                place.makes(&reaction.makes)?;
                place.ordered(reaction.by, &reaction.types)?;
            }
            Handler::Folding(at) => {
                let folding = &service.foldings[at];
                place.makes(folding.makes())?;
                place.ordered(folding.by(), &folding.reacted())?;
            }
            Handler::Saga(at) => place.saga(&service.sagas[at])?,
        }
    }
    for service in &registry.services {
        for schedule in &service.schedules {
            let who = format!("schedule {}", schedule.name);
            Place { registry, service, who: &who }.answered("sends", &schedule.sends)?;
        }
        for call in &service.calls {
            let who = format!("the call {}.{}", service.name, call.name);
            Place { registry, service, who: &who }.answered("is answered by", &call.answers)?;
        }
    }
    Ok(())
}

struct Place<'a> {
    registry: &'a Registry,
    service: &'a Service,
    who: &'a str,
}

impl Place<'_> {
    fn makes(&self, makes: &Makes) -> Result<(), ReferenceError> {
        for (name, shape) in &makes.calls {
            let call = self.call(self.who, name, *shape)?;
            if call.gave_up.is_none() {
                return Err(ReferenceError::CallOfSteps { who: self.who.to_owned(), call: name });
            }
        }
        for (name, commands) in &makes.timers {
            if check_id("name of a timer", name).is_err() || name.contains('/') {
                return Err(ReferenceError::TimerName { who: self.who.to_owned(), name });
            }
            self.answered(format_args!("sets the timer `{name}` to"), commands)?;
        }
        let Service { deciders, owned, name, .. } = self.service;
        for (category, info) in &makes.events {
            let decided = deciders.iter().any(|decider| decider.category() == *category);
            if !decided && !owned.contains(category) {
                let (who, service) = (self.who.to_owned(), name.clone());
                return Err(ReferenceError::NotOwned { who, type_name: info.name, category, service });
            }
        }
        Ok(())
    }

    fn ordered(&self, by: Option<&'static str>, types: &[TypeInfo]) -> Result<(), ReferenceError> {
        by.map_or(Ok(()), |field| types.iter().try_for_each(|info| has_text(self.who, "orders", field, info)))
    }

    fn answered(&self, how: impl fmt::Display, commands: &[TypeInfo]) -> Result<(), ReferenceError> {
        match commands.iter().find(|info| !self.registry.is_answered(info.name)) {
            None => Ok(()),
            Some(info) => {
                Err(ReferenceError::NoAddressee { who: self.who.to_owned(), how: how.to_string(), command: info.name })
            }
        }
    }

    /// The service's call of that name and shape.
    fn call(&self, who: &str, call: &'static str, wanted: Shape) -> Result<&AnyCall, ReferenceError> {
        let who = who.to_owned();
        match self.service.calls.iter().find(|known| known.name == call) {
            None => Err(ReferenceError::NoCall { who, call, service: self.service.name.clone() }),
            Some(known) if known.shape != wanted => {
                Err(ReferenceError::OtherCall { who, call, wanted, declared: known.shape })
            }
            Some(known) => Ok(known),
        }
    }

    fn saga(&self, saga: &Versions) -> Result<(), ReferenceError> {
        saga.all().iter().try_for_each(|table| self.table(&**table))
    }

    fn table(&self, table: &dyn AnySaga) -> Result<(), ReferenceError> {
        let saga = format!("saga {} version {}", table.name(), table.version());
        for (call, shape) in table.calls() {
            self.call(&format!("a step of {saga}"), call, shape)?;
        }
        for used in table.uses() {
            let who = used.step.map_or_else(|| saga.clone(), |step| format!("step `{step}` of {saga}"));
            let place = Place { who: &who, ..*self };
            match used.role {
                Role::Read => has_text(&who, "finds its instances", table.key(), &used.info)?,
                Role::Sent => place.answered("sends", &[used.info])?,
                Role::Own => place.own(&used.info)?,
            }
        }
        Ok(())
    }

    fn own(&self, info: &TypeInfo) -> Result<(), ReferenceError> {
        let answers = |known: TypeInfo| known.name == info.name;
        if self.service.deciders.iter().any(|decider| decider.commands().into_iter().any(answers)) {
            return Ok(());
        }
        let (who, service) = (self.who.to_owned(), self.service.name.clone());
        Err(ReferenceError::NotOwn { who, command: info.name, service })
    }
}

fn has_text(who: &str, how: &'static str, field: &'static str, info: &TypeInfo) -> Result<(), ReferenceError> {
    if info.personal.iter().any(|personal| personal.field == field) {
        return Err(ReferenceError::Personal { who: who.to_owned(), how, field, type_name: info.name });
    }
    match info.carries_text(field) {
        CarriesText::Perhaps => Ok(()),
        found => Err(ReferenceError::NoField { who: who.to_owned(), how, field, type_name: info.name, found }),
    }
}
