//! Who publishes what: an event type has one publishing service, and what that declares its own is read by nobody else.

use std::collections::BTreeMap;

use factum_core::{
    payload::{Personal, TypeInfo},
    pipeline::EventLate,
    reaction::Makes,
    saga::Role,
    service::Service,
};
use serde::Serialize;

use crate::{registry::Registry, views::consumer_of};

/// Declarations of events that do not fit together.
#[derive(Debug, thiserror::Error)]
pub enum PublisherError {
    /// Two services make events of one type.
    #[error(
        "`{type_name}` is published by {one} and by {other}: an event has one owner; let the other send it a command"
    )]
    Two {
        /// The type.
        type_name: String,
        /// Who makes it.
        one: String,
        /// Who makes it too.
        other: String,
    },
    /// A service reads what another keeps to itself.
    #[error(
        "{reader} reads `{type_name}`, which {publisher} declares `own`: read an event that is public, or let its service \
         publish one"
    )]
    Foreign {
        /// The type.
        type_name: String,
        /// Who reads it.
        reader: String,
        /// Whose it is.
        publisher: String,
    },
}

/// A type of message, as a program has it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    /// Its name.
    #[serde(rename = "type")]
    pub type_name: String,
    /// `event` or `command`.
    pub kind: &'static str,
    /// The version of its shape; what a saga makes of itself has none.
    pub version: Option<&'static str>,
    /// An event that its own service alone reads, a command that this program alone sends.
    pub own: bool,
    /// Who makes the event; none if it comes from elsewhere. Of a command: who answers it.
    pub owner: Option<String>,
    /// Who reads the event.
    pub readers: Vec<String>,
    /// Fields that tell of a person.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub personal: &'static [Personal],
    /// Names that it had before.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub was: &'static [&'static str],
}

struct Publisher {
    service: usize,
    by: String,
    own: bool,
}

#[derive(Default)]
struct Publishers(BTreeMap<String, Publisher>);

impl Publishers {
    fn of(services: &[Service]) -> Result<Self, PublisherError> {
        let mut publishers = Self::default();
        for (at, service) in services.iter().enumerate() {
            let name = |handler: &str| format!("{}.{handler}", service.name);
            let makes = |makes: &Makes| makes.events.iter().map(|(_, info)| *info).collect::<Vec<_>>();
            for decider in &service.deciders {
                publishers.add(at, &name(decider.category()), decider.events())?;
            }
            for folding in &service.foldings {
                publishers.add(at, &name(folding.name()), makes(folding.makes()))?;
            }
            for reaction in &service.reactions {
                publishers.add(at, &name(reaction.name), makes(&reaction.makes))?;
            }
            for saga in &service.sagas {
                for type_name in saga.own_types() {
                    publishers.publish(at, name(saga.name()), type_name, true)?;
                }
            }
        }
        Ok(publishers)
    }

    fn add(&mut self, at: usize, by: &str, infos: Vec<TypeInfo>) -> Result<(), PublisherError> {
        // That an event was late every service says that has pipelines.
        infos
            .into_iter()
            .filter(|info| info.name != EventLate::TYPE)
            .try_for_each(|info| self.publish(at, by.to_owned(), info.name.to_owned(), info.own))
    }

    fn publish(&mut self, service: usize, by: String, type_name: String, own: bool) -> Result<(), PublisherError> {
        match self.0.get_mut(&type_name) {
            None => _ = self.0.insert(type_name, Publisher { service, by, own }),
            // Several handlers of one service may make it.
            Some(known) if known.service == service => known.own |= own,
            Some(known) => return Err(PublisherError::Two { type_name, one: known.by.clone(), other: by }),
        }
        Ok(())
    }
}

/// An event that a service reads, and by what.
struct Reading {
    service: usize,
    by: String,
    type_name: String,
}

/// All that reads events.
fn readings(services: &[Service]) -> Vec<Reading> {
    let mut all = Vec::new();
    for (service, value) in services.iter().enumerate() {
        let name = |handler: &str| format!("{}.{handler}", value.name);
        let mut reads = |by: String, infos: Vec<TypeInfo>| {
            let reading = |info: TypeInfo| Reading { service, by: by.clone(), type_name: info.name.to_owned() };
            all.extend(infos.into_iter().map(reading));
        };
        for folding in &value.foldings {
            reads(name(folding.name()), folding.folded().into_iter().chain(folding.reacted()).collect());
        }
        for reaction in &value.reactions {
            reads(name(reaction.name), reaction.types.clone());
        }
        for saga in &value.sagas {
            let uses = saga.all().iter().flat_map(|table| table.uses().iter().copied());
            let read = uses.filter(|used| used.role == Role::Read).map(|used| used.info);
            reads(name(saga.name()), read.collect());
        }
        for group in &value.groups {
            reads(group.name().to_owned(), group.types().to_vec());
        }
        for view in &value.views {
            reads(consumer_of(view.table().name), view.types());
        }
        for cache in &value.caches {
            reads(format!("cache:{}", cache.name()), cache.types());
        }
    }
    all
}

/// Checks who publishes and who reads.
pub(crate) fn check(services: &[Service]) -> Result<(), PublisherError> {
    let publishers = Publishers::of(services)?;
    for Reading { service, by: reader, type_name } in readings(services) {
        let foreign = publishers.0.get(&type_name).filter(|it| it.own && it.service != service);
        if let Some(Publisher { by, .. }) = foreign {
            return Err(PublisherError::Foreign { type_name, reader, publisher: by.clone() });
        }
    }
    Ok(())
}

/// All types of messages of a program, by name: who makes them, who reads them, what in them tells of a person.
pub fn shown(registry: &Registry) -> Vec<Shown> {
    // Checked when the registry was made.
    let publishers = Publishers::of(&registry.services).unwrap_or_default();
    let mut readers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for Reading { by, type_name, .. } in readings(&registry.services) {
        let readers = readers.entry(type_name).or_default();
        if !readers.contains(&by) {
            readers.push(by);
        }
    }
    let mut all: BTreeMap<String, Shown> = BTreeMap::new();
    for declared in registry.types.all() {
        let TypeInfo { name, version, own, personal, was, .. } = declared.info;
        let addressee = registry.addressee(name).map(|id| registry.consumer(id).name.clone());
        let publisher = publishers.0.get(name);
        let shown = Shown {
            type_name: name.to_owned(),
            kind: if addressee.is_some() { "command" } else { "event" },
            version: Some(version),
            own: publisher.map_or(own, |it| it.own),
            owner: addressee.or_else(|| publisher.map(|it| it.by.clone())),
            readers: readers.remove(name).unwrap_or_default(),
            personal,
            was,
        };
        all.insert(name.to_owned(), shown);
    }
    for (name, Publisher { by, own, .. }) in &publishers.0 {
        all.entry(name.clone()).or_insert_with(|| Shown {
            type_name: name.clone(),
            kind: "event",
            version: None,
            own: *own,
            owner: Some(by.clone()),
            readers: readers.remove(name).unwrap_or_default(),
            personal: &[],
            was: &[],
        });
    }
    all.into_values().collect()
}
