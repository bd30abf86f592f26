//! Commands through a store that has no committer of its own, with the best that can be built around any of them: a few
//! threads load streams and decide, one thread appends all that was decided meanwhile in one transaction. Callers cost
//! nothing: an answer is at once the next command.

use std::{
    collections::VecDeque,
    mem,
    path::Path,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::anyhow;
use factum_core::{
    envelope::{Message, binary},
    id::Name,
    stream::StreamId,
};
use serde::{Deserialize, Serialize};

use crate::{
    figure::Figure,
    machine::{Flushes, Times, bare_disk},
    subject::Subject,
    work::{Append, Reads, Store, encoded, message},
};

/// Commands to one stream.
const STREAM: usize = 10;
/// Threads that load and decide.
const LOADERS: usize = 4;
/// Not measured at the beginning.
pub const WARM: Duration = Duration::from_secs(1);

/// One command under way.
#[derive(Clone, Copy)]
pub struct Call {
    /// Whose.
    pub caller: usize,
    /// Which of its commands.
    pub number: usize,
    /// When it was sent.
    pub sent: Instant,
}

/// What the event says; the same as that of our own commands.
#[derive(Serialize, Deserialize)]
pub struct Added {
    counter_id: String,
    /// How much.
    pub by: u64,
    note: String,
}

/// A queue that threads wait at; it ends when it is closed.
pub struct Queue<T> {
    state: Mutex<(VecDeque<T>, bool)>,
    changed: Condvar,
}

impl<T> Queue<T> {
    /// An empty one.
    pub fn new() -> Self {
        Self { state: Mutex::new((VecDeque::new(), false)), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, (VecDeque<T>, bool)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds something.
    pub fn push(&self, all: impl IntoIterator<Item = T>) {
        self.lock().0.extend(all);
        self.changed.notify_all();
    }

    /// Ends it for all who wait.
    pub fn close(&self) {
        self.lock().1 = true;
        self.changed.notify_all();
    }

    /// Waits for something, and takes the first; nothing if the queue is closed.
    pub fn one(&self) -> Option<T> {
        self.wait(|_| 1).pop_front()
    }

    /// Waits for something, and takes one of so many shares of it; nothing if the queue is closed.
    fn take(&self, shares: usize) -> VecDeque<T> {
        self.wait(|all| all.div_ceil(shares))
    }

    fn wait(&self, share: impl Fn(usize) -> usize) -> VecDeque<T> {
        let mut state = self.lock();
        while state.0.is_empty() && !state.1 {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.1 {
            return VecDeque::new();
        }
        let share = share(state.0.len());
        let rest = state.0.split_off(share);
        mem::replace(&mut state.0, rest)
    }
}

/// Runs so many callers for this long.
///
/// # Errors
/// If the store fails.
pub fn run(
    name: &str,
    subject: &Subject,
    store: &mut dyn Store,
    place: &Path,
    callers: usize,
    note: &str,
    each: Duration,
) -> anyhow::Result<()> {
    let (calls, decided) = (Queue::new(), Queue::new());
    let readers = (0..LOADERS).map(|_| store.reader()).collect::<anyhow::Result<Vec<_>>>()?;
    let flushes = Flushes::since_now(place);
    let (times, took, flushed) = thread::scope(|scope| {
        let loaders: Vec<_> = readers
            .into_iter()
            .map(|mut reader| {
                let (calls, decided) = (&calls, &decided);
                scope.spawn(move || {
                    let outcome = load(&mut *reader, calls, decided, note);
                    // Whoever ends first ends all.
                    calls.close();
                    decided.close();
                    outcome
                })
            })
            .collect();
        calls.push((0..callers).map(|caller| Call { caller, number: 0, sent: Instant::now() }));
        let outcome = write(store, &calls, &decided, each, &flushes);
        calls.close();
        decided.close();
        for loader in loaders {
            loader.join().map_err(|_| anyhow!("a loader panicked"))??;
        }
        outcome
    })?;
    let commands = times.len() as f64;
    let times = Times::of(times);
    let batch = flushed.map(|flushed| commands / flushed.max(1) as f64);
    let bytes = encoded(&added(0, 0, note)?.1)?.len() as f64;
    let bare = bare_disk(place, ((bytes + 56.0) * batch.unwrap_or(1.0)) as usize)?;
    let figure = Figure::new(name, commands / took.as_secs_f64(), "commands/s")
        .of(subject.name, subject.version.as_deref())
        .synced(bytes, batch, bare, flushed.map(|flushed| flushed as f64 / commands))
        .with("p50_us", times.us(0.5))
        .with("p99_us", times.us(0.99));
    Figure { callers: Some(callers), ..figure }.print()
}

/// The stream and the message of a caller's command of this number; ten go to one stream.
pub fn added(caller: usize, number: usize, note: &str) -> anyhow::Result<(StreamId, Message)> {
    let counter_id = format!("counter-{caller}-{}", number / STREAM);
    let stream = StreamId::new("counter", &counter_id)?;
    let mut message = message(number, "");
    message.envelope.type_name = Name::Static("counter.added");
    message.data = serde_json::to_vec(&Added { counter_id, by: number as u64, note: note.to_owned() })?.into();
    Ok((stream, message))
}

/// Loads each stream, folds its events, and decides.
fn load(
    reader: &mut dyn Reads,
    calls: &Queue<Call>,
    decided: &Queue<(Call, Append)>,
    note: &str,
) -> anyhow::Result<()> {
    let source = Name::Static("order-service");
    loop {
        let taken = calls.take(LOADERS);
        if taken.is_empty() {
            return Ok(());
        }
        let new = taken.iter().map(|call| added(call.caller, call.number, note)).collect::<anyhow::Result<Vec<_>>>()?;
        let streams: Vec<StreamId> = new.iter().map(|(stream, _)| stream.clone()).collect();
        let (mut found, mut failed) = (vec![(0, 0, 0_u64); streams.len()], None);
        reader.streams(&streams, &mut |number, entry| {
            let decoded = binary::decode(Name::Static("counter.added"), source.clone(), entry.body);
            let read = decoded.map_err(anyhow::Error::from);
            match read.and_then(|message| Ok(serde_json::from_slice::<Added>(&message.data)?)) {
                Ok(added) => {
                    let (version, seen, sum) = &mut found[number];
                    (*version, *seen, *sum) = (*version + 1, entry.position, sum.wrapping_add(added.by));
                }
                Err(error) => failed = Some(error),
            }
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        let mut ready = Vec::with_capacity(new.len());
        for ((call, (stream, message)), (version, seen, sum)) in taken.into_iter().zip(new).zip(found) {
            std::hint::black_box(sum);
            let body = encoded(&message)?;
            ready.push((call, Append { stream, expected: version, seen, message, body }));
        }
        decided.push(ready);
    }
}

/// Appends all that was decided, and answers, which lets each caller send its next command.
fn write(
    store: &mut dyn Store,
    calls: &Queue<Call>,
    decided: &Queue<(Call, Append)>,
    each: Duration,
    flushes: &Flushes,
) -> anyhow::Result<(Vec<Duration>, Duration, Option<u64>)> {
    let (mut start, mut times, mut warm, mut before) = (Instant::now(), Vec::new(), true, None);
    loop {
        let taken = decided.take(1);
        if taken.is_empty() {
            return Err(anyhow!("a loader ended"));
        }
        let (answered, batch): (Vec<Call>, Vec<Append>) = taken.into_iter().unzip();
        store.append(batch)?;
        let now = Instant::now();
        times.extend(answered.iter().map(|call| now.saturating_duration_since(call.sent)));
        calls.push(answered.into_iter().map(|call| Call { number: call.number + 1, sent: now, ..call }));
        if warm && start.elapsed() >= WARM.min(each) {
            (start, warm, before) = (now, false, flushes.count());
            times.clear();
        } else if !warm && start.elapsed() >= each {
            let flushed = flushes.count().zip(before).map(|(after, before)| after.saturating_sub(before));
            return Ok((times, start.elapsed(), flushed));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_taken_from_the_front_and_a_closed_queue_gives_nothing() {
        let queue = Queue::new();
        queue.push(0..10);
        assert_eq!(queue.take(4), [0, 1, 2]);
        assert_eq!(queue.one(), Some(3));
        assert_eq!(queue.take(1), (4..10).collect::<VecDeque<_>>());
        queue.push([1]);
        queue.close();
        assert!(queue.take(1).is_empty());
    }
}
