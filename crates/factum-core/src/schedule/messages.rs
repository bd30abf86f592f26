//! What a schedule is told, and what happened to it.

use jiff::Timestamp;
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};

use super::definition::Definition;
use crate::payload::{Command, Event, Payload, PayloadError, TypeInfo};

/// Events are for everybody; commands come from this program only.
fn info(name: &'static str, kind: &str, schema: fn() -> Schema) -> TypeInfo {
    TypeInfo { own: kind == "Command", ..TypeInfo::new(name, "1.0.0", schema) }
}

/// Makes types of messages of structs, and one enum over all of them; the derives cannot be had here.
macro_rules! messages {
    ($(#[$doc:meta])* $all:ident: $kind:ident { $($name:ident = $type_name:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub enum $all {
            $(
                #[doc = concat!("`", $type_name, "`.")]
                $name($name),
            )*
        }

        impl Payload for $all {
            fn types() -> Vec<TypeInfo> {
                [$(<$name as Payload>::types()),*].concat()
            }
            fn type_info(&self) -> TypeInfo {
                match self {
                    $(Self::$name(inner) => inner.type_info(),)*
                }
            }
            fn decode(name: &str, data: &[u8]) -> Result<Self, PayloadError> {
                match name {
                    $($type_name => $name::decode(name, data).map(Self::$name),)*
                    _ => Err(PayloadError::UnknownType(name.to_owned())),
                }
            }
            fn encode(&self, out: &mut Vec<u8>) -> Result<(), PayloadError> {
                match self {
                    $(Self::$name(inner) => inner.encode(out),)*
                }
            }
        }
        impl $kind for $all {}

        $(
            impl From<$name> for $all {
                fn from(inner: $name) -> Self {
                    Self::$name(inner)
                }
            }

            impl Payload for $name {
                fn types() -> Vec<TypeInfo> {
                    vec![info($type_name, stringify!($kind), || schemars::schema_for!($name))]
                }
                fn type_info(&self) -> TypeInfo {
                    info($type_name, stringify!($kind), || schemars::schema_for!($name))
                }
                fn decode(name: &str, data: &[u8]) -> Result<Self, PayloadError> {
                    if name != $type_name {
                        return Err(PayloadError::UnknownType(name.to_owned()));
                    }
                    serde_json::from_slice(data).map_err(|cause| PayloadError::decode(name, &cause))
                }
                fn encode(&self, out: &mut Vec<u8>) -> Result<(), PayloadError> {
                    let start = out.len();
                    serde_json::to_writer(&mut *out, self).map_err(|cause| {
                        out.truncate(start);
                        PayloadError::encode($type_name, &cause)
                    })
                }
            }
            impl $kind for $name {}
        )*
    };
}

/// Structs of messages, which all bear the name of their schedule.
macro_rules! structs {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
            #[serde(rename_all = "camelCase")]
            pub struct $name {
                /// The schedule, as `<service>.<name>`.
                pub schedule: String,
                $($(#[$field_doc])* pub $field: $type,)*
            }
        )*
    };
}

/// How an occurrence ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum How {
    /// Within the tolerance behind the time at which it was due.
    OnTime,
    /// Later than that.
    Late,
    /// A person wanted it now: it is none of the planned ones, its time is when it was asked for.
    ByHand,
    /// A person wanted one that had been skipped, or was before the schedule began.
    Backfill,
}

impl How {
    /// Whether it is under way until an event says that it is done. A backfill is not: a plan of many would otherwise run one
    /// each time that another has ended, and leave out the rest.
    pub(super) fn is_waited_for(self) -> bool {
        self != Self::Backfill
    }
}

/// Why an occurrence did not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Reason {
    /// It could not run in time, and the schedule does not run such ones later.
    Missed,
    /// One before it was under way.
    Overlapping,
    /// The schedule was paused.
    Paused,
    /// The schedule was defined anew before it had run.
    Redefined,
    /// The program did not have the schedule any more.
    Retired,
}

/// How an occurrence that ran came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum End {
    /// The event that it is done by has come.
    Done,
    /// Its command was rejected.
    Rejected,
    /// Its limit has passed.
    Overran,
    /// Since it ran, the schedule was defined anew, with other events by which occurrences are done: none of them is its own.
    Redefined,
}

structs! {
    /// A schedule was declared for the first time, or otherwise than before, or again.
    ScheduleDeclared {
        /// What it is from now on.
        definition: Definition,
        /// When it is looked at next: when something is due; nothing if there is nothing more.
        look: Option<Timestamp>,
    }
    /// The program does not declare the schedule any more: it stands still.
    ScheduleRetired {
        /// As of a declared one.
        look: Option<Timestamp>,
    }
    /// A person has paused the schedule: what is due from now on is skipped.
    SchedulePaused {
        /// Who.
        by: String,
        /// Why.
        why: String,
        /// As of a declared one.
        look: Option<Timestamp>,
    }
    /// A person lets the schedule go on.
    ScheduleResumed {
        /// Who.
        by: String,
        /// Why.
        why: String,
        /// As of a declared one.
        look: Option<Timestamp>,
    }
    /// An occurrence ran: its command is sent.
    ScheduleRan {
        /// The time that was planned.
        scheduled: Timestamp,
        /// How.
        how: How,
        /// Seconds between when it was due and when it ran, if it was late.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        late_by_secs: Option<i64>,
        /// The business transaction that it began: by this it is found again when it is done.
        correlation_id: String,
        /// Who wanted it, if it was no time that was due.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
        /// As of a declared one.
        look: Option<Timestamp>,
    }
    /// Occurrences did not run.
    ScheduleSkipped {
        /// The time of the first one.
        from: Timestamp,
        /// The time of the last one.
        to: Timestamp,
        /// How many there are.
        count: u64,
        /// Why.
        reason: Reason,
        /// As of a declared one.
        look: Option<Timestamp>,
    }
    /// An occurrence waits until the one before it has ended.
    ScheduleQueued {
        /// The time that was planned.
        scheduled: Timestamp,
        /// As of a declared one.
        look: Option<Timestamp>,
    }
    /// An occurrence that was under way has ended.
    ScheduleEnded {
        /// The time that was planned; nothing if it is not known any more.
        scheduled: Option<Timestamp>,
        /// How.
        end: End,
        /// What was said, if it was rejected.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        /// As of a declared one.
        look: Option<Timestamp>,
    }
    /// Nothing was due yet: the schedule is looked at again.
    ScheduleLooked {
        /// As of a declared one.
        look: Option<Timestamp>,
    }

    /// The program declares the schedule.
    DeclareSchedule {
        /// What it is.
        definition: Definition,
    }
    /// The program does not declare the schedule any more.
    RetireSchedule {}
    /// Something may be due.
    LookAtSchedule {}
    /// Pauses the schedule.
    PauseSchedule {
        /// Who; at most 128 bytes.
        by: String,
        /// Why; at most 1 KiB.
        why: String,
    }
    /// Lets the schedule go on: what was due meanwhile is skipped.
    ResumeSchedule {
        /// Who; at most 128 bytes.
        by: String,
        /// Why; at most 1 KiB.
        why: String,
    }
    /// Runs it now, beside its planned times.
    RunSchedule {
        /// Who; at most 128 bytes.
        by: String,
        /// Why; at most 1 KiB.
        why: String,
    }
    /// Runs an occurrence of the past that did not run.
    BackfillSchedule {
        /// Its time.
        scheduled: Timestamp,
        /// Who; at most 128 bytes.
        by: String,
        /// Why; at most 1 KiB.
        why: String,
    }
    /// An occurrence has ended.
    EndOccurrence {
        /// The business transaction that it began.
        correlation_id: String,
        /// How.
        end: End,
        /// What was said, if it was rejected.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    }

    /// A schedule is one of the program's, in this shape.
    ScheduleListed {
        /// What it is.
        definition: Definition,
    }
    /// A schedule is none of the program's any more.
    ScheduleUnlisted {}
}

/// All schedules of a program, as it starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListSchedules {
    /// Each with its whole name.
    pub schedules: std::collections::BTreeMap<String, Definition>,
}

messages! {
    /// What happens to a schedule.
    ScheduleEvent: Event {
        ScheduleDeclared = "schedule.declared",
        ScheduleRetired = "schedule.retired",
        SchedulePaused = "schedule.paused",
        ScheduleResumed = "schedule.resumed",
        ScheduleRan = "schedule.ran",
        ScheduleSkipped = "schedule.skipped",
        ScheduleQueued = "schedule.queued",
        ScheduleEnded = "schedule.ended",
        ScheduleLooked = "schedule.looked_at",
    }
}

messages! {
    /// What a schedule is told.
    ScheduleCommand: Command {
        DeclareSchedule = "schedule.declare",
        RetireSchedule = "schedule.retire",
        LookAtSchedule = "schedule.look_at",
        PauseSchedule = "schedule.pause",
        ResumeSchedule = "schedule.resume",
        RunSchedule = "schedule.run",
        BackfillSchedule = "schedule.backfill",
        EndOccurrence = "schedule.end",
    }
}

messages! {
    /// What happens to the list of schedules.
    RosterEvent: Event {
        ScheduleListed = "schedule.listed",
        ScheduleUnlisted = "schedule.unlisted",
    }
}

messages! {
    /// What the list of schedules is told.
    RosterCommand: Command {
        ListSchedules = "schedule.list",
    }
}

impl ScheduleEvent {
    /// The schedule, as `<service>.<name>`.
    pub fn schedule(&self) -> &str {
        match self {
            Self::ScheduleDeclared(it) => &it.schedule,
            Self::ScheduleRetired(it) => &it.schedule,
            Self::SchedulePaused(it) => &it.schedule,
            Self::ScheduleResumed(it) => &it.schedule,
            Self::ScheduleRan(it) => &it.schedule,
            Self::ScheduleSkipped(it) => &it.schedule,
            Self::ScheduleQueued(it) => &it.schedule,
            Self::ScheduleEnded(it) => &it.schedule,
            Self::ScheduleLooked(it) => &it.schedule,
        }
    }

    /// When the schedule is to be looked at next.
    pub(super) fn look(&mut self) -> &mut Option<Timestamp> {
        match self {
            Self::ScheduleDeclared(it) => &mut it.look,
            Self::ScheduleRetired(it) => &mut it.look,
            Self::SchedulePaused(it) => &mut it.look,
            Self::ScheduleResumed(it) => &mut it.look,
            Self::ScheduleRan(it) => &mut it.look,
            Self::ScheduleSkipped(it) => &mut it.look,
            Self::ScheduleQueued(it) => &mut it.look,
            Self::ScheduleEnded(it) => &mut it.look,
            Self::ScheduleLooked(it) => &mut it.look,
        }
    }
}

impl ScheduleCommand {
    /// The schedule, as `<service>.<name>`.
    pub fn schedule(&self) -> &str {
        match self {
            Self::DeclareSchedule(it) => &it.schedule,
            Self::RetireSchedule(it) => &it.schedule,
            Self::LookAtSchedule(it) => &it.schedule,
            Self::PauseSchedule(it) => &it.schedule,
            Self::ResumeSchedule(it) => &it.schedule,
            Self::RunSchedule(it) => &it.schedule,
            Self::BackfillSchedule(it) => &it.schedule,
            Self::EndOccurrence(it) => &it.schedule,
        }
    }
}
