//! The four rules of whoever takes part in a saga with a step that can be undone.
//!
//! 1. Doing twice is doing once.
//! 2. Undoing twice is undoing once.
//! 3. An undo before its step leaves a tombstone that refuses the late step.
//! 4. The undo of a refused step does nothing.
//!
//! And what a saga needs besides: each undo is confirmed exactly once, also if the step was still under way.

use std::time::Duration;

use factum_core::{Timestamp, decider::Decider, rejection::Refused};

use super::Run;
use crate::scenario::{NOW, again, decide};

/// A participant under test, with one step and its undo.
pub trait Subject {
    /// The aggregate that takes part.
    type Aggregate: Decider;

    /// What has happened before, so that the step can be done.
    fn before(&self) -> Vec<Event<Self>> {
        Vec::new()
    }
    /// The step.
    fn act(&self) -> Command<Self>;
    /// Its undo.
    fn undo(&self) -> Command<Self>;
    /// The outside's yes to the step, if it must be asked.
    fn accepted(&self) -> Option<Command<Self>> {
        None
    }
    /// The outside's answer to the undo, if it must be asked.
    fn released(&self) -> Option<Command<Self>> {
        None
    }
    /// What leads to a refusal of the step instead: a history, the step, and the outside's no if it must be asked. The step
    /// may be refused by an event or by a rejection.
    fn refusal(&self) -> (Vec<Event<Self>>, Command<Self>, Option<Command<Self>>);
    /// Whether an event confirms the undo.
    fn confirms(&self, event: &Event<Self>) -> bool;
    /// Whether something is held after these events.
    fn holds(&self, events: &[Event<Self>]) -> bool;
    /// The code by which a step is refused that was undone before it came.
    fn too_late(&self) -> &'static str;
    /// How long it remembers what is over, if not for ever. What comes late or again comes as late as that.
    fn remembers(&self) -> Duration {
        Duration::ZERO
    }
}

/// The subject's events.
pub type Event<S> = <<S as Subject>::Aggregate as Decider>::Event;
/// The subject's commands.
pub type Command<S> = <<S as Subject>::Aggregate as Decider>::Command;

/// Runs every rule.
///
/// # Panics
/// If one of them is not kept.
pub fn run<S: Subject>(subject: &S) {
    let mut run = Run::default();
    run.case("doing twice is doing once, before and after the outside's answer", || doing_twice(subject));
    run.case("undoing twice is undoing once", || undoing_twice(subject));
    run.case("undoing a step that is under way covers its late answer", || undoing_under_way(subject));
    run.case("an undo before its step refuses the late step", || undoing_first(subject));
    run.case("the undo of a refused step does nothing", || undoing_refused(subject));
    run.end();
}

struct Play<'a, S: Subject> {
    subject: &'a S,
    state: S::Aggregate,
    events: Vec<Event<S>>,
    now: Timestamp,
    time: u32,
}

impl<'a, S: Subject> Play<'a, S> {
    fn new(subject: &'a S, before: Vec<Event<S>>) -> Self {
        let mut state = S::Aggregate::default();
        before.iter().for_each(|event| state.evolve_at(&again(event), NOW));
        Self { subject, state, events: Vec::new(), now: NOW, time: 0 }
    }

    /// Answers how many events followed.
    fn does(&mut self, command: Command<S>) -> Result<usize, Refused> {
        self.time += 1;
        let command = crate::scenario::draft(&command);
        let events = decide(&mut self.state, &command, self.now, self.time)?;
        let count = events.len();
        self.events.extend(events);
        Ok(count)
    }

    fn must(&mut self, what: &str, command: Command<S>) -> usize {
        self.does(command).unwrap_or_else(|refused| panic!("{what} was rejected: {}", refused.message))
    }

    fn must_change_nothing(&mut self, what: &str, command: Command<S>) {
        assert_eq!(self.must(what, command), 0, "{what} changed something");
    }

    /// As late as something may come.
    fn later(&mut self) {
        self.now += self.subject.remembers();
    }

    fn act(&mut self) {
        assert_ne!(self.must("the step", self.subject.act()), 0, "the step leaves no trace");
    }

    fn accept(&mut self) {
        if let Some(answer) = self.subject.accepted() {
            self.must("the outside's yes", answer);
        }
    }

    /// The undo with the outside's answer, both twice.
    fn undo(&mut self) {
        assert_ne!(self.must("the undo", self.subject.undo()), 0, "the undo leaves no trace");
        self.must_change_nothing("the undo's repetition", self.subject.undo());
        for _ in 0..2 {
            if let Some(answer) = self.subject.released() {
                self.must("the outside's answer to the undo", answer);
            }
        }
        self.later();
        self.must_change_nothing("the undo's late repetition", self.subject.undo());
    }

    fn is_undone(&self) {
        assert!(!self.subject.holds(&self.events), "something is still held");
        let confirmed = self.events.iter().filter(|event| self.subject.confirms(event)).count();
        assert_eq!(confirmed, 1, "an undo is confirmed once");
    }
}

fn doing_twice<S: Subject>(subject: &S) {
    let mut play = Play::new(subject, subject.before());
    play.act();
    play.must_change_nothing("the step's repetition", subject.act());
    play.accept();
    assert!(subject.holds(&play.events), "the step that was accepted holds nothing");
    play.later();
    play.must_change_nothing("the step's late repetition", subject.act());
    if let Some(answer) = subject.accepted() {
        play.must_change_nothing("the answer's repetition", answer);
    }
}

fn undoing_twice<S: Subject>(subject: &S) {
    let mut play = Play::new(subject, subject.before());
    play.act();
    play.accept();
    play.undo();
    play.is_undone();
}

fn undoing_under_way<S: Subject>(subject: &S) {
    let Some(answer) = subject.accepted() else { return };
    let mut play = Play::new(subject, subject.before());
    play.act();
    play.must("the undo", subject.undo());
    play.must("the late yes", answer);
    if let Some(answer) = subject.released() {
        play.must("the outside's answer to the undo", answer);
    }
    play.is_undone();
}

fn undoing_first<S: Subject>(subject: &S) {
    let mut play = Play::new(subject, subject.before());
    play.must("the undo", subject.undo());
    play.must_change_nothing("the undo's repetition", subject.undo());
    play.later();
    match play.does(subject.act()) {
        Err(refused) => assert_eq!(refused.code, subject.too_late()),
        Ok(events) => panic!("the late step was taken, with {events} events"),
    }
    play.is_undone();
}

fn undoing_refused<S: Subject>(subject: &S) {
    let (before, act, no) = subject.refusal();
    let mut play = Play::new(subject, before);
    match (play.does(act), no) {
        (Ok(_), Some(no)) => _ = play.must("the outside's no", no),
        (Ok(_), None) | (Err(_), None) => {}
        (Err(refused), Some(_)) => panic!("the step was rejected before the outside was asked: {}", refused.message),
    }
    assert!(!subject.holds(&play.events), "what was refused holds something");
    play.later();
    play.must("the undo", subject.undo());
    play.must_change_nothing("the undo's repetition", subject.undo());
    play.is_undone();
}
