//! What people do about letters and consumers: the questions and answers between them and the engine.

use factum_core::{
    error::StoreError,
    letter::{LetterId, Retry},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::{plans::Planned, survey::Survey};

/// Who does something, and why: it stands in the event of each act.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct By {
    /// Who; at most 128 bytes.
    pub who: String,
    /// Why; at most 1 KiB.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}

impl By {
    /// Somebody, with a reason.
    pub fn new(who: impl Into<String>, why: impl Into<String>) -> Self {
        Self { who: who.into(), why: why.into() }
    }
}

/// What is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Runs today's handler on a letter's message and shows what would follow; nothing is stored.
    Try(LetterId),
    /// Runs it for good. If it goes well the letter ends, and what waits behind it follows.
    Redrive(LetterId),
    /// Ends the letter without running anything; what waits behind it follows.
    Discard(LetterId),
    /// Leaves the letter, and lets follow what waits behind it.
    Release(LetterId),
    /// Plans when the letter is tried again by itself, or takes the plan back.
    Plan(LetterId, Option<Retry>),
    /// Lets a consumer that stopped try again from where it stands.
    TryAgain(String),
    /// Does something about an instance of a saga, by its stream.
    Saga(String, factum_core::saga::Wanted),
    /// Shows what would follow from that; nothing is stored.
    TrySaga(String, factum_core::saga::Wanted),
    /// Makes a plan for many: nothing is done yet.
    MakePlan(Box<Survey>),
    /// Approves a plan, by its id and hash: it is carried out from now on.
    Approve(String, String),
    /// Takes a plan back; what it has done stays done.
    CancelPlan(String),
}

/// An act on its way.
#[derive(Debug)]
pub struct Act {
    /// What.
    pub what: What,
    /// By whom.
    pub by: By,
    /// Who hears what became of it, once that is durable.
    pub reply: oneshot::Sender<Result<Outcome, ActError>>,
}

/// What became of an act.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", tag = "outcome")]
pub enum Outcome {
    /// It was tried; nothing is stored.
    Tried(Preview),
    /// It was done; these followed at once.
    Done {
        /// What followed.
        followed: Vec<Shown>,
    },
    /// A plan was made, and waits to be approved.
    Planned(Box<Planned>),
    /// The handler failed again; the letter says so too.
    FailedAgain {
        /// What it said.
        reason: String,
    },
}

/// What would follow.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Preview {
    /// Messages, timers and calls.
    pub effects: Vec<Shown>,
    /// What the handler says, if it fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// One thing that follows, or would.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    /// `event`, `command`, `call`, `rejection`, `timer`, `timer cancelled`.
    pub kind: &'static str,
    /// The message's type; of a timer its command's.
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub type_name: String,
    /// The stream, or the timer's full name.
    pub place: String,
    /// When a timer is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
    /// The data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<serde_json::Value>,
}

/// Why an act was not carried out; nothing was stored.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ActError {
    /// There is no such letter, or no more.
    #[error("there is no letter {0}: it has ended, or never was one")]
    NoLetter(LetterId),
    /// There is no such instance of a saga.
    #[error("there is no instance {0} of a saga: `factum sagas list` shows those that are open")]
    NoInstance(String),
    /// There is no such plan, or no more.
    #[error("there is no plan {0}: it has ended, or never was one")]
    NoPlan(String),
    /// No service of this program has the consumer.
    #[error(
        "this program has no consumer `{0}`: `factum consumers` lists those that it has; a letter of one that is gone can be discarded"
    )]
    NoConsumer(String),
    /// The consumer does not stand as the act wants it.
    #[error("{0}")]
    NotNow(String),
    /// Who or why do not follow the rules.
    #[error(transparent)]
    Name(#[from] factum_core::error::NameError),
    /// It is not done without a reason.
    #[error("this is not done without a reason: say why, for those who ask later")]
    NoReason,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The engine has ended.
    #[error("the engine has stopped: {0}")]
    Stopped(String),
}
