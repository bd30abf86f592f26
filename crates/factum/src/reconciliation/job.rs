//! A comparison: both sources are read, and what differs is read again.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    future::Future,
    pin::Pin,
    sync::{Arc, OnceLock},
    time::Duration,
};

use factum_core::{
    call::{Answer, Call},
    id::MessageId,
};
use serde::Serialize;
use serde_json::Value;

use super::{
    MOST,
    messages::{Ask, Ended, FailComparison, Mismatch, ReportComparison},
    rows::MismatchRow,
};
use crate::app::{App, WeakApp};

/// What the mismatches that a comparison finds may come to together, in bytes of JSON: all of them stand in one message, of at
/// most 1 MiB.
const FOUND_BYTES: usize = 512 << 10;
/// The same of the keys that are gone.
const GONE_BYTES: usize = 256 << 10;
/// The longest value that is told whole, in bytes of JSON.
const VALUE_BYTES: usize = 1 << 10;
/// The longest key and reason that are told whole, in bytes.
const TEXT_BYTES: usize = 512;

/// Where the app is put once it runs.
pub(crate) type Slot = Arc<OnceLock<WeakApp>>;
pub(super) type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;
pub(super) type Source<V> = Arc<dyn Fn(App) -> Later<Result<BTreeMap<String, V>, String>> + Send + Sync>;
pub(super) type Agree<V> = Arc<dyn Fn(Option<&V>, Option<&V>) -> bool + Send + Sync>;

/// A reconciliation without its types, as it is run.
pub(super) struct Job {
    /// `<service>.<name>`.
    pub(super) name: String,
    pub(super) run: Arc<dyn Fn(App) -> Later<Result<Compared, String>> + Send + Sync>,
}

/// What a comparison came to.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Compared {
    pub(super) compared: u64,
    pub(super) mismatches: u64,
    pub(super) found: Vec<Mismatch>,
    pub(super) gone: Vec<String>,
    pub(super) unsettled: u64,
}

/// Two sources, and how they are compared.
pub(super) struct Pair<V> {
    pub(super) expected: (&'static str, Source<V>),
    pub(super) found: (&'static str, Source<V>),
    pub(super) agree: Agree<V>,
    pub(super) settle: Duration,
}

/// The call that makes comparisons.
pub(super) fn comparing(
    jobs: Vec<Job>,
    slot: Slot,
) -> impl Fn(Call<Ask>) -> Later<Answer<Ended>> + Send + Sync + 'static {
    let jobs: BTreeMap<String, _> = jobs.into_iter().map(|job| (job.name, job.run)).collect();
    move |call| {
        let Ask { reconciliation, run } = call.request;
        let found = jobs.get(&reconciliation).cloned();
        let app = slot.get().and_then(WeakApp::upgrade);
        Box::pin(async move {
            let Some(job) = found else {
                let reason = "the program does not declare it any more".to_owned();
                return Answer::Done(FailComparison { reconciliation, run, reason }.into());
            };
            let Some(app) = app else {
                return Answer::Again("the app does not run yet, or not any more".to_owned(), None);
            };
            match job(app).await {
                Ok(Compared { compared, mismatches, found, gone, unsettled }) => {
                    Answer::Done(Ended::Report(ReportComparison {
                        reconciliation,
                        run,
                        compared,
                        mismatches,
                        found,
                        gone,
                        unsettled,
                    }))
                }
                Err(reason) => Answer::Again(cut(reason), None),
            }
        })
    }
}

impl<V: Serialize + PartialEq + Send + Sync + 'static> Pair<V> {
    /// Compares, for a reconciliation of that name.
    pub(super) async fn compare(&self, app: &App, reconciliation: &str) -> Result<Compared, String> {
        let open = open(app, reconciliation).await?;
        let first = self.read(app).await?;
        let differs = self.differing(&first);
        let second = match differs.is_empty() {
            true => Both { expected: BTreeMap::new(), found: BTreeMap::new() },
            false => {
                tokio::time::sleep(self.settle).await;
                self.read(app).await?
            }
        };
        Ok(self.compared(open, (&first, differs), &second))
    }

    /// Of what differs at the first reading, what the second says; and which of the open mismatches are none any more.
    pub(super) fn compared(
        &self,
        mut open: BTreeMap<String, Mismatch>,
        (first, differs): (&Both<V>, Vec<&str>),
        second: &Both<V>,
    ) -> Compared {
        let mut outcome = Compared { compared: first.keys().count() as u64, ..Compared::default() };
        let (mut room, mut room_for_gone) = (FOUND_BYTES, GONE_BYTES);
        for key in differs {
            let (was, is) = (first.of(key), second.of(key));
            if was != is && self.agrees(is) {
                continue;
            }
            let name = named(key);
            let known = open.remove(&name);
            if was != is {
                outcome.unsettled += 1;
                continue;
            }
            outcome.mismatches += 1;
            if outcome.found.len() == MOST {
                continue;
            }
            let [expected, found] = [is.0, is.1].map(|value| value.map(told));
            let mismatch = Mismatch { key: name, expected, found };
            if known.as_ref() != Some(&mismatch) && fits(&mut room, &mismatch) {
                outcome.found.push(mismatch);
            }
        }
        outcome.gone = open.into_keys().take(MOST).filter(|key| fits(&mut room_for_gone, key)).collect();
        outcome
    }

    async fn read(&self, app: &App) -> Result<Both<V>, String> {
        let read = |(what, source): &(&'static str, Source<V>)| {
            let (what, read) = (*what, source(app.clone()));
            async move { read.await.map_err(|problem| format!("{what}: {problem}")) }
        };
        Ok(Both { expected: read(&self.expected).await?, found: read(&self.found).await? })
    }

    pub(super) fn differing<'a>(&self, both: &'a Both<V>) -> Vec<&'a str> {
        both.keys().filter(|key| !self.agrees(both.of(key))).collect()
    }

    fn agrees(&self, values: (Option<&V>, Option<&V>)) -> bool {
        values == (None, None) || (self.agree)(values.0, values.1)
    }
}

/// What both sources say.
pub(super) struct Both<V> {
    pub(super) expected: BTreeMap<String, V>,
    pub(super) found: BTreeMap<String, V>,
}

impl<V> Both<V> {
    fn of(&self, key: &str) -> (Option<&V>, Option<&V>) {
        (self.expected.get(key), self.found.get(key))
    }

    /// Each key once.
    fn keys(&self) -> impl Iterator<Item = &str> {
        let others = self.found.keys().filter(|key| !self.expected.contains_key(*key));
        self.expected.keys().chain(others).map(String::as_str)
    }
}

/// What is open, by key, as of now: while a comparison is under way it stays as it is.
async fn open(app: &App, reconciliation: &str) -> Result<BTreeMap<String, Mismatch>, String> {
    let rows = app.rows::<MismatchRow>().after(app.position()).equal("reconciliation", reconciliation);
    let page = rows.slice(0, MOST as u64).page().await;
    let rows = page.map_err(|error| format!("what is open: {error}"))?.rows;
    Ok(rows.into_iter().map(|row| (row.mismatch.key.clone(), row.mismatch)).collect())
}

/// Whether a value fits into what is left, of which it takes its bytes of JSON.
fn fits(room: &mut usize, value: &impl Serialize) -> bool {
    let bytes = serde_json::to_vec(value).map_or(usize::MAX, |json| json.len());
    let left = room.checked_sub(bytes);
    *room = left.unwrap_or(*room);
    left.is_some()
}

/// A key as it is told. Of two long ones that begin alike each has a name of its own.
fn named(key: &str) -> String {
    if key.len() <= TEXT_BYTES {
        return key.to_owned();
    }
    format!("{} {}", cut(key.to_owned()), MessageId::derived(&["mismatch", key]))
}

/// A value as it is told.
fn told<V: Serialize>(value: &V) -> Value {
    let value = serde_json::to_value(value).unwrap_or_else(|error| Value::String(error.to_string()));
    let text = value.to_string();
    if text.len() <= VALUE_BYTES { value } else { Value::String(short(text, VALUE_BYTES)) }
}

/// A text as it is told.
pub(super) fn cut(text: String) -> String {
    short(text, TEXT_BYTES)
}

/// A text, or its start and how long it was.
fn short(mut text: String, most: usize) -> String {
    let bytes = text.len();
    if bytes > most {
        text.truncate(text.floor_char_boundary(most));
        let _ = write!(text, "… ({bytes} bytes)");
    }
    text
}
