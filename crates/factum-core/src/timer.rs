//! Timers by typed handle: a name, and the command that is sent when the time has come.

use std::{fmt::Display, marker::PhantomData};

use crate::payload::Command;

/// Between a timer's name and its variable part.
pub(crate) const BETWEEN: char = '/';

/// A timer's name, with the command that it sends. Declare it once, beside the reaction that sets it:
/// `const REMIND: TimerTo<RemindOrder> = TimerTo::new("remind");`
///
/// A timer belongs to the reaction that sets it and to the key that the reaction orders by: the event's partition key, or
/// the field that it declares with `by`. Within these the same name is the same timer. Where one key has several, each
/// bears a variable part ([`TimerTo::of`]).
pub struct TimerTo<C> {
    name: &'static str,
    marker: PhantomData<fn(C)>,
}

impl<C> Clone for TimerTo<C> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<C> Copy for TimerTo<C> {}

impl<C: Command> TimerTo<C> {
    /// A timer of that name: 1 to 128 bytes of printable text without a slash.
    pub const fn new(name: &'static str) -> Self {
        Self { name, marker: PhantomData }
    }

    /// Its name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// One of several of a key: its name is written `<name>/<part>`, and has at most 128 bytes of printable text in all.
    pub fn of(&self, part: impl Display) -> TimerOf<C> {
        TimerOf { name: format!("{}{BETWEEN}{part}", self.name), marker: PhantomData }
    }
}

/// A timer with its whole name: what [`TimerTo`] and [`TimerTo::of`] make.
pub struct TimerOf<C> {
    name: String,
    marker: PhantomData<fn(C)>,
}

impl<C> TimerOf<C> {
    /// The whole name.
    pub(crate) fn into_name(self) -> String {
        self.name
    }
}

impl<C> From<TimerTo<C>> for TimerOf<C> {
    fn from(timer: TimerTo<C>) -> Self {
        Self { name: timer.name.to_owned(), marker: PhantomData }
    }
}

/// The declared part of a timer's whole name.
pub(crate) fn declared(name: &str) -> &str {
    name.split_once(BETWEEN).map_or(name, |(declared, _)| declared)
}
