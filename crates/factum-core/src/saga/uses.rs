//! The types of others that a table names, and what for: a start compares them with the program.

use crate::payload::{Payload, TypeInfo};

/// What a table names a type for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// An event that starts, answers or aborts: it carries the key.
    Read,
    /// A command to a participant: some service answers it.
    Sent,
    /// A command to an aggregate of the saga's own service.
    Own,
}

/// A type of others that a table names.
#[derive(Clone, Copy, Debug)]
pub struct Use {
    /// In which step; none for what starts, aborts and is told of a failure.
    pub step: Option<&'static str>,
    /// What for.
    pub role: Role,
    /// The type.
    pub info: TypeInfo,
}

/// All types of `P`, named for one thing.
pub(super) fn uses<P: Payload>(step: Option<&'static str>, role: Role) -> impl Iterator<Item = Use> {
    P::types().into_iter().map(move |info| Use { step, role, info })
}
