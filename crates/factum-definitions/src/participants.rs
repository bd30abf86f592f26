//! Commands that the services of a program answer, found as people write them: by their type, by another's spelling, by the same
//! words in another order, by the bare verb.

use std::collections::{BTreeMap, BTreeSet};

use factum_core::{envelope::Spellings, replies::Replies, service::Service};

use crate::{
    known::Known,
    words::{folded, hint, nearest},
};

/// See the module.
#[derive(Default)]
pub struct Participants {
    answered: Vec<Answered>,
    /// Commands that a service answers without having said how, with its name.
    silent: BTreeMap<&'static str, String>,
}

/// A command that a service has declared the replies of.
struct Answered {
    service: String,
    replies: Replies,
    /// Its type and what others call it, without case and separators.
    names: BTreeSet<String>,
}

impl Participants {
    pub fn of(services: &[Service], spellings: &Spellings) -> Self {
        let mut all = Self::default();
        for service in services {
            for replies in &service.replies {
                let name = replies.command().name;
                let theirs = spellings.commands_spelled().filter(|(_, ours)| *ours == name).map(|(theirs, _)| theirs);
                let names = theirs.chain([name]).map(folded).collect();
                all.answered.push(Answered { service: service.name.to_string(), replies: replies.clone(), names });
            }
            let decided = service.deciders.iter().flat_map(|decider| decider.commands());
            for info in decided.chain(service.foldings.iter().flat_map(|folding| folding.answered())) {
                if !info.own && !service.replies.iter().any(|replies| replies.command().name == info.name) {
                    all.silent.insert(info.name, service.name.to_string());
                }
            }
        }
        all
    }

    /// The replies of a command by its type.
    pub fn replies(&self, command: &str) -> Option<&Replies> {
        self.answered.iter().map(|answered| &answered.replies).find(|replies| replies.command().name == command)
    }

    /// The service that a word means.
    pub fn service<'a>(&self, known: &'a Known, word: &str) -> Result<&'a str, String> {
        known.party(word).ok_or_else(|| {
            let hint = hint(word, known.services.keys().map(String::as_str));
            format!("there is no service `{word}`: {hint}")
        })
    }

    /// The command that a word means, in a service if one is said.
    pub fn find(&self, word: &str, service: Option<&str>) -> Result<&Replies, String> {
        let of = |answered: &&Answered| service.is_none_or(|service| answered.service == service);
        if let Some(answered) = self.meant(word, &of) {
            return Ok(&answered.replies);
        }
        if let (Some(service), Some(other)) = (service, self.meant(word, &|_| true)) {
            let (command, owner) = (other.replies.command().name, &other.service);
            return Err(format!(
                "`{word}` is `{command}`, which {owner} answers and not {service}: write `service: {owner}`"
            ));
        }
        let silent = self
            .silent
            .iter()
            .find(|(command, owner)| service.is_none_or(|service| service == owner.as_str()) && is(command, word));
        if let Some((command, owner)) = silent {
            return Err(format!(
                "the service {owner} does not say what `{command}` is answered by: add \
                 `.answers(Replies::to::<…>().done::<…>())` to it"
            ));
        }
        let commands: Vec<&str> =
            self.answered.iter().filter(of).map(|answered| answered.replies.command().name).collect();
        // A bare verb is near another one, if its whole type is not.
        let near = |command: &&&str| nearest(word, [verb(command).as_str()]).is_some();
        let hint = match (nearest(word, commands.iter().copied()), commands.iter().find(near)) {
            (None, Some(command)) => format!("is `{command}` meant?"),
            _ => hint(word, commands),
        };
        Err(match service {
            Some(service) => format!("the service {service} answers no command `{word}`: {hint}"),
            None => format!("no service answers a command `{word}`: {hint}"),
        })
    }

    fn meant<'a>(&'a self, word: &str, of: &dyn Fn(&&Answered) -> bool) -> Option<&'a Answered> {
        let one = |test: &dyn Fn(&Answered) -> bool| {
            let mut found = self.answered.iter().filter(|answered| of(answered) && test(answered));
            found.next().filter(|_| found.next().is_none())
        };
        let wanted = folded(word);
        one(&|answered| answered.names.contains(&wanted))
            .or_else(|| one(&|answered| words(answered.replies.command().name) == words(word)))
            .or_else(|| one(&|answered| verb(answered.replies.command().name) == wanted))
    }
}

fn is(command: &str, word: &str) -> bool {
    folded(command) == folded(word) || words(command) == words(word) || verb(command) == folded(word)
}

/// What a command's name says behind its domain.
fn verb(command: &str) -> String {
    folded(command.split_once('.').map_or(command, |(_, verb)| verb))
}

/// The words of a name, in no order.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for letter in name.chars() {
        if letter.is_uppercase() || !letter.is_alphanumeric() {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| letter.is_alphanumeric()) {
            word.extend(letter.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words.sort_unstable();
    words
}
