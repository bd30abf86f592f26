//! A comparison: both sources are read, and what differs is read again.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    future::Future,
    pin::Pin,
    sync::{Arc, OnceLock},
    time::Duration,
};

use factum_core::call::{Answer, Call};
use serde::Serialize;
use serde_json::Value;

use super::messages::{Ask, Ended, FailComparison, Mismatch, ReportComparison};
use crate::app::{App, WeakApp};

/// Mismatches that a comparison names; the others it counts.
const NAMED: usize = 1_000;
/// What they may come to together, in bytes of JSON: all of them stand in one message.
const NAMED_BYTES: usize = 512 << 10;
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
    pub(super) mismatches: Vec<Mismatch>,
    pub(super) more: u64,
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
                Ok(Compared { compared, mismatches, more, unsettled }) => {
                    Answer::Done(Ended::Report(ReportComparison {
                        reconciliation,
                        run,
                        compared,
                        mismatches,
                        more,
                        unsettled,
                    }))
                }
                Err(reason) => Answer::Again(cut(reason), None),
            }
        })
    }
}

impl<V: Serialize + PartialEq + Send + Sync + 'static> Pair<V> {
    pub(super) async fn compare(&self, app: &App) -> Result<Compared, String> {
        let first = self.read(app).await?;
        let differs = self.differing(&first);
        let mut outcome = Compared { compared: first.keys().count() as u64, ..Compared::default() };
        if differs.is_empty() {
            return Ok(outcome);
        }
        tokio::time::sleep(self.settle).await;
        let second = self.read(app).await?;
        let mut room = NAMED_BYTES;
        for key in differs {
            let (was, is) = (first.of(key), second.of(key));
            if was != is {
                outcome.unsettled += u64::from(!self.agrees(is));
                continue;
            }
            let [expected, found] = [is.0, is.1].map(|value| value.map(told));
            let mismatch = Mismatch { key: cut(key.to_owned()), expected, found };
            let bytes = serde_json::to_vec(&mismatch).map_or(room, |json| json.len());
            match outcome.mismatches.len() < NAMED && bytes < room {
                true => outcome.mismatches.push(mismatch),
                false => outcome.more += 1,
            }
            room = room.saturating_sub(bytes);
        }
        Ok(outcome)
    }

    async fn read(&self, app: &App) -> Result<Both<V>, String> {
        let read = |(what, source): &(&'static str, Source<V>)| {
            let (what, read) = (*what, source(app.clone()));
            async move { read.await.map_err(|problem| format!("{what}: {problem}")) }
        };
        Ok(Both { expected: read(&self.expected).await?, found: read(&self.found).await? })
    }

    fn differing<'a>(&self, both: &'a Both<V>) -> Vec<&'a str> {
        both.keys().filter(|key| !self.agrees(both.of(key))).collect()
    }

    fn agrees(&self, values: (Option<&V>, Option<&V>)) -> bool {
        values == (None, None) || (self.agree)(values.0, values.1)
    }
}

/// What both sources say.
struct Both<V> {
    expected: BTreeMap<String, V>,
    found: BTreeMap<String, V>,
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

/// A value as it is told.
fn told<V: Serialize>(value: &V) -> Value {
    let value = serde_json::to_value(value).unwrap_or_else(|error| Value::String(error.to_string()));
    let text = value.to_string();
    if text.len() <= VALUE_BYTES { value } else { Value::String(short(text, VALUE_BYTES)) }
}

fn cut(text: String) -> String {
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
