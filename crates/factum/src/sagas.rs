//! Working with sagas: look at instances, help on those that need a person, move them to another version.

use factum_core::error::StoreError;
pub use factum_core::saga::{Shown, ShownAct, ShownStep, Wanted};
pub use factum_runtime::sagas::{Page, Query, STATES};
use factum_runtime::{
    acts::{ActError, By, Outcome, Preview, What},
    sagas,
    supervisor::Unit,
};
use serde::Serialize;

use crate::App;

/// Instances that are named of those that one reason leaves out.
pub const NAMED: usize = 100;
/// Reasons that are told apart; what is left out for any other is counted together.
const MAX_REASONS: usize = 100;

/// The instances of an app's sagas. Every act is an event in the instance's own stream, with who did it and why.
///
/// ```text
/// let by = By::new("mara", "the bank has said on the phone that it is booked");
/// let query = Query { status: Some("needs_attention".into()), ..Query::default() };
/// for instance in app.sagas().list(query).await?.sagas {
///     app.sagas().try_dry(&instance.saga_id, Wanted::Resolve(None), &by).await?;   // what would follow; nothing is stored
///     app.sagas().resolve(&instance.saga_id, None, &by).await?;                    // the step counts as done
/// }
/// ```
#[derive(Clone, Copy)]
pub struct Sagas<'a>(&'a App);

impl App {
    /// Processes: those that are under way, and each with its history.
    pub fn sagas(&self) -> Sagas<'_> {
        Sagas(self)
    }
}

impl Sagas<'_> {
    /// Open instances that fit the question, in the order of their names.
    ///
    /// # Errors
    /// [`ActError`] if the log cannot be read, or the question makes no sense.
    pub async fn list(self, query: Query) -> Result<Page, ActError> {
        self.read(move |unit| unit.sagas(&query)).await
    }

    /// One whole, open or ended, by its stream, such as `fulfilment-1042`; `None` if there never was one of that name.
    ///
    /// # Errors
    /// [`StoreError`] if the log cannot be read.
    pub async fn show(self, id: &str) -> Result<Option<Shown>, StoreError> {
        let id = id.to_owned();
        self.read(move |unit| unit.saga(&id)).await
    }

    /// Shows what would follow from an act, or what stands against it. Nothing is stored.
    ///
    /// # Errors
    /// [`ActError`].
    pub async fn try_dry(self, id: &str, wanted: Wanted, by: &By) -> Result<Outcome, ActError> {
        self.0.unit().act(What::TrySaga(id.to_owned(), wanted), by.clone()).await
    }

    /// Sends the command of the step that waits again, or of its undo, with all its time. `step` names it if several wait;
    /// else that is tried which needs a person.
    ///
    /// # Errors
    /// [`ActError`]; nothing was stored then.
    pub async fn retry(self, id: &str, step: Option<&str>, by: &By) -> Result<Outcome, ActError> {
        self.act(id, Wanted::Retry(step.map(ToOwned::to_owned)), by).await
    }

    /// Treats the step that waits as done, or as undone: somebody has seen to it, and `by` says why.
    ///
    /// # Errors
    /// As [`Sagas::retry`]; [`ActError::NoReason`] if `by` does not say why.
    pub async fn resolve(self, id: &str, step: Option<&str>, by: &By) -> Result<Outcome, ActError> {
        self.act(id, Wanted::Resolve(step.map(ToOwned::to_owned)), by).await
    }

    /// Has everything undone that was sent; `by` says why. Behind the pivot it is refused.
    ///
    /// # Errors
    /// As [`Sagas::resolve`].
    pub async fn undo(self, id: &str, by: &By) -> Result<Outcome, ActError> {
        self.act(id, Wanted::Undo, by).await
    }

    /// Has the instance run by the table of another version from now on, as its `moves_from` says.
    ///
    /// # Errors
    /// As [`Sagas::retry`]; the error says all that stands against it.
    pub async fn move_to(self, id: &str, version: u32, by: &By) -> Result<Outcome, ActError> {
        self.act(id, Wanted::Move(version), by).await
    }

    /// What [`Sagas::move_all`] would do to the open instances that `from` runs now. Nothing is stored.
    ///
    /// # Errors
    /// [`ActError`] if the log cannot be read, or the program has no such saga.
    pub async fn preview_move(self, saga: &str, from: u32, to: u32) -> Result<Tally, ActError> {
        self.each(saga, [from, to], What::TrySaga, &By::new("factum", ""), &mut |_, _| {}).await
    }

    /// Moves the open instances that `from` runs, one after the other, each durably. What cannot be moved is left as it is
    /// and named. Done again after an interruption it goes on with the rest. `progress` hears how many of how many.
    ///
    /// # Errors
    /// [`ActError`] if the log cannot be read or written, or the program has no such saga; those before stay moved.
    pub async fn move_all(
        self,
        saga: &str,
        from: u32,
        to: u32,
        by: &By,
        progress: &mut (dyn FnMut(u64, u64) + Send),
    ) -> Result<Tally, ActError> {
        self.each(saga, [from, to], What::Saga, by, progress).await
    }

    async fn each(
        self,
        saga: &str,
        [from, to]: [u32; 2],
        what: fn(String, Wanted) -> What,
        by: &By,
        progress: &mut (dyn FnMut(u64, u64) + Send),
    ) -> Result<Tally, ActError> {
        if self.0.unit().registry().saga(saga).is_none() {
            return Err(ActError::NotNow(format!("this program has no saga `{saga}`")));
        }
        let name = saga.to_owned();
        let ids = self.read(move |unit| sagas::open(&*unit.plain_reader(), &name, from)).await?;
        let (mut tally, of) = (Tally::default(), ids.len() as u64);
        for (at, id) in ids.iter().enumerate() {
            progress(at as u64, of);
            let refused = match self.0.unit().act(what(id.clone(), Wanted::Move(to)), by.clone()).await {
                Ok(Outcome::Tried(Preview { failure: Some(reason), .. })) | Err(ActError::NotNow(reason)) => reason,
                Ok(_) => {
                    tally.moved += 1;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let stands = self.show(id).await?;
            tally.refused(id, refused, stands.is_some_and(|it| it.ended_at.is_none() && it.version == from));
        }
        progress(of, of);
        Ok(tally)
    }

    async fn act(self, id: &str, wanted: Wanted, by: &By) -> Result<Outcome, ActError> {
        self.0.unit().act(What::Saga(id.to_owned(), wanted), by.clone()).await
    }

    async fn read<T: Send + 'static, E: From<StoreError> + Send + 'static>(
        self,
        read: impl FnOnce(&Unit) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        let unit = self.0.unit().clone();
        let ended = |error: tokio::task::JoinError| StoreError::Transient(error.to_string());
        tokio::task::spawn_blocking(move || read(&unit)).await.map_err(ended)?
    }
}

/// What became of many instances that were to be moved, or in a preview would.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tally {
    /// Moved.
    pub moved: u64,
    /// Ended meanwhile, or moved by somebody else.
    pub gone: u64,
    /// Left as they are, by the reason.
    pub left_out: Vec<LeftOut>,
}

/// Instances that cannot be moved for one reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LeftOut {
    /// What stands against it.
    pub reason: String,
    /// How many.
    pub count: u64,
    /// The first 100 of them.
    pub who: Vec<String>,
}

impl Tally {
    /// Counts one that was not moved; one that does not stand where it stood is gone.
    pub fn refused(&mut self, id: &str, reason: String, stands: bool) {
        if !stands {
            self.gone += 1;
            return;
        }
        let group = |groups: &[LeftOut], reason: &str| groups.iter().position(|group| group.reason == reason);
        let reason = match group(&self.left_out, &reason) {
            None if self.left_out.len() >= MAX_REASONS => "other reasons".to_owned(),
            _ => reason,
        };
        let at = group(&self.left_out, &reason).unwrap_or_else(|| {
            self.left_out.push(LeftOut { reason, ..LeftOut::default() });
            self.left_out.len() - 1
        });
        let group = &mut self.left_out[at];
        group.count += 1;
        if group.who.len() < NAMED {
            group.who.push(id.to_owned());
        }
    }

    /// How many were left out.
    pub fn left(&self) -> u64 {
        self.left_out.iter().map(|group| group.count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_and_names_are_bounded_and_all_are_counted() {
        let mut tally = Tally::default();
        for number in 0..150 {
            tally.refused(&format!("a-{number}"), "it is behind the pivot".to_owned(), true);
        }
        for number in 0..150 {
            tally.refused(&format!("b-{number}"), format!("reason {number}"), true);
        }
        tally.refused("b-0", "reason 0".to_owned(), true);
        tally.refused("c-1", "it has ended".to_owned(), false);
        assert_eq!((tally.left(), tally.gone, tally.moved), (301, 1, 0));
        let first = &tally.left_out[0];
        assert_eq!((first.count, first.who.len(), first.who[99].as_str()), (150, NAMED, "a-99"));
        assert_eq!(tally.left_out.len(), MAX_REASONS + 1);
        assert_eq!((tally.left_out[1].count, tally.left_out[MAX_REASONS].count), (2, 51));
        assert_eq!(tally.left_out[MAX_REASONS].reason, "other reasons");
    }
}
