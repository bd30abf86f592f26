//! Moving the data of an app that runs: the target is filled in the background, then the app is stopped, and opened there.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{Builder, JoinHandle},
    time::{Duration, Instant},
};

use factum_core::{
    error::StoreError,
    ports::{Backend, Reader},
};
use factum_runtime::moving::{Places, Relocated, Step, Transfer};
use tokio::sync::watch;

use super::{MovePhase, MoveProgress, offline, places, transfer, whole};
use crate::{app::App, location::Location, stores::Stores, wiring};

/// So few messages may be left for the time in which no app runs.
const LITTLE: u64 = 256;

/// Why a move is not begun or given up.
#[derive(Clone, Debug, thiserror::Error)]
pub enum MoveError {
    /// Something of it stands in the way now.
    #[error("{0}")]
    NotNow(String),
    /// A place makes no sense, or the stores fail.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The move of an app's data, from one opening of it to the next.
#[derive(Clone, Default)]
pub(crate) struct Moves(Arc<Inner>);

#[derive(Default)]
struct Inner {
    shown: watch::Sender<MoveProgress>,
    stop: AtomicBool,
    work: Mutex<Work>,
}

#[derive(Default)]
struct Work {
    thread: Option<JoinHandle<()>>,
    /// What is filled, while nobody fills it.
    filled: Option<Filled>,
    /// When the app was stopped to go over.
    stopped: Option<Instant>,
}

/// A target that lacks little.
struct Filled {
    transfer: Transfer,
    from: Location,
    to: Location,
}

/// Where something is kept is no part of how it is moved.
impl PartialEq for Moves {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Moves {}

impl fmt::Debug for Moves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Moves").field(&self.0.shown.borrow().phase).finish()
    }
}

impl Moves {
    pub(crate) fn progress(&self) -> MoveProgress {
        self.0.shown.borrow().clone()
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        self.0.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, change: impl FnOnce(&mut MoveProgress)) {
        self.0.shown.send_modify(change);
    }

    /// Begins to fill a target.
    pub(crate) fn begin(&self, reader: Arc<dyn Reader>, from: &Location, to: &Location) -> Result<(), MoveError> {
        let (from, to) = (whole(from)?, whole(to)?);
        let places = places(&from, &to)?;
        let mut work = self.work();
        let MoveProgress { phase, to: before, .. } = self.progress();
        if matches!(phase, MovePhase::Copying | MovePhase::Due | MovePhase::Switching) {
            let before = before.map(|to| to.to_string()).unwrap_or_default();
            return Err(MoveError::NotNow(format!("a move to {before} is under way: wait, or give it up first")));
        }
        if let Some(thread) = work.thread.take() {
            // It has shown its end already; one that panicked has said so.
            let _ = thread.join();
        }
        self.0.stop.store(false, Ordering::Release);
        self.show(|shown| {
            let longest_pause_ms = shown.longest_pause_ms;
            *shown = MoveProgress {
                phase: MovePhase::Copying,
                from: Some(from.clone()),
                to: Some(to.clone()),
                of: reader.head(),
                longest_pause_ms,
                ..MoveProgress::default()
            };
        });
        let moves = self.clone();
        let fill = move || moves.fill(&*reader, (from, to), &places);
        let thread = Builder::new().name("factum-move".to_owned()).spawn(fill);
        match thread {
            Ok(thread) => work.thread = Some(thread),
            Err(error) => self.failed(&StoreError::Transient(format!("no thread for the move: {error}"))),
        }
        Ok(())
    }

    /// Fills until little is behind.
    fn fill(&self, source: &dyn Reader, (from, to): (Location, Location), places: &Places) {
        let mut hear = |step: Step| self.hear(step);
        let filled = transfer(source, &to, places, &mut hear).and_then(|mut transfer| {
            loop {
                transfer.pass(source, &mut hear)?;
                let (behind, verified, of) = (transfer.behind(source), transfer.through(), source.head());
                self.show(|shown| (shown.behind, shown.verified, shown.of) = (behind, verified, of));
                if behind <= LITTLE {
                    return Ok(transfer);
                }
            }
        });
        match filled {
            Ok(transfer) => {
                self.work().filled = Some(Filled { transfer, from, to });
                tracing::info!(to = places.to, "the target of the move is filled: the app may go over");
                self.show(|shown| shown.phase = MovePhase::Due);
            }
            // Whoever stops it says what becomes of it.
            Err(_) if self.0.stop.load(Ordering::Acquire) => {}
            Err(error) => self.failed(&error),
        }
    }

    fn hear(&self, step: Step) -> Result<(), StoreError> {
        if self.0.stop.load(Ordering::Acquire) {
            return Err(StoreError::Permanent("the move was stopped".to_owned()));
        }
        if let Step::Comparing(done, of) | Step::Copying(done, of) = step {
            self.show(|shown| {
                (shown.verified.0, shown.of.0) = (done, of.max(shown.of.0));
                shown.behind = shown.of.0 - done;
            });
        }
        Ok(())
    }

    fn failed(&self, error: &StoreError) {
        tracing::error!(%error, "the move has failed: the app stays where it is, and the move goes on when it is asked for again");
        self.show(|shown| (shown.phase, shown.error) = (MovePhase::Failed, Some(error.to_string())));
    }

    /// Stops filling, and frees the target. Blocks.
    pub(crate) fn halt(&self) {
        self.0.stop.store(true, Ordering::Release);
        let thread = self.work().thread.take();
        // One that panicked has said so already.
        let _ = thread.map(JoinHandle::join);
        self.work().filled = None;
        self.show(|shown| {
            if matches!(shown.phase, MovePhase::Copying | MovePhase::Due) {
                shown.phase = MovePhase::Failed;
                shown.error = Some("the app was stopped: the move goes on when it is asked for again".to_owned());
            }
        });
    }

    /// Gives up. Blocks.
    pub(crate) fn give_up(&self) -> Result<(), MoveError> {
        let MoveProgress { phase, to, .. } = self.progress();
        let to = match (phase, to) {
            (MovePhase::Copying | MovePhase::Due | MovePhase::Failed, Some(to)) => to,
            (MovePhase::Switching | MovePhase::Moved, _) => {
                let problem = "the app goes over, or has gone: move back to undo it";
                return Err(MoveError::NotNow(problem.to_owned()));
            }
            _ => {
                let problem = "no move is under way here: with the app stopped, `factum move --give-up` removes what an earlier one \
                               has left";
                return Err(MoveError::NotNow(problem.to_owned()));
            }
        };
        self.halt();
        if wiring::marks(&to)?.takes_in() {
            offline::abandon(&to)?;
        }
        tracing::info!(%to, "the move was given up");
        self.show(|shown| (shown.phase, shown.error) = (MovePhase::GivenUp, None));
        Ok(())
    }

    /// Ready when the target lacks little.
    async fn due(&self) {
        let mut seen = self.0.shown.subscribe();
        if seen.wait_for(|shown| shown.phase == MovePhase::Due).await.is_err() {
            std::future::pending().await
        }
    }

    /// Takes what was filled, if nobody has given it up meanwhile.
    fn take(&self) -> Option<Filled> {
        let mut work = self.work();
        let filled = work.filled.take();
        if filled.is_some() {
            work.stopped = Some(Instant::now());
            self.show(|shown| shown.phase = MovePhase::Switching);
        }
        filled
    }

    /// The app runs again: where it was, or at the target.
    pub(crate) fn runs(&self) {
        let Some(stopped) = self.work().stopped.take() else { return };
        let pause = stopped.elapsed();
        self.show(|shown| {
            shown.longest_pause_ms = shown.longest_pause_ms.max(millis(pause));
            if shown.phase == MovePhase::Switching {
                shown.phase = MovePhase::Moved;
            }
        });
        tracing::info!(?pause, phase = ?self.progress().phase, "the app runs again");
    }
}

fn millis(long: Duration) -> u64 {
    u64::try_from(long.as_millis()).unwrap_or(u64::MAX)
}

/// An app that may go over to the place to which its data are moving.
pub struct Switch {
    app: App,
}

impl Switch {
    /// Stops the app, moves what is left, and answers where the app is to be opened next: at the target, or, if that fails, where
    /// it was; [`App::move_progress`] of the app opened there says which. Requests are best held meanwhile
    /// (`http::Exchange::hold`).
    ///
    /// What was built of the log stays where it was for the time of this process: rows and snapshots are read there, so that
    /// nothing is built anew.
    pub async fn carry_out(self) -> Stores {
        let stores = self.app.stores().clone();
        let app = self.app;
        let moves = stores.moves.clone();
        let filled = moves.take();
        app.stop_all().await;
        let source = app.unit().release();
        drop(app);
        let over = tokio::task::spawn_blocking(move || match filled {
            Some(filled) => go_over(&moves, filled, source, stores),
            // Somebody has given the move up at the last moment: the app is opened again where it was.
            None => {
                drop(source);
                stores
            }
        });
        // It does not panic; and if it does, this does.
        over.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    }
}

fn go_over(moves: &Moves, filled: Filled, mut source: Box<dyn Backend>, stores: Stores) -> Stores {
    let Filled { transfer, from, to } = filled;
    let finished = transfer.finish(&mut *source, &mut || wiring::take_along(&from, &to), &mut |step| moves.hear(step));
    // Closed before it is opened again.
    drop(source);
    match finished {
        Ok(Relocated { messages, digest, places, .. }) => {
            tracing::info!(from = places.from, to = places.to, messages, digest, "all has moved, and is equal");
            moves.show(|shown| {
                (shown.verified.0, shown.of.0, shown.behind) = (messages, messages, 0);
                shown.digest = Some(digest);
            });
            stores.moved_to(to)
        }
        Err(error) => {
            moves.failed(&error);
            stores
        }
    }
}

impl App {
    /// Begins to move the data to another place while the app runs; [`App::due_to_move`] says when it is to go over.
    ///
    /// # Errors
    /// [`MoveError`] if the place makes no sense, or a move is under way. What comes later stands in [`App::move_progress`].
    pub fn move_to(&self, to: impl Into<Location>) -> Result<(), MoveError> {
        let Some(from) = self.kept_in() else {
            return Err(MoveError::NotNow("an app in memory has nothing that could move".to_owned()));
        };
        self.stores().moves.begin(self.unit().plain_reader(), &from, &to.into())
    }

    /// How far the move is.
    pub fn move_progress(&self) -> MoveProgress {
        self.stores().moves.progress()
    }

    /// Gives the move up, and removes what has arrived. Until the app goes over.
    ///
    /// # Errors
    /// [`MoveError`] if none is under way, or what arrived cannot be removed now.
    pub async fn give_up_move(&self) -> Result<(), MoveError> {
        let moves = self.stores().moves.clone();
        let given = tokio::task::spawn_blocking(move || moves.give_up()).await;
        given.map_err(|error| StoreError::Permanent(error.to_string()))?
    }

    /// Ready when the data have moved but for a little, so that the program is to stop serving this app and go over. Never ready if
    /// nobody has asked for a move.
    ///
    /// ```text
    /// loop {
    ///     let app = App::on(stores.clone())?.with(service()).start().await?;
    ///     tokio::select! {
    ///         switch = app.due_to_move() => stores = switch.carry_out().await,
    ///         () = stop => return app.stop().await,
    ///     }
    /// }
    /// ```
    pub async fn due_to_move(&self) -> Switch {
        self.stores().moves.due().await;
        Switch { app: self.clone() }
    }
}
