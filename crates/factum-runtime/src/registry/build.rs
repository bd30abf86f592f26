//! Services, one by one, turned into consumers, owners and routes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use factum_core::{
    commit::Owners,
    group::Group,
    id::{Name, check_name},
    service::Service,
};

use super::{Consumer, ConsumerId, Handler, PLATFORM, RegistryError};

/// The stream categories of the platform itself.
const PLATFORM_CATEGORIES: [&str; 6] = ["letter", "consumer", "plan", "saga", "schedule", "schedule_roster"];

/// Who handles what, before it is checked against anything else.
pub(crate) fn built(services: &[Service]) -> Result<Build, RegistryError> {
    let mut build = Build::default();
    for category in PLATFORM_CATEGORIES {
        // Nothing else has claimed anything yet.
        let _ = build.owners.claim(category, &Name::Static(PLATFORM));
    }
    services.iter().enumerate().try_for_each(|(index, service)| build.service(index, service))?;
    Ok(build)
}

#[derive(Default)]
pub(crate) struct Build {
    pub(crate) consumers: Vec<Consumer>,
    pub(crate) owners: Owners,
    pub(super) events: BTreeMap<String, Vec<ConsumerId>>,
    pub(crate) commands: HashMap<String, ConsumerId>,
    pub(super) sagas: HashMap<&'static str, ConsumerId>,
    pub(super) hearers: HashMap<String, ConsumerId>,
    pub(super) saga_types: BTreeSet<String>,
    pub(super) reaction_categories: Vec<String>,
    caches: BTreeSet<&'static str>,
}

impl Build {
    fn service(&mut self, index: usize, service: &Service) -> Result<(), RegistryError> {
        check_name("service", &service.name)?;
        check_name("source", &service.source)?;
        for category in &service.owned {
            self.claim(category, service)?;
        }
        for cache in &service.caches {
            check_name("cache", cache.name())?;
            if !self.caches.insert(cache.name()) {
                return Err(RegistryError::Twice(format!("caches called `{}`", cache.name())));
            }
        }
        for (at, decider) in service.deciders.iter().enumerate() {
            let id = self.consumer(index, service, decider.category(), Handler::Decider(at))?;
            self.claim(decider.category(), service)?;
            for info in decider.commands() {
                self.command(info.name, id)?;
            }
        }
        // Folds stand before what reacts to the same event, so that every reaction sees the event in all states.
        for (at, folding) in service.foldings.iter().enumerate() {
            if let Some(problem) = folding.problem() {
                return Err(problem.clone().into());
            }
            let id = self.consumer(index, service, folding.name(), Handler::Folding(at))?;
            for info in folding.folded().iter().chain(&folding.reacted()) {
                self.event(info.name, id);
            }
            for info in folding.answered() {
                self.command(info.name, id)?;
            }
            if folding.hears_rejections() {
                self.hearers.insert(self.reaction_categories[id.0].clone(), id);
            }
        }
        for (at, saga) in service.sagas.iter().enumerate() {
            saga.check()?;
            let id = self.consumer(index, service, saga.name(), Handler::Saga(at))?;
            self.claim(saga.name(), service)?;
            for name in saga.types() {
                self.event(name, id);
            }
            self.command(&saga.expire_type(), id)?;
            self.command(&saga.answer_type(), id)?;
            self.sagas.insert(saga.name(), id);
            self.hearers.insert(saga.name().to_owned(), id);
            self.saga_types.extend(saga.own_types());
        }
        for (at, reaction) in service.reactions.iter().enumerate() {
            let id = self.consumer(index, service, reaction.name, Handler::Reaction(at))?;
            for info in &reaction.types {
                self.event(info.name, id);
            }
        }
        for (at, group) in service.groups.iter().enumerate() {
            self.group(index, at, group)?;
        }
        Ok(())
    }

    /// It reads by itself, and writes nothing: it is no reader of the engine, and has no stream.
    fn group(&mut self, service: usize, at: usize, group: &Group) -> Result<(), RegistryError> {
        if let Some(problem) = group.problem() {
            return Err(RegistryError::Group(problem));
        }
        let name = group.name().to_owned();
        if crate::engine::OWN_CURSORS.contains(&&*name) {
            return Err(RegistryError::Group(format!("group {name}: the platform has this name; choose another")));
        }
        if self.consumers.iter().any(|known| known.name == name) {
            return Err(RegistryError::Twice(format!("consumers called `{name}`")));
        }
        self.reaction_categories.push(String::new());
        self.consumers.push(Consumer { name, service, handler: Handler::Group(at) });
        Ok(())
    }

    fn consumer(
        &mut self,
        service: usize,
        owner: &Service,
        name: &str,
        handler: Handler,
    ) -> Result<ConsumerId, RegistryError> {
        check_name("handler", name)?;
        let full = format!("{}.{name}", owner.name);
        // Its letters' events stand in a stream of this name.
        check_name("full name of a handler", &full)?;
        if self.consumers.iter().any(|known| known.name == full) {
            return Err(RegistryError::Twice(format!("handlers called `{full}`")));
        }
        let category = match handler {
            Handler::Saga(_) => name.to_owned(),
            _ => full.replace('-', "_"),
        };
        if let Some(at) = self.reaction_categories.iter().position(|known| *known == category) {
            return Err(RegistryError::SameStreams { one: self.consumers[at].name.clone(), other: full });
        }
        self.claim(&category, owner)?;
        self.reaction_categories.push(category);
        self.consumers.push(Consumer { name: full, service, handler });
        Ok(ConsumerId(self.consumers.len() - 1))
    }

    fn event(&mut self, name: &str, id: ConsumerId) {
        let consumers = self.events.entry(name.to_owned()).or_default();
        if !consumers.contains(&id) {
            consumers.push(id);
        }
    }

    fn command(&mut self, name: &str, id: ConsumerId) -> Result<(), RegistryError> {
        match self.commands.insert(name.to_owned(), id) {
            None => Ok(()),
            Some(known) => Err(RegistryError::TwoAddressees {
                command: name.to_owned(),
                one: self.consumers[known.0].name.clone(),
                other: self.consumers[id.0].name.clone(),
            }),
        }
    }

    fn claim(&mut self, category: &str, service: &Service) -> Result<(), RegistryError> {
        factum_core::stream::check_category(category)?;
        self.owners.claim(category, &service.name).map_err(|one| RegistryError::TwoOwners {
            category: category.to_owned(),
            one,
            other: service.name.clone(),
        })
    }
}
