//! The two threads between a unit and the others: the relay's, and the one of what arrives.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::Builder,
    time::{Duration, Instant},
};

use factum_core::ports::{Lease, Reader};
use tokio::sync::oneshot;

use super::{Running, lock};
use crate::{
    between::{Arrivals, Arrived, Between, BetweenShown, Kept, Relay},
    import::Door,
    inbox::{Input, Sender},
    registry::Registry,
    signal::{Signal, backoff},
    tail::Tail,
};

/// How long either waits at most before it looks whether it is to end.
const LOOK: Duration = Duration::from_millis(100);
/// What was read and was for nobody is written down after this long.
const TICK: Duration = Duration::from_secs(1);
/// A process that may not lead for so long publishes nothing.
const LEADS: Duration = Duration::from_secs(1);

/// What both need.
pub(super) struct Parts {
    pub(super) between: Between,
    pub(super) registry: Arc<Registry>,
    pub(super) door: Arc<Door>,
    /// Shows the log as it is stored.
    pub(super) reader: Arc<dyn Reader>,
    pub(super) tail: Arc<Tail>,
    pub(super) inbox: Sender,
    pub(super) lease: Option<Arc<dyn Lease>>,
}

/// Starts both. What they tell stands in the answer's first part.
pub(super) fn start(parts: Parts) -> io::Result<(Arc<Mutex<BetweenShown>>, Vec<Running>)> {
    let transport = &parts.between.transport;
    let shown = Arc::new(Mutex::new(BetweenShown {
        unit: parts.between.unit.to_string(),
        transport: transport.name(),
        durability: transport.abilities().durability.as_str(),
        ..BetweenShown::default()
    }));
    let parts = Arc::new(parts);
    let begin = |name: &'static str, run: fn(Loop)| {
        let (signal, stopping): (Arc<Signal>, Arc<AtomicBool>) = Default::default();
        parts.tail.listen(signal.clone());
        let run_loop =
            Loop { parts: parts.clone(), shown: shown.clone(), signal: signal.clone(), stopping: stopping.clone() };
        let thread = Builder::new().name(format!("factum-{name}")).spawn(move || run(run_loop))?;
        Ok::<_, io::Error>(Running { name, stopping, signal, thread })
    };
    // Both stop before the engine, which writes what they tell it.
    let loops = vec![begin("relay", Loop::relay)?, begin("arrivals", Loop::arrivals)?];
    Ok((shown, loops))
}

struct Loop {
    parts: Arc<Parts>,
    shown: Arc<Mutex<BetweenShown>>,
    signal: Arc<Signal>,
    stopping: Arc<AtomicBool>,
}

impl Loop {
    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    fn relay(self) {
        let (mut relay, mut keeping, mut failures) = (None, Keeping::default(), 0);
        while !self.is_stopping() {
            match self.publish(&mut relay, &mut keeping) {
                Ok(true) => failures = 0,
                Ok(false) => {
                    failures = 0;
                    self.signal.wait(LOOK);
                }
                Err(error) => {
                    // What the broker got is not known: all is begun again from the cell.
                    (relay, keeping) = (None, Keeping::default());
                    failures += 1;
                    let mut shown = lock(&self.shown);
                    if shown.relay.waits.as_ref() != Some(&error) {
                        tracing::warn!(error, "nothing is published now; trying again");
                        shown.relay.waits = Some(error);
                    }
                    drop(shown);
                    self.signal.wait(backoff(failures));
                }
            }
        }
        // What is published and not written down is published once more: the next start knows it so.
        keeping.wait(&self.parts.inbox);
    }

    /// Publishes what there is; `false` if there is nothing now.
    fn publish(&self, relay: &mut Option<Relay>, keeping: &mut Keeping) -> Result<bool, String> {
        let Parts { between, registry, reader, tail, inbox, lease, .. } = &*self.parts;
        if lease.as_ref().is_some_and(|lease| !lease.lasts(LEADS)) {
            return Ok(false);
        }
        let relay = match relay {
            Some(relay) => relay,
            None => {
                let opened = Relay::open(registry.clone(), reader.clone(), between.clone());
                relay.insert(opened.map_err(|error| error.to_string())?)
            }
        };
        let head = tail.head();
        if relay.position() >= head {
            keeping.go_on(inbox);
            return Ok(false);
        }
        let kept = relay.round(head).map_err(|error| error.to_string())?;
        lock(&self.shown).relay(relay, None);
        keeping.wanted = kept.or(keeping.wanted.take());
        keeping.go_on(inbox);
        Ok(true)
    }

    fn arrivals(self) {
        let (mut arrivals, mut failures, mut written) = (None, 0, Instant::now());
        while !self.is_stopping() {
            match self.take_in(&mut arrivals, &mut written) {
                Ok(()) => failures = 0,
                Err(error) => {
                    arrivals = None;
                    if self.is_stopping() {
                        break;
                    }
                    failures += 1;
                    let mut shown = lock(&self.shown);
                    if shown.waits.as_ref() != Some(&error) {
                        tracing::warn!(error, "nothing of other units is taken in now; trying again");
                        shown.waits = Some(error);
                    }
                    drop(shown);
                    self.signal.wait(backoff(failures));
                }
            }
        }
    }

    fn take_in(&self, arrivals: &mut Option<Arrivals>, written: &mut Instant) -> Result<(), String> {
        let Parts { between, registry, door, reader, inbox, .. } = &*self.parts;
        let arrivals = match arrivals {
            Some(arrivals) => arrivals,
            None => {
                let opened = Arrivals::open(registry.clone(), door.clone(), &**reader, between.clone());
                arrivals.insert(opened.map_err(|error| error.to_string())?)
            }
        };
        let arrived = arrivals.next(LOOK).map_err(|error| error.to_string())?;
        lock(&self.shown).arrivals(arrivals);
        let Some(arrived) = arrived else { return Ok(()) };
        let is_due = written.elapsed() >= TICK;
        if arrived.is_empty() && !is_due {
            return Ok(());
        }
        let through = arrived.through.clone();
        let (reply, told) = oneshot::channel();
        let mut input = Input::Between(Box::new(arrived), reply);
        while let Some(back) = inbox.offer(input).map_err(|error| error.to_string())? {
            if self.is_stopping() {
                return Err("the unit is stopping".to_owned());
            }
            input = back;
            // The broker keeps what is not fetched.
            self.signal.wait(LOOK / 10);
        }
        told.blocking_recv().map_err(|_| "what has come was not written: the engine says why".to_owned())?;
        *written = Instant::now();
        through.iter().for_each(|through| arrivals.settle(through));
        Ok(())
    }
}

/// How far the relay is, on its way into the log: one at a time, and then the newest.
#[derive(Default)]
struct Keeping {
    wanted: Option<Kept>,
    sent: Option<(Kept, oneshot::Receiver<()>)>,
}

impl Keeping {
    fn go_on(&mut self, inbox: &Sender) {
        if let Some((cell, mut told)) = self.sent.take() {
            match told.try_recv() {
                Ok(()) => {}
                Err(oneshot::error::TryRecvError::Empty) => return self.sent = Some((cell, told)),
                // It came to nothing.
                Err(oneshot::error::TryRecvError::Closed) => self.wanted = self.wanted.take().or(Some(cell)),
            }
        }
        if let Some(cell) = self.wanted.take() {
            let (reply, told) = oneshot::channel();
            match inbox.try_send(Input::Between(Box::new(Arrived::only(cell.clone())), reply)) {
                Ok(()) => self.sent = Some((cell, told)),
                Err(_) => self.wanted = Some(cell),
            }
        }
    }

    /// Waits for the last one, as long as the engine answers.
    fn wait(&mut self, inbox: &Sender) {
        self.go_on(inbox);
        if let Some((_, told)) = self.sent.take() {
            _ = told.blocking_recv();
        }
    }
}
