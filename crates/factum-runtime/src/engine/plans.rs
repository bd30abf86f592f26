//! Plans in the engine: made with every effect they would have, approved by their hash, and carried out as jobs, a share
//! of each step.

use std::collections::BTreeMap;

use factum_core::{
    envelope::Stored,
    error::StoreError,
    letter::{Letter, MAX_REASON_BYTES, Subject, short},
    stream::Position,
};
use serde_json::{Value, json};

use super::{
    failure::{Ended, Fault},
    run::Run,
};
use crate::{
    acts::{ActError, By, Outcome, Preview, Shown, What},
    letters::Query,
    plans::{Count, Item, MAX_NAMED, Plan, Planned, PlannedItem, Redeliver, Selection, Stage},
    registry::{ConsumerId, Handler, PLATFORM},
    survey::{Survey, meant, messages},
};

/// Bytes to read at once.
const SCAN_BYTES: usize = 1 << 20;
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
        if let Selection::Redeliver(which) = &making.selection {
            match self.redeliverable(which) {
                // What it has not had yet comes by itself: whoever surveyed may have looked at an older report.
                Ok(id) => head = head.min(self.handled(id)),
                Err(error) => return Ok(Err(error)),
            }
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
            done: 0,
            failed: 0,
            left_out: 0,
            changed: Vec::new(),
            failures: Vec::new(),
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
            Selection::Redrive { .. } => vec!["what waits behind each letter follows it, in order"],
            Selection::Discard { .. } => vec!["nothing is run; what waits behind each letter follows, in order"],
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
        self.end_plan(&plan, "plan.cancelled", 0, json!({ "by": by.who, "why": by.why }))?;
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
            return self.end_plan(&plan, "plan.stopped", 0, json!({ "reason": reason }));
        }
        let (mark, before) = (self.work.clock.mark(), plan.looked_at());
        let most = plan.allowed(mark).saturating_sub(before).min(self.work.limits.share as u64) as usize;
        let Portion { mut items, is_last, through } = self.portion(&plan, most.max(1))?;
        let found = items.len();
        items.retain(|(item, _)| plan.last.as_ref().is_some_and(|last| item <= last));
        // What stands behind its last item is none of it.
        let is_last = is_last || items.len() < found;
        let by = By::new(plan.by.who.clone(), format!("plan {}", plan.id));
        for (item, about) in items {
            if self.stage.bytes() >= self.work.limits.staged_bytes {
                return self.write_plan(&plan);
            }
            match self.carry_out(&plan, &about, &by)? {
                Carried::Done => plan.done += 1,
                Carried::Failed => {
                    plan.failed += 1;
                    if plan.failures.len() < MAX_NAMED {
                        plan.failures.push(item.to_string());
                    }
                }
                Carried::LeftOut => {
                    plan.left_out += 1;
                    if plan.changed.len() < MAX_NAMED {
                        plan.changed.push(item.to_string());
                    }
                }
            }
            plan.cursor = Some(item);
        }
        if let Some(through) = through {
            plan.cursor = Some(Item::Message(through));
        }
        if is_last {
            let gone = plan.total.saturating_sub(plan.looked_at());
            plan.left_out += gone;
            return self.end_plan(&plan, "plan.finished", gone, json!({}));
        }
        if before / PROGRESS != plan.looked_at() / PROGRESS {
            let data = json!({ "plan": plan.id, "done": plan.done, "failed": plan.failed, "total": plan.total });
            self.record("plan", &plan.id, "plan.progressed", &data)?;
        }
        self.write_plan(&plan)
    }

    fn carry_out(&mut self, plan: &Plan, about: &AboutItem, by: &By) -> Result<Carried, StoreError> {
        let act = match (&plan.making.selection, about) {
            (Selection::Redrive { .. }, AboutItem::Letter(letter)) => What::Redrive(letter.id.clone()),
            (Selection::Discard { .. }, AboutItem::Letter(letter)) => What::Discard(letter.id.clone()),
            (Selection::Redeliver(which), AboutItem::Message(stored)) => return self.redeliver(which, stored),
            _ => return Ok(Carried::LeftOut),
        };
        if let AboutItem::Letter(letter) = about
            && !plan.is_unchanged(letter)
        {
            return Ok(Carried::LeftOut);
        }
        Ok(match self.act(&act, by)? {
            Ok(Outcome::FailedAgain { .. }) => Carried::Failed,
            Ok(_) => Carried::Done,
            Err(_) => Carried::LeftOut,
        })
    }

    fn redeliver(&mut self, which: &Redeliver, stored: &Stored) -> Result<Carried, StoreError> {
        let Ok(id) = self.redeliverable(which) else { return Ok(Carried::LeftOut) };
        let subject = Subject::Message(stored.position);
        // What waits is delivered by itself.
        if self.work.letters.knows(&which.consumer, &subject) || self.work.holds.waits_already(id, stored.position) {
            return Ok(Carried::LeftOut);
        }
        self.redelivering = true;
        let ended = self.log_again(id, stored);
        self.redelivering = false;
        Ok(match ended? {
            Ended::Done => Carried::Done,
            Ended::Letter(_) => Carried::Failed,
            Ended::Held(_) | Ended::TooEarly => Carried::LeftOut,
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
        Ok(Portion { items, is_last: !more && through.is_none(), through: through.filter(|_| !more) })
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

    /// Ends a plan, of which so many items are gone. Its cell goes; the event says all that is asked for later.
    fn end_plan(&mut self, plan: &Plan, name: &str, gone: u64, mut data: Value) -> Result<(), StoreError> {
        tracing::info!(
            plan = plan.id,
            done = plan.done,
            failed = plan.failed,
            left_out = plan.left_out,
            name,
            by = PLATFORM
        );
        data["plan"] = plan.id.clone().into();
        let tally = serde_json::to_value(plan.tally(gone)).map_err(|error| StoreError::Unfit(error.to_string()))?;
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
enum AboutItem {
    Letter(Box<Letter>),
    Message(Box<Stored>),
}

/// The next items of a plan.
struct Portion {
    items: Vec<(Item, AboutItem)>,
    /// There are no more.
    is_last: bool,
    /// Up to here there are no more, though it is no item.
    through: Option<Position>,
}

/// What became of an item.
enum Carried {
    Done,
    Failed,
    LeftOut,
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
