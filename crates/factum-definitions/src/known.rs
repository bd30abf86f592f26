//! What a program knows: its types of events, with who makes and who reads them.

use std::collections::{BTreeMap, BTreeSet};

use factum_core::{payload::TypeInfo, pipeline::EventLate, saga::Role, service::Service};

use crate::words::{folded, hint};

/// The fields of a type's data, and whether each is an amount of money.
pub type Fields = BTreeMap<String, bool>;

/// A type of event.
#[derive(Clone, Debug)]
pub struct EventType {
    pub info: TypeInfo,
    /// Services that make it, by their names.
    pub makers: BTreeSet<String>,
    /// Services that read it.
    pub readers: BTreeSet<String>,
    /// Its fields, if all of them are known.
    pub fields: Option<Fields>,
    /// Made by a pipeline of a definition, whose output that is.
    pub output: Option<String>,
}

/// See the module.
#[derive(Default)]
pub struct Known {
    pub events: BTreeMap<&'static str, EventType>,
    /// Services, by name, and what stands in their messages' `source`.
    pub services: BTreeMap<String, String>,
    /// Stream categories that a service owns, with its name.
    pub categories: BTreeMap<String, String>,
    /// Names of the pipelines that are defined.
    pub pipelines: BTreeSet<String>,
    /// Categories of deciders, with the events that stand in them.
    streams: BTreeMap<&'static str, Vec<&'static str>>,
}

impl Known {
    pub fn of(services: &[Service]) -> Self {
        let mut known = Self::default();
        for service in services {
            known.service(service);
        }
        known
    }

    fn service(&mut self, service: &Service) {
        let name = service.name.to_string();
        self.services.insert(name.clone(), service.source.to_string());
        for category in &service.owned {
            self.categories.insert((*category).to_owned(), name.clone());
        }
        for decider in &service.deciders {
            self.categories.insert(decider.category().to_owned(), name.clone());
            let events = decider.events();
            self.streams.insert(decider.category(), events.iter().map(|info| info.name).collect());
            events.into_iter().for_each(|info| self.made(info, &name));
        }
        for folding in &service.foldings {
            folding.makes().events.iter().for_each(|(_, info)| self.made(*info, &name));
            folding.folded().into_iter().chain(folding.reacted()).for_each(|info| self.read(info, &name));
        }
        for reaction in &service.reactions {
            reaction.makes.events.iter().for_each(|(_, info)| self.made(*info, &name));
            reaction.types.iter().for_each(|info| self.read(*info, &name));
        }
        for saga in &service.sagas {
            let uses = saga.all().iter().flat_map(|table| table.uses().iter().copied());
            uses.filter(|used| used.role == Role::Read).for_each(|used| self.read(used.info, &name));
        }
        for view in &service.views {
            view.types().into_iter().for_each(|info| self.read(info, &name));
        }
    }

    fn made(&mut self, info: TypeInfo, service: &str) {
        // Whoever makes it knows all of it.
        let event = self.event(info);
        event.info = info;
        event.fields = fields(&info);
        event.makers.insert(service.to_owned());
    }

    fn read(&mut self, info: TypeInfo, service: &str) {
        self.event(info).readers.insert(service.to_owned());
    }

    fn event(&mut self, info: TypeInfo) -> &mut EventType {
        self.events.entry(info.name).or_insert_with(|| EventType {
            info,
            makers: BTreeSet::new(),
            readers: BTreeSet::new(),
            fields: fields(&info),
            output: None,
        })
    }

    /// The types that a stream's name means to a reader outside the services: a type, a category, a domain, or `*`.
    pub fn stream(&self, name: &str) -> Result<Vec<&EventType>, String> {
        // Outputs are read by their own names only: who reads a domain means its facts, and not what is counted of them.
        let is_output = |event: &EventType| event.output.is_some();
        let public = |event: &&EventType| !event.info.own && event.info.name != EventLate::TYPE && !is_output(event);
        if name == "*" {
            return Ok(self.events.values().filter(public).collect());
        }
        let wanted = folded(name);
        if let Some(event) = self.events.values().find(|event| folded(event.info.name) == wanted) {
            if event.info.own {
                let makers: Vec<&str> = event.makers.iter().map(String::as_str).collect();
                let own = event.info.name;
                return Err(format!("`{own}` is an own event of {}: read a public one", makers.join(", ")));
            }
            return Ok(vec![event]);
        }
        let of_output = |event: &&EventType| event.output.as_ref().is_some_and(|output| folded(output) == wanted);
        let outputs: Vec<&EventType> = self.events.values().filter(of_output).collect();
        if !outputs.is_empty() {
            return Ok(outputs);
        }
        let bare = ["events", "stream", "topic"].iter().find_map(|end| wanted.strip_suffix(end)).unwrap_or(&wanted);
        let bare = if bare.is_empty() { &wanted } else { bare };
        let is = |word: &str| folded(word) == *bare || folded(word) == wanted;
        let mut names: BTreeSet<&str> = BTreeSet::new();
        for (category, events) in &self.streams {
            if is(category) {
                names.extend(events);
            }
        }
        names.extend(self.events.keys().filter(|name| name.split_once('.').is_some_and(|(domain, _)| is(domain))));
        let found: Vec<&EventType> = names.iter().filter_map(|name| self.events.get(name)).filter(public).collect();
        if !found.is_empty() {
            return Ok(found);
        }
        let facts = self.events.values().filter(|event| !is_output(event));
        let domains = facts.filter_map(|event| event.info.name.split_once('.')).map(|(domain, _)| domain);
        let outputs = self.events.values().filter_map(|event| event.output.as_deref());
        let all = self.events.keys().copied().chain(domains).chain(self.streams.keys().copied()).chain(outputs);
        Err(hint(bare, all))
    }

    /// The service of that name, or whose messages say so.
    pub fn party(&self, name: &str) -> Option<&str> {
        let wanted = folded(name);
        let bare = wanted.strip_suffix("service").unwrap_or(&wanted);
        let is = |(name, source): &(&String, &String)| {
            folded(source) == wanted || folded(name) == wanted || folded(name) == *bare
        };
        self.services.iter().find(is).map(|(name, _)| name.as_str())
    }
}

/// The fields of a type's data, if its schema says that these are all; of each whether it is an amount of money.
fn fields(info: &TypeInfo) -> Option<Fields> {
    let schema = (info.schema)();
    let open = ["$ref", "allOf", "anyOf", "oneOf", "patternProperties"];
    let adds = schema.get("additionalProperties").is_some_and(|adds| *adds != false);
    if adds || open.iter().any(|word| schema.get(*word).is_some()) {
        return None;
    }
    let properties = schema.get("properties")?.as_object()?;
    let is_money = |property: &serde_json::Value| property.to_string().contains("/Money\"");
    Some(properties.iter().map(|(name, property)| (name.clone(), is_money(property))).collect())
}
