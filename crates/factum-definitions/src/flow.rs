//! What feeds what: pipelines, each behind those whose results it reads.

use std::collections::{BTreeMap, BTreeSet};

use factum_core::service::Service;

use crate::{Problem, SERVICE, known::Known, pipeline::Pipeline};

/// The service that runs these pipelines, each with its file; what is wrong with them; and what they make, to all others.
pub fn service(pipelines: Vec<(String, Pipeline)>, known: &mut Known) -> (Service, Vec<Problem>) {
    let mut problems = Vec::new();
    for (file, pipeline) in &pipelines {
        problems.extend(pipeline.declare(known).into_iter().map(|problem| problem.in_file(file)));
    }
    let mut service = Service::new(SERVICE);
    let mut waiting = pipelines;
    while !waiting.is_empty() {
        let inputs = inputs(&waiting, known);
        let is_fed = |(_, pipeline): &(String, Pipeline)| inputs[&pipeline.type_name()].is_empty();
        let Some(next) = waiting.iter().position(is_fed) else {
            problems.extend(circles(&waiting, &inputs));
            break;
        };
        let (file, pipeline) = waiting.remove(next);
        let type_name = pipeline.type_name();
        match pipeline.build(known) {
            Ok((running, fields)) => {
                service = service.pipeline(running);
                if let Some(event) = known.events.get_mut(&*type_name) {
                    event.fields = Some(fields);
                }
            }
            Err(wrong) => problems.extend(wrong.into_iter().map(|problem| problem.in_file(&file))),
        }
    }
    (service, problems)
}

/// Of each that waits, by the type of its results: the results that it reads of others that wait.
fn inputs(waiting: &[(String, Pipeline)], known: &Known) -> BTreeMap<String, BTreeSet<String>> {
    let made: BTreeSet<String> = waiting.iter().map(|(_, pipeline)| pipeline.type_name()).collect();
    let reads = |pipeline: &Pipeline| {
        let names = pipeline.reads(known).unwrap_or_default().into_iter().map(|event| event.info.name.to_owned());
        names.filter(|name| made.contains(name)).collect()
    };
    waiting.iter().map(|(_, pipeline)| (pipeline.type_name(), reads(pipeline))).collect()
}

/// Those that would be fed by what follows from their own results, without end.
fn circles(waiting: &[(String, Pipeline)], inputs: &BTreeMap<String, BTreeSet<String>>) -> Vec<Problem> {
    let feeds_itself = |pipeline: &Pipeline| {
        let own = pipeline.type_name();
        let (mut seen, mut next) = (BTreeSet::new(), vec![own.clone()]);
        while let Some(name) = next.pop() {
            let reads = inputs.get(&name).into_iter().flatten();
            next.extend(reads.filter(|name| seen.insert((*name).clone())).cloned());
        }
        seen.contains(&own)
    };
    let circles = waiting.iter().filter(|(_, pipeline)| feeds_itself(pipeline));
    let problem = |(file, pipeline): &(String, Pipeline)| {
        let (name, input) = (&pipeline.name().text, pipeline.input());
        let sentence = format!(
            "`{name}` reads `{}`, which comes of its own results: there would be no end; choose another `input_stream`",
            input.text
        );
        Problem::at(input.at, sentence).in_file(file)
    };
    circles.map(problem).collect()
}
