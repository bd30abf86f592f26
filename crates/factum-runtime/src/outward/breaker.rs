//! A breaker: how a dependency did lately, and whether it is asked now. Drawn at [`factum_core::call::Breaker`].

use std::{collections::VecDeque, time::Duration};

use factum_core::call::Breaker as Policy;
use jiff::Timestamp;
use serde::Serialize;
use tokio::time::Instant;

/// How a dependency stands, for people.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Dependency {
    /// Its name.
    pub name: String,
    /// Whether it is asked.
    pub state: State,
    /// Since when it is as it is; nothing if it never changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Attempts that were looked at when it changed.
    pub attempts: u32,
    /// Those of them that failed.
    pub failed: u32,
    /// What the last failed one said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Calls that wait, for it or for their next attempt.
    pub waiting: u64,
}

/// Whether a dependency is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is.
    Closed,
    /// It is left alone.
    Open,
    /// One attempt is made, to see whether it is there again.
    HalfOpen,
    /// No service of this program has the call any more.
    Unserved,
}

impl Dependency {
    fn closed(name: &str) -> Self {
        let (name, state, since, reason) = (name.to_owned(), State::Closed, None, None);
        Self { name, state, since, attempts: 0, failed: 0, reason, waiting: 0 }
    }

    /// So many calls of a name wait that no service has.
    pub(super) fn unserved(name: &str, waiting: u64) -> Self {
        Self { state: State::Unserved, waiting, ..Self::closed(name) }
    }
}

/// How an attempt ended, for the breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Went {
    /// There was an answer.
    Well,
    /// There was none.
    Badly,
    /// The other side is there, and named a time to come again: neither.
    Later,
}

/// Which kind of attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// One of many, with its number among all attempts.
    Usual(u64),
    /// The one that shows whether the other side is there again.
    Probe,
}

/// See the module.
pub(super) struct Breaker {
    policy: Policy,
    state: State,
    /// How many attempts were begun, and of the last ones when.
    begun: (u64, VecDeque<Instant>),
    /// How the last attempts ended, and when.
    lately: VecDeque<(Instant, bool)>,
    /// Failures in a row, each begun behind the end of the one before.
    row: u32,
    /// The last attempt that was begun when the row changed last.
    row_behind: u64,
    /// The last attempt that was begun when it opened last.
    opened_behind: u64,
    /// When it may be asked again.
    reopens: Option<Instant>,
    /// A probe is under way.
    probing: bool,
    /// What people are shown.
    pub(super) shown: Dependency,
}

impl Breaker {
    pub(super) fn new(name: &str, policy: Policy) -> Self {
        let shown = Dependency::closed(name);
        let (begun, lately, row, row_behind, opened_behind) = Default::default();
        let (state, reopens, probing) = (State::Closed, None, false);
        Self { policy, state, begun, lately, row, row_behind, opened_behind, reopens, probing, shown }
    }

    /// When something changes by itself.
    pub(super) fn next(&self) -> Option<Instant> {
        self.reopens.filter(|_| self.state == State::Open)
    }

    /// Whether no attempt may be made now.
    pub(super) fn is_shut(&self, now: Instant) -> bool {
        match self.state {
            State::Closed => false,
            State::Unserved => true,
            State::Open => self.reopens.is_some_and(|at| now < at),
            State::HalfOpen => self.probing,
        }
    }

    /// Whether an attempt may be made now; if so it is, and it is said which kind it is.
    pub(super) fn begins(&mut self, now: Instant, mark: Timestamp) -> Option<Turn> {
        if self.state == State::Open && self.reopens.is_some_and(|at| at <= now) {
            self.become_(State::HalfOpen, mark);
        }
        match self.state {
            State::Closed => {
                self.begun.0 += 1;
                self.begun.1.push_back(now);
                self.forget(now);
                Some(Turn::Usual(self.begun.0))
            }
            State::Open | State::Unserved => None,
            State::HalfOpen => (!std::mem::replace(&mut self.probing, true)).then_some(Turn::Probe),
        }
    }

    /// An attempt has ended.
    pub(super) fn ended(&mut self, turn: Turn, went: Went, reason: Option<&str>, now: Instant, mark: Timestamp) {
        if turn == Turn::Probe {
            self.probing = false;
        }
        if let Some(reason) = reason.filter(|_| went == Went::Badly) {
            self.shown.reason = Some(reason.to_owned());
        }
        match (self.state, turn) {
            (State::HalfOpen, Turn::Probe) if went == Went::Badly => self.open(now, mark),
            (State::HalfOpen, Turn::Probe) => self.become_(State::Closed, mark),
            (State::Closed, Turn::Usual(nth)) if went != Went::Later && nth > self.opened_behind => {
                self.lately.push_back((now, went == Went::Badly));
                self.count_row(nth, went);
                self.forget(now);
                let (all, failed) = self.counts();
                let many = all >= self.policy.least && f64::from(failed) >= self.policy.failing * f64::from(all);
                if many || self.row >= self.policy.in_a_row {
                    self.open(now, mark);
                }
            }
            // One that was under way before it opened tells nothing new, also when it is closed again.
            (State::Closed | State::Open | State::HalfOpen | State::Unserved, _) => {}
        }
    }

    /// Attempts that are under way together are cut off together, and failures may come sooner than answers: of them one counts.
    fn count_row(&mut self, nth: u64, went: Went) {
        if went == Went::Badly && nth <= self.row_behind {
            return;
        }
        self.row = if went == Went::Badly { self.row + 1 } else { 0 };
        self.row_behind = self.begun.0;
    }

    fn open(&mut self, now: Instant, mark: Timestamp) {
        self.reopens = Some(now + self.policy.open_for);
        // Open and half open are one outage: what opened it is told.
        if self.state == State::Closed {
            (self.shown.attempts, self.shown.failed) = self.counts();
        }
        self.begun.1.clear();
        self.lately.clear();
        (self.row, self.row_behind, self.opened_behind) = (0, self.begun.0, self.begun.0);
        self.become_(State::Open, mark);
    }

    fn become_(&mut self, state: State, mark: Timestamp) {
        let name = self.shown.name.as_str();
        match (self.state, state) {
            (State::Closed, State::Open) => tracing::error!(
                dependency = name,
                failed = self.shown.failed,
                attempts = self.shown.attempts,
                reason = self.shown.reason,
                "a breaker opens: calls wait, and none of their attempts is used up"
            ),
            (State::HalfOpen, State::Closed) => {
                self.shown.reason = None;
                tracing::warn!(dependency = name, "a breaker closes: the other side answers again");
            }
            _ => tracing::debug!(dependency = name, ?state, "breaker"),
        }
        // Open and half open are one outage.
        if state == State::Closed || self.state == State::Closed {
            self.shown.since = Some(mark);
        }
        self.state = state;
        self.shown.state = state;
    }

    fn forget(&mut self, now: Instant) {
        let is_old = |at: &Instant| now.duration_since(*at) > self.policy.window;
        while self.lately.front().is_some_and(|(at, _)| is_old(at)) || self.lately.len() > MOST {
            self.lately.pop_front();
        }
        while self.begun.1.front().is_some_and(is_old) || self.begun.1.len() > MOST {
            self.begun.1.pop_front();
        }
    }

    /// Attempts of the window, and how many of them failed. Those under way are some of them, or whatever fails sooner than
    /// others are answered would be all that there is.
    fn counts(&self) -> (u32, u32) {
        let failed = self.lately.iter().filter(|(_, failed)| *failed).count();
        (self.lately.len().max(self.begun.1.len()) as u32, failed as u32)
    }
}

/// Attempts that are looked at, at most.
const MOST: usize = 1_000;

/// Retries that are paid for: a bucket that first attempts and time fill.
pub(super) struct Purse {
    policy: factum_core::call::Budget,
    tokens: f64,
    filled: Instant,
}

/// Seconds that a purse holds what is free for.
const KEPT: f64 = 10.0;

impl Purse {
    pub(super) fn new(policy: factum_core::call::Budget, now: Instant) -> Self {
        Self { policy, tokens: f64::from(policy.free) * KEPT, filled: now }
    }

    /// A first attempt pays.
    pub(super) fn first(&mut self) {
        self.tokens = (self.tokens + self.policy.ratio).min(self.most());
    }

    /// Takes what a retry costs, or says how long to wait for it.
    pub(super) fn retry(&mut self, now: Instant) -> Result<(), Duration> {
        let free = f64::from(self.policy.free);
        self.tokens = (self.tokens + free * now.duration_since(self.filled).as_secs_f64()).min(self.most());
        self.filled = now;
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        let wait = if free > 0.0 { (1.0 - self.tokens) / free } else { 1.0 };
        Err(Duration::from_secs_f64(wait.clamp(0.01, 1.0)))
    }

    fn most(&self) -> f64 {
        (f64::from(self.policy.free) * KEPT).max(100.0 * self.policy.ratio).max(1.0)
    }
}
