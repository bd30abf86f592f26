//! A business "no". It is an answer, not an error: nothing is retried and nothing went wrong.

use serde::{Deserialize, Serialize};

/// Why a command was not accepted. Derive it:
/// `#[rejection("too_late", "the order is {status}: ask for a return instead")]` on each variant.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no reason to say no",
    label = "a rejection is expected here",
    note = "derive it: `#[derive(Debug, Rejection)]` above the enum and `#[rejection(\"too_late\", \"the order is shipped: ask for a return\")]` above each variant; a decider that never says no has `Never`"
)]
pub trait Rejection: std::fmt::Debug + Send + Sync + 'static {
    /// A stable word that programs compare, lower snake case.
    fn code(&self) -> &'static str;
    /// What kind of no it is.
    fn kind(&self) -> RejectionKind;
    /// A sentence for a person: what stands in the way and what to do.
    fn message(&self) -> String;
}

/// How a rejection maps to what a caller can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectionKind {
    /// The state does not allow it (HTTP 409). The default.
    Conflict,
    /// The request itself is wrong (HTTP 422).
    Invalid,
    /// What it addresses does not exist (HTTP 404).
    Missing,
}

/// A rejection as it is stored and answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// See [`Rejection::code`].
    pub code: String,
    /// See [`Rejection::kind`].
    pub kind: RejectionKind,
    /// See [`Rejection::message`].
    pub message: String,
}

impl<R: Rejection> From<R> for Refused {
    fn from(rejection: R) -> Self {
        Self { code: rejection.code().to_owned(), kind: rejection.kind(), message: rejection.message() }
    }
}

/// For deciders that never say no.
#[derive(Debug)]
pub enum Never {}

impl Rejection for Never {
    fn code(&self) -> &'static str {
        match *self {}
    }
    fn kind(&self) -> RejectionKind {
        match *self {}
    }
    fn message(&self) -> String {
        match *self {}
    }
}
