//! What a service's commands are answered by, as it declares it: its side of the contract, by which processes can be put
//! together that the program did not write down.
//!
//! ```
//! # use factum_core::{payload::{Command, Event}, replies::Replies};
//! # fn contract<ReserveStock: Command, ReleaseStock: Command, Reserved: Event, NotReserved: Event, Released: Event>(why: fn(&NotReserved) -> String) {
//! let reserve = Replies::to::<ReserveStock>()
//!     .done::<Reserved>()
//!     .refused::<NotReserved>(why)
//!     .undone_by::<ReleaseStock>();
//! let release = Replies::to::<ReleaseStock>().done::<Released>();
//! # }
//! ```

use std::{fmt, sync::Arc};

use crate::{
    envelope::{Draft, Stored},
    error::HandlerError,
    payload::{Command, Event, PayloadError, TypeInfo, field},
};

/// Why an event answers, or nothing if it does not.
pub(crate) type Says = Arc<dyn Fn(&Stored) -> Result<Option<String>, HandlerError> + Send + Sync>;

/// One event that answers a command.
#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) info: TypeInfo,
    /// It says that it is done, else that it is refused.
    pub(crate) done: bool,
    pub(crate) says: Says,
}

/// See the module.
#[derive(Clone)]
pub struct Replies {
    command: TypeInfo,
    reread: fn(&str, &[u8]) -> Result<Draft, PayloadError>,
    pub(crate) answers: Vec<Answer>,
    undone_by: Option<&'static str>,
    nothing_to_undo: bool,
    error: Option<&'static str>,
}

impl Replies {
    /// To a command; of an enum its first.
    pub fn to<C: Command>() -> Self {
        let command = C::types().first().copied().unwrap_or(TypeInfo::new("", "0.0.0", || true.into()));
        Self {
            command,
            reread: |name, data| Draft::of(&C::decode(name, data)?),
            answers: Vec::new(),
            undone_by: None,
            nothing_to_undo: false,
            error: None,
        }
    }

    /// The event that says that it is done.
    #[must_use]
    pub fn done<E: Event>(self) -> Self {
        self.done_if::<E>(|_| true)
    }

    /// The event that says that it is done, if its data says so.
    #[must_use]
    pub fn done_if<E: Event>(self, test: impl Fn(&E) -> bool + Send + Sync + 'static) -> Self {
        self.answer::<E>(true, move |event| test(event).then(String::new))
    }

    /// The event that says no, with the reason that it gives.
    #[must_use]
    pub fn refused<E: Event>(self, reason: impl Fn(&E) -> String + Send + Sync + 'static) -> Self {
        self.answer::<E>(false, move |event| Some(reason(event)))
    }

    /// The event that says no, if its data says so.
    #[must_use]
    pub fn refused_if<E: Event>(self, reason: impl Fn(&E) -> Option<String> + Send + Sync + 'static) -> Self {
        self.answer::<E>(false, reason)
    }

    /// The command that undoes it; that has replies of its own, which confirm the undo.
    #[must_use]
    pub fn undone_by<C: Command>(mut self) -> Self {
        self.undone_by = C::types().first().map(|info| info.name);
        self
    }

    /// It leaves nothing behind that would have to be undone.
    #[must_use]
    pub fn nothing_to_undo(mut self) -> Self {
        self.nothing_to_undo = true;
        self
    }

    /// What the caller of a process is told when this fails; by default the refusing event's type with `_` instead of `.`
    /// (`payment.failed`: `payment_failed`), or the command's with `_failed`.
    #[must_use]
    pub fn error(mut self, error: &'static str) -> Self {
        self.error = Some(error);
        self
    }

    /// The same command, answered by other events, whatever their data says. A refusal's `reason` is its reason.
    #[must_use]
    pub fn answered_by(mut self, done: &[TypeInfo], refused: &[TypeInfo]) -> Self {
        if !done.is_empty() {
            self.answers.retain(|answer| !answer.done);
            let says: Says = Arc::new(|_| Ok(Some(String::new())));
            self.answers.extend(done.iter().map(|info| Answer { info: *info, done: true, says: says.clone() }));
        }
        if !refused.is_empty() {
            self.answers.retain(|answer| answer.done);
            let says: Says = Arc::new(|stored| Ok(Some(reason_in(stored))));
            self.answers.extend(refused.iter().map(|info| Answer { info: *info, done: false, says: says.clone() }));
        }
        self
    }

    /// The command.
    pub fn command(&self) -> TypeInfo {
        self.command
    }

    /// The events that say that it is done.
    pub fn when_done(&self) -> impl Iterator<Item = TypeInfo> {
        self.answers.iter().filter(|answer| answer.done).map(|answer| answer.info)
    }

    /// The events that say no.
    pub fn when_refused(&self) -> impl Iterator<Item = TypeInfo> {
        self.answers.iter().filter(|answer| !answer.done).map(|answer| answer.info)
    }

    /// The type of the command that undoes it.
    pub fn undo(&self) -> Option<&'static str> {
        self.undone_by
    }

    /// Whether there is nothing to undo.
    pub fn leaves_nothing(&self) -> bool {
        self.nothing_to_undo
    }

    /// What the caller of a process is told when it fails: see [`Replies::error`].
    pub fn failure(&self) -> String {
        let refusing = self.answers.iter().find(|answer| !answer.done && answer.info.name.ends_with("failed"));
        match (self.error, refusing) {
            (Some(error), _) => error.to_owned(),
            (None, Some(answer)) => answer.info.name.replace('.', "_"),
            (None, None) => format!("{}_failed", self.command.name.replace('.', "_")),
        }
    }

    /// Data as the command's type reads and writes it.
    ///
    /// # Errors
    /// [`PayloadError`] if it does not fit.
    pub fn draft(&self, data: &[u8]) -> Result<Draft, PayloadError> {
        (self.reread)(self.command.name, data)
    }

    fn answer<E: Event>(mut self, done: bool, says: impl Fn(&E) -> Option<String> + Send + Sync + 'static) -> Self {
        let says: Says = Arc::new(move |stored| Ok(says(&stored.decode::<E>()?)));
        self.answers.extend(E::types().into_iter().map(|info| Answer { info, done, says: says.clone() }));
        self
    }
}

impl fmt::Debug for Replies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |infos: Vec<TypeInfo>| infos.iter().map(|info| info.name).collect::<Vec<_>>();
        f.debug_struct("Replies")
            .field("command", &self.command.name)
            .field("done", &names(self.when_done().collect()))
            .field("refused", &names(self.when_refused().collect()))
            .field("undone_by", &self.undone_by)
            .finish_non_exhaustive()
    }
}

/// The reason that an event's data gives, or its type.
fn reason_in(stored: &Stored) -> String {
    let said = field(&stored.message.data, "reason").ok().flatten();
    said.unwrap_or_else(|| stored.type_name().to_owned())
}
