//! Plans in the engine: made with every effect they would have, approved by their hash, and carried out as jobs, a share
//! of each step.

use std::collections::BTreeMap;

use factum_core::{
    envelope::Stored,
    error::StoreError,
    letter::{Letter, MAX_REASON_BYTES, Subject, short},
    saga::Wanted,
    stream::{Position, StreamId},
};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    failure::{Ended, Fault},
    run::Run,
};
use crate::{
    acts::{ActError, By, Outcome, Preview, Shown, What},
    letters::Query,
    plans::{Count, Item, Plan, Planned, PlannedItem, Redeliver, Selection, Stage, Tally},
    registry::{ConsumerId, Handler, PLATFORM},
    sagas,
    survey::{Survey, meant, messages},
};

/// Bytes to read at once.
const SCAN_BYTES: usize = 1 << 20;
/// Open instances of a saga that a step looks at.
const LOOKED_AT: usize = 1_024;
/// Items behind which a job says where it stands.
const PROGRESS: u64 = 1_000;

type Acted = Result<Result<Outcome, ActError>, StoreError>;

impl Run<'_> {
    /// Makes a plan: nothing is done yet.
    pub(super) fn make_plan(&mut self, survey: &Survey, by: &By) -> Acted {
        let making = &survey.making;
        if making.rate == Some(0) {
            return refuse("a rate of 0 would never do anything: name items a second, or no rate");
        }
        let mut head = survey.head;
        match &making.selection {
            Selection::Redeliver(which) => match self.redeliverable(which) {
                // What it has not had yet comes by itself: whoever surveyed may have looked at an older report.
                Ok(id) => head = head.min(self.handled(id)),
                Err(error) => return Ok(Err(error)),
            },
            Selection::Move { saga, from, to } => {
                if let Err(problem) = self.movable(saga, *from, *to) {
                    return refuse(&problem);
                }
            }
            Selection::Backfill(fill) => {
                if let Err(problem) = self.fillable(fill, survey.total) {
                    return refuse(&problem);
                }
            }
            Selection::Redrive { .. } | Selection::Discard { .. } => {}
        }
        let made_at = self.work.clock.mark();
        let mut items = Vec::with_capacity(survey.first.len());
        for item in &survey.first {
            items.push(PlannedItem { item: item.to_string(), preview: self.would(&making.selection, item)? });
        }
        let id = self.work.ids.next(made_at).to_string();
        let plan = Plan {
            id,
            making: making.clone(),
            stage: Stage::Made,
            by: by.clone(),
            made_at,
            head,
            program: self.work.program.clone(),
            total: survey.total,
            hash: survey.hash.clone(),
            last: survey.last.clone(),
            approved_at: None,
            cursor: None,
            tally: Tally::default(),
        };
        let data = json!({
            "plan": plan.id, "making": making, "total": plan.total, "hash": plan.hash, "program": plan.program,
            "by": by.who, "why": by.why,
        });
        self.record("plan", &plan.id, "plan.made", &data)?;
        self.write_plan(&plan)?;
        let notes = match making.selection {
            Selection::Redeliver(_) => vec![
                "the reaction acts again: its commands and events are new messages",
                "its calls are made again under their first idempotency keys",
            ],
            Selection::Backfill(_) => vec![
                "each sends its command at once, beside what runs at its time: name a rate if they must not run together",
            ],
            Selection::Redrive { .. } => vec!["what waits behind each letter follows it, in order"],
            Selection::Discard { .. } => vec!["nothing is run; what waits behind each letter follows, in order"],
            Selection::Move { .. } => vec![
                "each is moved for good, by an event of its own; its steps that wait get new limits",
                "what goes on meanwhile is moved as it stands then, if it still can be",
            ],
        };
        let would_fail = items.iter().filter(|item| item.preview.failure.is_some()).count() as u64;
        let effects = counts(&items);
        Ok(Ok(Outcome::Planned(Box::new(Planned { plan, items, effects, would_fail, notes }))))
    }

    /// Approves a plan: from now on it is carried out.
    pub(super) fn approve(&mut self, id: &str, hash: &str, by: &By) -> Acted {
        let Some(plan) = self.plan(id)? else { return Ok(Err(ActError::NoPlan(id.to_owned()))) };
        if plan.stage != Stage::Made {
            return refuse("the plan was approved before: it is running");
        }
        if plan.hash != hash {
            return refuse("the hash is not that of the plan: look at the plan again, and approve what it says");
        }
        if plan.making.second_person && plan.by.who == by.who {
            return refuse("this plan wants a second person: somebody else than its maker must approve it");
        }
        if plan.program != self.work.program {
            return refuse("the program is another one than when the plan was made: make it again");
        }
        self.record("plan", id, "plan.approved", &json!({ "plan": id, "hash": hash, "by": by.who, "why": by.why }))?;
        let approved_at = Some(self.work.clock.mark());
        self.write_plan(&Plan { stage: Stage::Running, approved_at, ..plan })?;
        Ok(Ok(Outcome::Done { followed: Vec::new() }))
    }

    /// Takes a plan back; what it has done stays done.
    pub(super) fn cancel_plan(&mut self, id: &str, by: &By) -> Acted {
        let Some(plan) = self.plan(id)? else { return Ok(Err(ActError::NoPlan(id.to_owned()))) };
        self.end_plan(&plan, "plan.cancelled", json!({ "by": by.who, "why": by.why }))?;
        Ok(Ok(Outcome::Done { followed: Vec::new() }))
    }

    /// Carries out a share of the running plans; says whether there was anything to do.
    pub(super) fn jobs(&mut self) -> Result<bool, StoreError> {
        if self.work.jobs.is_empty() {
            return Ok(false);
        }
        let mark = self.work.clock.mark();
        let due = |plan: &&Plan| plan.stage == Stage::Running && plan.due().is_none_or(|due| due <= mark);
        let running: Vec<Plan> = self.work.jobs.values().filter(due).cloned().collect();
        for plan in &running {
            self.job(plan.clone())?;
        }
        Ok(!running.is_empty())
    }

    fn job(&mut self, mut plan: Plan) -> Result<(), StoreError> {
        if plan.program != self.work.program {
            let reason = "the program is another one than when the plan was made: make it again for the rest";
            return self.end_plan(&plan, "plan.stopped", json!({ "reason": reason }));
        }
        let (mark, before) = (self.work.clock.mark(), plan.tally.looked_at());
        let most = plan.allowed(mark).saturating_sub(before).min(self.work.limits.share as u64) as usize;
        let Portion { mut items, is_last, through } = self.portion(&plan, most.max(1))?;
        let found = items.len();
        items.retain(|(item, _)| plan.last.as_ref().is_some_and(|last| item <= last));
        // What stands behind its last item is none of it.
        let is_last = is_last || items.len() < found || through >= plan.last;
        let by = By::new(plan.by.who.clone(), format!("plan {}", plan.id));
        for (item, about) in items {
            if self.is_full() {
                return self.write_plan(&plan);
            }
            match self.carry_out(&plan, &about, &by)? {
                Carried::Done => plan.tally.done += 1,
                Carried::Failed => plan.tally.fails(&item.to_string()),
                Carried::LeftOut(reason) => plan.tally.leaves_out(&item.to_string(), &reason),
                // As one that was not found: it is counted at the end.
                Carried::Gone => {}
            }
            plan.cursor = Some(item);
        }
        plan.cursor = through.or(plan.cursor);
        if is_last {
            plan.tally.gone = plan.total.saturating_sub(plan.tally.looked_at());
            plan.tally.left_out += plan.tally.gone;
            return self.end_plan(&plan, "plan.finished", json!({}));
        }
        let Tally { done, failed, .. } = plan.tally;
        if before / PROGRESS != plan.tally.looked_at() / PROGRESS {
            let data = json!({ "plan": plan.id, "done": done, "failed": failed, "total": plan.total });
            self.record("plan", &plan.id, "plan.progressed", &data)?;
        }
        self.write_plan(&plan)
    }

    fn carry_out(&mut self, plan: &Plan, about: &AboutItem, by: &By) -> Result<Carried, StoreError> {
        let acted = match (&plan.making.selection, about) {
            (Selection::Redeliver(which), AboutItem::Message(stored)) => return self.redeliver(which, stored),
            (Selection::Redrive { .. } | Selection::Discard { .. }, AboutItem::Letter(letter))
                if !plan.is_unchanged(letter) =>
            {
                return Ok(Carried::LeftOut("it had changed since the plan was made".to_owned()));
            }
            (Selection::Redrive { .. }, AboutItem::Letter(letter)) => {
                self.act(&What::Redrive(letter.id.clone()), by)?
            }
            (Selection::Discard { .. }, AboutItem::Letter(letter)) => {
                self.act(&What::Discard(letter.id.clone()), by)?
            }
            (Selection::Backfill(fill), AboutItem::Occurrence(time)) => return self.fill_in(fill, *time, by),
            (Selection::Move { to, .. }, AboutItem::Saga(instance)) => self.move_one(instance, *to, by)?,
            _ => return Ok(Carried::Gone),
        };
        Ok(match acted {
            Ok(Outcome::FailedAgain { .. }) => Carried::Failed,
            Ok(_) => Carried::Done,
            Err(ActError::NoLetter(_) | ActError::NoInstance(_)) => Carried::Gone,
            Err(error) => Carried::LeftOut(error.to_string()),
        })
    }

    /// Whether the program can move instances of the saga at all.
    fn movable(&self, saga: &str, from: u32, to: u32) -> Result<(), String> {
        let Some(versions) = self.registry.versions(saga) else {
            return Err(format!("this program has no saga `{saga}`"));
        };
        if from >= to {
            return Err(format!("an instance moves to a later version, and {to} is none behind {from}"));
        }
        let known = || versions.all().iter().map(|table| table.version().to_string()).collect::<Vec<_>>().join(", ");
        let lacks = |version: u32| format!("this program has no version {version} of {saga}: it has {}", known());
        versions.version(from).ok_or_else(|| lacks(from))?;
        let new = versions.version(to).ok_or_else(|| lacks(to))?;
        match new.moves().iter().any(|(known, _)| *known == from) {
            true => Ok(()),
            false => Err(format!("version {to} of {saga} does not say how: add `.moves_from({from}, …)` to it")),
        }
    }

    /// Its table's own code runs, at each start again until it is through: one that ends the process is left as it is.
    fn move_one(&mut self, instance: &str, to: u32, by: &By) -> Acted {
        self.noted_move(instance, |run, verdict| match verdict {
            None => run.act(&What::Saga(instance.to_owned(), Wanted::Move(to)), by),
            Some(reason) => refuse(&reason),
        })
    }

    fn redeliver(&mut self, which: &Redeliver, stored: &Stored) -> Result<Carried, StoreError> {
        let id = match self.redeliverable(which) {
            Ok(id) => id,
            Err(error) => return Ok(Carried::LeftOut(error.to_string())),
        };
        let subject = Subject::Message(stored.position);
        if self.work.letters.knows(&which.consumer, &subject) || self.work.holds.waits_already(id, stored.position) {
            return Ok(Carried::LeftOut("it waits, and is delivered by itself".to_owned()));
        }
        self.redelivering = true;
        let ended = self.log_again(id, stored);
        self.redelivering = false;
        Ok(match ended? {
            Ended::Done => Carried::Done,
            Ended::Letter(_) => Carried::Failed,
            Ended::Held(key) => {
                Carried::LeftOut(format!("it goes to {key}, which is held: end the letter there first"))
            }
            Ended::TooEarly => Carried::LeftOut("it is too early, and follows by itself".to_owned()),
        })
    }

    /// The reaction that is meant, if it may be delivered to once more.
    fn redeliverable(&self, which: &Redeliver) -> Result<ConsumerId, ActError> {
        let no = |problem: &str| ActError::NotNow(format!("{} {problem}", which.consumer));
        if which.consumer.starts_with("view:") {
            return Err(no("is a view: raise its version, and it is built anew"));
        }
        let Some(id) = self.registry.named(&which.consumer) else {
            return Err(ActError::NoConsumer(which.consumer.clone()));
        };
        match self.registry.consumer(id).handler {
            Handler::Reaction(_) | Handler::Folding(_) => {}
            Handler::Saga(_) => return Err(no("is a saga: its instances have seen this, and act once")),
            Handler::Decider(_) => return Err(no("is a decider: it has decided, and its events stand")),
            Handler::Group(_) => return Err(no("is a pull group: what its workers have settled is over")),
        }
        match self.work.consumers.is_stopped(id) || self.work.consumers.is_renewed(id) {
            true => Err(no("has stopped, or its state is being made anew: let it try again first")),
            false => Ok(id),
        }
    }

    /// The next items of a plan, at most so many, found among a share of what there is to look at.
    fn portion(&self, plan: &Plan, most: usize) -> Result<Portion, StoreError> {
        match &plan.making.selection {
            Selection::Redrive { query } | Selection::Discard { query } => self.letters_behind(query, plan, most),
            Selection::Redeliver(which) => self.messages_behind(which, plan, most),
            Selection::Move { saga, from, .. } => self.instances_behind(saga, *from, plan, most),
            Selection::Backfill(fill) => Ok(self.occurrences_behind(fill, plan, most)),
        }
    }

    fn letters_behind(&self, query: &Query, plan: &Plan, most: usize) -> Result<Portion, StoreError> {
        let after = match &plan.cursor {
            Some(Item::Letter(last)) => Some(last),
            _ => query.after.as_ref(),
        };
        let mut items = Vec::new();
        for id in self.work.letters.behind(after) {
            if items.len() == most {
                return Ok(Portion { items, is_last: false, through: None });
            }
            if let Some(letter) = self.work.stored_letter(self.stage, &id)?
                && meant(query, &letter, plan.head)
            {
                items.push((Item::Letter(id), AboutItem::Letter(Box::new(letter))));
            }
        }
        Ok(Portion { items, is_last: true, through: None })
    }

    fn messages_behind(&self, which: &Redeliver, plan: &Plan, most: usize) -> Result<Portion, StoreError> {
        let after = match &plan.cursor {
            Some(Item::Message(last)) => *last,
            _ => which.after,
        };
        let (found, through) = messages(&*self.work.reader, self.registry, which, (after, plan.head), SCAN_BYTES)?;
        let more = found.len() > most;
        let items = found.into_iter().take(most);
        let items = items.map(|it| (Item::Message(it.position), AboutItem::Message(Box::new(it)))).collect();
        let through = through.filter(|_| !more).map(Item::Message);
        Ok(Portion { items, is_last: !more && through.is_none(), through })
    }

    /// Those that the version runs, and ran when the plan was made.
    fn instances_behind(&self, saga: &str, from: u32, plan: &Plan, most: usize) -> Result<Portion, StoreError> {
        let after = match &plan.cursor {
            Some(Item::Saga(last)) => Some(last.as_str()),
            _ => None,
        };
        let mut items = Vec::new();
        for (looked_at, (name, open)) in self.work.instances.behind(saga, after).enumerate() {
            if items.len() == most {
                return Ok(Portion { items, is_last: false, through: None });
            }
            let item = || Item::Saga(name.to_owned());
            if open.standing.version == from && self.run_since(name)?.is_some_and(|since| since <= plan.head) {
                items.push((item(), AboutItem::Saga(name.to_owned())));
            }
            if looked_at + 1 == LOOKED_AT {
                return Ok(Portion { items, is_last: false, through: Some(item()) });
            }
        }
        Ok(Portion { items, is_last: true, through: None })
    }

    /// Since when an instance is run by its version.
    fn run_since(&self, instance: &str) -> Result<Option<Position>, StoreError> {
        StreamId::parse(instance).map_or(Ok(()), |stream| self.work.await_stream(&stream))?;
        sagas::run_since(&*self.work.reader, instance)
    }

    /// What an item would do, dry.
    fn would(&mut self, selection: &Selection, item: &Item) -> Result<Preview, StoreError> {
        let fails = |problem: String| Preview { effects: Vec::new(), failure: Some(short(&problem, MAX_REASON_BYTES)) };
        match (selection, item) {
            (Selection::Redrive { .. }, Item::Letter(id)) => {
                let Some(letter) = self.work.stored_letter(self.stage, id)? else {
                    return Ok(fails("it has ended meanwhile".to_owned()));
                };
                Ok(match self.try_dry(&letter)? {
                    Ok(Outcome::Tried(preview)) => preview,
                    Ok(_) => Preview::default(),
                    Err(error) => fails(error.to_string()),
                })
            }
            (Selection::Redeliver(which), Item::Message(position)) => {
                let Ok(id) = self.redeliverable(which) else { return Ok(Preview::default()) };
                let stored = self.work.message_at(*position)?;
                let outcome = self.handle(id, &stored).and_then(|()| self.fits());
                let effects = super::act::shown(&self.local, &self.work.timers);
                self.forget();
                match outcome {
                    Ok(()) => Ok(Preview { effects, failure: None }),
                    Err(Fault::Store(error)) => Err(error),
                    Err(fault) => Ok(fails(super::act::said(&fault))),
                }
            }
            (Selection::Backfill(fill), Item::Occurrence(time)) => self.would_fill_in(fill, *time),
            (Selection::Move { to, .. }, Item::Saga(name)) => {
                let by = By::new(PLATFORM, "");
                Ok(match self.act_on_instance(name, &Wanted::Move(*to), &by, true)? {
                    Ok(Outcome::Tried(preview)) => preview,
                    Ok(_) => Preview::default(),
                    Err(error) => fails(error.to_string()),
                })
            }
            _ => Ok(Preview::default()),
        }
    }

    fn plan(&self, id: &str) -> Result<Option<Plan>, StoreError> {
        Ok(self.work.jobs.get(id).cloned())
    }

    fn write_plan(&mut self, plan: &Plan) -> Result<(), StoreError> {
        self.stage.cell(Plan::cell(&plan.id), Some(plan.encode()?));
        self.work.jobs.insert(plan.id.clone(), plan.clone());
        Ok(())
    }

    /// Ends a plan. Its cell goes; the event says all that is asked for later.
    fn end_plan(&mut self, plan: &Plan, name: &str, mut data: Value) -> Result<(), StoreError> {
        let Tally { done, failed, left_out, .. } = plan.tally;
        tracing::info!(plan = plan.id, done, failed, left_out, name, by = PLATFORM);
        data["plan"] = plan.id.clone().into();
        let tally = serde_json::to_value(&plan.tally).map_err(|error| StoreError::Unfit(error.to_string()))?;
        if let (Value::Object(data), Value::Object(tally)) = (&mut data, tally) {
            data.extend(tally);
        }
        self.record("plan", &plan.id, name, &data)?;
        self.stage.cell(Plan::cell(&plan.id), None);
        self.work.jobs.remove(&plan.id);
        Ok(())
    }
}

/// What an item is about.
pub(super) enum AboutItem {
    Letter(Box<Letter>),
    Message(Box<Stored>),
    Saga(String),
    Occurrence(Timestamp),
}

/// The next items of a plan.
pub(super) struct Portion {
    pub(super) items: Vec<(Item, AboutItem)>,
    /// There are no more.
    pub(super) is_last: bool,
    /// Up to here there are no more, though it is no item.
    pub(super) through: Option<Item>,
}

/// What became of an item.
pub(super) enum Carried {
    Done,
    Failed,
    /// Why.
    LeftOut(String),
    /// It is not there any more.
    Gone,
}

fn refuse(problem: &str) -> Acted {
    Ok(Err(ActError::NotNow(problem.to_owned())))
}

fn counts(items: &[PlannedItem]) -> Vec<Count> {
    let mut counts: BTreeMap<(&'static str, &str), u64> = BTreeMap::new();
    for Shown { kind, type_name, .. } in items.iter().flat_map(|item| &item.preview.effects) {
        *counts.entry((kind, type_name)).or_default() += 1;
    }
    counts.into_iter().map(|((kind, name), count)| Count { kind, type_name: name.to_owned(), count }).collect()
}
