//! What a schedule is: a fold of its events.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    definition::Definition,
    messages::{End, How, Reason, ScheduleEvent, ScheduleRan, ScheduleSkipped},
};

/// Endings that are known by their times.
const LAST: usize = 20;
/// Stretches that were skipped and can be backfilled; of more the oldest are forgotten.
const STRETCHES: usize = 1_000;
const NANOSECOND: SignedDuration = SignedDuration::from_nanos(1);

/// Whether the program has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Standing {
    /// It was never declared.
    #[default]
    Unknown,
    /// The program declares it.
    Declared,
    /// The program does not declare it any more: it stands still.
    Retired,
}

/// Who paused it, why and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pause {
    /// Who.
    pub by: String,
    /// Why.
    pub why: String,
    /// When.
    pub at: Timestamp,
}

/// An occurrence that ran and has not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UnderWay {
    /// The time that was planned.
    pub scheduled: Timestamp,
    /// When it ran.
    pub since: Timestamp,
    /// The business transaction that it began.
    pub correlation_id: String,
}

/// What became of an occurrence, or of several that were skipped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ending {
    /// The time that was planned; of several the first one's.
    pub scheduled: Timestamp,
    /// How it ran; nothing if it was skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ran: Option<How>,
    /// Why it was skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<Reason>,
    /// When that was.
    pub at: Timestamp,
    /// How many occurrences.
    pub count: u64,
    /// The last one's time, if there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
    /// The business transaction that it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// How it came to its end, if something tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<End>,
}

/// How many occurrences came to which ending, since the schedule was declared first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Ran on time.
    pub ran: u64,
    /// Ran late.
    pub late: u64,
    /// Did not run.
    pub skipped: u64,
    /// Runs that a person wanted besides.
    pub by_hand: u64,
    /// Of those skipped, or before it was declared, that were run later.
    pub backfilled: u64,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// Whether the program has it.
    pub standing: Standing,
    /// What it is, or was.
    pub definition: Option<Definition>,
    /// Every occurrence up to here has its ending, or waits.
    pub through: Option<Timestamp>,
    /// It is paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Pause>,
    /// Occurrences up to here fell into a pause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_until: Option<Timestamp>,
    /// The occurrence that waits until another has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued: Option<Timestamp>,
    /// Occurrences that ran and have not ended.
    #[serde(default)]
    pub under_way: Vec<UnderWay>,
    /// Stretches in which no occurrence ran, both ends included: what may be backfilled.
    #[serde(default)]
    pub gaps: VecDeque<(Timestamp, Timestamp)>,
    /// The last endings, the newest last.
    #[serde(default)]
    pub last: VecDeque<Ending>,
    /// All of them, counted.
    #[serde(default)]
    pub counts: Counts,
    /// Why a person must look at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attention: Option<String>,
}

impl State {
    /// Whether its occurrences run: the program has it, and nobody has paused it.
    pub fn is_running(&self) -> bool {
        self.standing == Standing::Declared && self.paused.is_none()
    }

    /// Whether an occurrence at that time did not run, as far as that is known.
    pub fn has_gap_at(&self, scheduled: Timestamp) -> bool {
        self.gaps.iter().any(|(from, to)| (*from..=*to).contains(&scheduled))
    }

    /// Takes in what happened at a time.
    pub fn happened(&mut self, event: &ScheduleEvent, at: Timestamp) {
        match event {
            ScheduleEvent::ScheduleDeclared(declared) => {
                if self.standing != Standing::Declared {
                    // What stands at the last time itself has its ending.
                    let behind = |through: Timestamp| through.saturating_add(NANOSECOND).unwrap_or(Timestamp::MAX);
                    self.add_gap((self.through.map_or(Timestamp::MIN, behind), at));
                }
                self.standing = Standing::Declared;
                self.definition = Some(declared.definition.clone());
                self.passed(at);
            }
            ScheduleEvent::ScheduleRetired(_) => {
                self.standing = Standing::Retired;
                self.under_way.clear();
                (self.queued, self.attention) = (None, None);
            }
            ScheduleEvent::SchedulePaused(paused) => {
                self.paused = Some(Pause { by: paused.by.clone(), why: paused.why.clone(), at });
            }
            ScheduleEvent::ScheduleResumed(_) => {
                self.attention = None;
                if self.paused.take().is_some() {
                    self.paused_until = Some(at);
                }
            }
            ScheduleEvent::ScheduleRan(ran) => self.ran(ran, at),
            ScheduleEvent::ScheduleSkipped(skipped) => self.skipped(skipped, at),
            ScheduleEvent::ScheduleQueued(queued) => {
                self.queued = Some(queued.scheduled);
                self.passed(queued.scheduled);
            }
            ScheduleEvent::ScheduleEnded(ended) => {
                let end = ended.end;
                self.under_way.retain(|it| Some(it.scheduled) != ended.scheduled);
                if let Some(last) = self.last.iter_mut().rev().find(|it| Some(it.scheduled) == ended.scheduled) {
                    last.end = Some(end);
                }
                let which = || ended.scheduled.map_or(String::new(), |scheduled| format!(" of {scheduled}"));
                self.attention = match end {
                    End::Done => None,
                    End::Redefined => self.attention.take(),
                    End::Rejected => {
                        let message = ended.message.as_deref().unwrap_or("no reason given");
                        Some(format!("the command{} was rejected: {message}", which()))
                    }
                    End::Overran => Some(format!("the occurrence{} was not done within its limit", which())),
                };
            }
            ScheduleEvent::ScheduleLooked(_) => {}
        }
    }

    fn ran(&mut self, ran: &ScheduleRan, at: Timestamp) {
        let ScheduleRan { scheduled, how, correlation_id, .. } = ran;
        match how {
            How::OnTime => self.counts.ran += 1,
            How::Late => self.counts.late += 1,
            How::ByHand => self.counts.by_hand += 1,
            How::Backfill => {
                self.counts.backfilled += 1;
                self.close_gap(*scheduled);
            }
        }
        if matches!(how, How::OnTime | How::Late) {
            self.passed(*scheduled);
        }
        if self.queued == Some(*scheduled) {
            self.queued = None;
        }
        let is_watched = self.definition.as_ref().is_some_and(Definition::is_watched);
        if is_watched && how.is_waited_for() {
            let correlation_id = correlation_id.clone();
            self.under_way.push(UnderWay { scheduled: *scheduled, since: at, correlation_id });
        }
        if !is_watched {
            // Nothing tells that it went well; what does not is heard of.
            self.attention = None;
        }
        self.end(Ending {
            scheduled: *scheduled,
            ran: Some(*how),
            skipped: None,
            at,
            count: 1,
            to: None,
            correlation_id: Some(correlation_id.clone()),
            end: None,
        });
    }

    fn skipped(&mut self, skipped: &ScheduleSkipped, at: Timestamp) {
        let ScheduleSkipped { from, to, count, reason, .. } = skipped;
        self.counts.skipped += count;
        self.add_gap((*from, *to));
        if self.queued.is_some_and(|queued| (*from..=*to).contains(&queued)) {
            self.queued = None;
        }
        self.passed(*to);
        self.end(Ending {
            scheduled: *from,
            ran: None,
            skipped: Some(*reason),
            at,
            count: *count,
            to: (count > &1).then_some(*to),
            correlation_id: None,
            end: None,
        });
    }

    fn passed(&mut self, time: Timestamp) {
        self.through = Some(self.through.map_or(time, |through| through.max(time)));
    }

    fn end(&mut self, ending: Ending) {
        if self.last.len() == LAST {
            self.last.pop_front();
        }
        self.last.push_back(ending);
    }

    /// No two hold the same time: what is skipped lies behind all that has its ending, or waited until now.
    fn add_gap(&mut self, gap: (Timestamp, Timestamp)) {
        if gap.0 > gap.1 {
            return;
        }
        if self.gaps.len() == STRETCHES {
            self.gaps.pop_front();
        }
        self.gaps.push_back(gap);
    }

    /// An occurrence in a gap has run: the gap is what is left of it on both sides.
    fn close_gap(&mut self, time: Timestamp) {
        let Some(at) = self.gaps.iter().position(|(from, to)| (*from..=*to).contains(&time)) else { return };
        let Some((from, to)) = self.gaps.remove(at) else { return };
        let before = time.checked_sub(NANOSECOND).ok().filter(|before| from <= *before);
        let behind = time.checked_add(NANOSECOND).ok().filter(|behind| *behind <= to);
        if let Some(behind) = behind {
            self.gaps.insert(at, (behind, to));
        }
        if let Some(before) = before {
            self.gaps.insert(at, (from, before));
        }
    }
}
