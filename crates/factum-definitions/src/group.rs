//! A consumer group's definition: which streams programs outside fetch events of, and how they are given out.

use std::{collections::BTreeMap, time::Duration};

use factum_core::{
    Timestamp,
    group::{Group as Running, MAX_ATTEMPTS, Start},
    id::check_name,
    service::Service,
    stream::Position,
};

use crate::{
    GROUPS, Problem,
    known::Known,
    words::{duration, folded, hint, truth},
    yaml::{Is, Node, Word, entries, words},
};

const KEYS: [&str; 7] = ["consumer_group", "topics", "offset_strategy", "lease", "attempts", "ordered", "description"];
const OFFSETS: &str = "an `offset_strategy` is `earliest`, `latest`, `time: 2026-01-01T00:00:00Z` or `position: 42`";

/// As it is written.
pub struct Group {
    name: Word,
    topics: Vec<Word>,
    start: Start,
    lease: Option<Duration>,
    attempts: Option<u32>,
    ordered: bool,
}

impl Group {
    pub fn read(node: &Node, name: Option<Word>) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let (mut name, mut topics, mut start) = (name, Vec::new(), Start::Earliest);
        let (mut lease, mut attempts, mut ordered) = (None, None, true);
        for (word, value) in entries(node, "consumergroup") {
            let mut wrong = |sentence: String| problems.push(Problem::at(value.at, sentence));
            match &*folded(&word.text) {
                "consumergroup" | "name" | "group" | "groupid" | "id" => match value.word() {
                    Some(text) if !text.text.trim().is_empty() => name = Some(text),
                    _ => wrong(format!("`{}` is a name, and this is {}", word.text, value.kind())),
                },
                "topics" | "topic" | "streams" | "subscribes" | "types" => topics = words(word, value, &mut problems),
                "offsetstrategy" | "offset" | "autooffsetreset" => match offset(value) {
                    Some(found) => start = found,
                    None => wrong(OFFSETS.to_owned()),
                },
                "lease" | "ackwait" | "visibilitytimeout" => match value.text().and_then(duration) {
                    Some(found) => lease = Some(found),
                    None => wrong("a `lease` is a span of time, such as `30s` or `5m`".to_owned()),
                },
                "attempts" | "maxattempts" | "maxdeliver" => match value.text().and_then(|text| text.parse().ok()) {
                    Some(found) => attempts = Some(found),
                    None => wrong(format!("`attempts` is a number from 1 to {MAX_ATTEMPTS}")),
                },
                "ordered" => match value.text().and_then(truth) {
                    Some(found) => ordered = found,
                    None => wrong("`ordered` is `true` or `false`".to_owned()),
                },
                "description" | "comment" | "owner" => {}
                _ => {
                    let hint = hint(&word.text, KEYS);
                    problems.push(Problem::at(word.at, format!("a consumer group has no `{}`: {hint}", word.text)));
                }
            }
        }
        if topics.is_empty() && problems.is_empty() {
            problems.push(Problem::at(
                node.at,
                "the consumer group reads nothing: add `topics: [order-events]`".to_owned(),
            ));
        }
        let Some(name) = name else {
            let sentence = "the consumer group has no name: add `consumer_group: order-processors`";
            problems.push(Problem::at(node.at, sentence.to_owned()));
            return Err(problems);
        };
        if let Err(error) = check_name("group", name.text.trim()) {
            problems.push(Problem::at(name.at, error.to_string()));
        }
        if problems.is_empty() { Ok(Self { name, topics, start, lease, attempts, ordered }) } else { Err(problems) }
    }

    /// What runs; each topic must be one that the program has.
    fn build(&self, known: &Known) -> Result<Running, Vec<Problem>> {
        let (mut problems, mut types) = (Vec::new(), Vec::new());
        for word in &self.topics {
            match known.stream(&word.text) {
                Ok(found) => types.extend(found.into_iter().map(|event| event.info)),
                Err(hint) => problems
                    .push(Problem::at(word.at, format!("nothing is known of the topic `{}`: {hint}", word.text))),
            }
        }
        let mut group = Running::new(self.name.text.trim()).reads_types(types).start(self.start);
        group = self.lease.map_or(group.clone(), |lease| group.clone().lease(lease));
        group = self.attempts.map_or(group.clone(), |attempts| group.clone().attempts(attempts));
        if !self.ordered {
            group = group.unordered();
        }
        if problems.is_empty() {
            problems.extend(group.problem().map(|problem| Problem::at(self.name.at, problem)));
        }
        if problems.is_empty() { Ok(group) } else { Err(problems) }
    }
}

/// Where a new group begins: a word, a map of one key, or both in one text.
fn offset(value: &Node) -> Option<Start> {
    let (word, of) = match &value.is {
        Is::Text(text) => match text.split_once(':') {
            Some((word, of)) => (word.to_owned(), of.trim().to_owned()),
            None => (text.clone(), String::new()),
        },
        Is::Map(entries) => match entries.as_slice() {
            [(word, of)] => (word.text.clone(), of.text()?.trim().to_owned()),
            _ => return None,
        },
        Is::Nothing | Is::List(_) => return None,
    };
    match &*folded(&word) {
        "earliest" if of.is_empty() => Some(Start::Earliest),
        "latest" if of.is_empty() => Some(Start::Latest),
        "time" | "timestamp" => of.parse::<Timestamp>().ok().map(Start::Time),
        "position" => of.parse().ok().map(Position).map(Start::Position),
        _ => None,
    }
}

/// The service that has these groups, each with its file; nothing if there are none.
pub fn service(groups: &[(String, Group)], known: &Known) -> Result<Option<Service>, Vec<Problem>> {
    let (mut service, mut problems) = (Service::new(GROUPS), Vec::new());
    let mut defined: BTreeMap<&str, &str> = BTreeMap::new();
    for (file, group) in groups {
        let name = group.name.text.trim();
        if let Some(other) = defined.insert(name, file) {
            let sentence =
                format!("another consumer group is called `{name}`, in {other}: give each a name of its own");
            problems.push(Problem::at(group.name.at, sentence).in_file(file));
            continue;
        }
        match group.build(known) {
            Ok(running) => service = service.group(running),
            Err(wrong) => problems.extend(wrong.into_iter().map(|problem| problem.in_file(file))),
        }
    }
    match problems.is_empty() {
        true => Ok((!service.groups.is_empty()).then_some(service)),
        false => Err(problems),
    }
}
