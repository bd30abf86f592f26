//! Peers: the world outside the node. They never crash, remember every effect, and answer as the seed wants.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use factum_core::call::Answer;
use fastrand::Rng;

use super::tally::{Kind, Tally};

/// What a peer answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// It did it, now or before.
    Done,
    /// It will not do it; final.
    Refused,
    /// Nobody knows whether it did.
    Unknown(String),
    /// It did not, and may later.
    Again(String, Option<Duration>),
}

impl Told {
    /// As the answer of a call.
    pub fn answer<C>(self, done: impl FnOnce() -> C, refused: impl FnOnce() -> C) -> Answer<C> {
        match self {
            Self::Done => Answer::Done(done()),
            Self::Refused => Answer::Refused(refused()),
            Self::Unknown(reason) => Answer::Unknown(reason),
            Self::Again(reason, wait) => Answer::Again(reason, wait),
        }
    }
}

/// Something that a peer did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// Which peer.
    pub peer: &'static str,
    /// What, in the words of the call: the same words mean the same effect.
    pub operation: String,
    /// The idempotency key that it was asked by.
    pub key: String,
    /// Whether the request came through after its caller had been told that its outcome is unknown.
    pub late: bool,
}

/// All peers. Clones are the same ones.
#[derive(Clone)]
pub struct Peers(Arc<Mutex<State>>);

struct State {
    random: Rng,
    calm: bool,
    /// Attempts that still find everybody out of order.
    outage: u32,
    /// What became of each key.
    verdicts: BTreeMap<(&'static str, String), bool>,
    effects: Vec<Effect>,
    /// Requests on a slow way.
    under_way: Vec<(Effect, bool)>,
    attempts: u64,
    tally: Tally,
    trace: Vec<String>,
}

/// How one attempt goes.
enum Fate {
    Answered(Duration),
    CutBefore,
    CutAfter,
    Slow,
    Silent { acts: bool },
    PutOff(Option<Duration>),
}

impl Peers {
    /// Peers that draw by a seed.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            random: Rng::with_seed(seed),
            calm: false,
            outage: 0,
            verdicts: BTreeMap::new(),
            effects: Vec::new(),
            under_way: Vec::new(),
            attempts: 0,
            tally: Tally::default(),
            trace: Vec::new(),
        })))
    }

    /// One of them.
    pub fn peer(&self, name: &'static str) -> Peer {
        Peer { name, peers: self.clone(), forgets: false }
    }

    /// Everything that was done, in order.
    pub fn effects(&self) -> Vec<Effect> {
        self.lock().effects.clone()
    }

    /// How often any of them was asked.
    pub fn attempts(&self) -> u64 {
        self.lock().attempts
    }

    /// The keys that were refused.
    pub fn refused(&self) -> Vec<String> {
        let state = self.lock();
        state.verdicts.iter().filter(|(_, done)| !**done).map(|((_, key), _)| key.clone()).collect()
    }

    pub(super) fn break_down(&self, attempts: u32) {
        let mut state = self.lock();
        state.outage = attempts;
        state.tally.one(Kind::Outage);
    }

    /// From now on they answer at once and truly.
    pub(super) fn heal(&self) {
        let mut state = self.lock();
        state.calm = true;
        state.outage = 0;
        state.arrive(usize::MAX);
    }

    pub(super) fn tally(&self) -> Tally {
        self.lock().tally.clone()
    }

    pub(super) fn take_trace(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().trace)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A peer, as calls use it.
#[derive(Clone)]
pub struct Peer {
    name: &'static str,
    peers: Peers,
    forgets: bool,
}

impl Peer {
    /// The same peer, but whoever asks it twice by one key gets it done twice: its caller has to look up an attempt whose
    /// outcome is unknown before it makes another.
    #[must_use]
    pub fn not_idempotent(self) -> Self {
        Self { forgets: true, ..self }
    }

    /// Asks for an operation by an idempotency key; it may be refused.
    pub async fn ask(&self, operation: &str, key: &str) -> Told {
        self.attempt(operation, key, true).await
    }

    /// Asks for an operation that cannot be refused.
    pub async fn must(&self, operation: &str, key: &str) -> Told {
        self.attempt(operation, key, false).await
    }

    /// Asks what became of a key.
    pub async fn look_up(&self, key: &str) -> Told {
        let (told, wait) = {
            let mut state = self.peers.lock();
            state.attempts += 1;
            let cut = !state.calm && state.random.u8(..8) == 0;
            let told = match state.verdicts.get(&(self.name, key.to_owned())) {
                _ if cut => Told::Unknown("cut off while looking it up".to_owned()),
                Some(true) => Told::Done,
                Some(false) => Told::Refused,
                None => Told::Again("not known".to_owned(), None),
            };
            let wait = Duration::from_millis(state.random.u64(1..30));
            state.trace.push(format!("    {} looks up {key}: {told:?}", self.name));
            (told, wait)
        };
        tokio::time::sleep(wait).await;
        told
    }

    async fn attempt(&self, operation: &str, key: &str, may_refuse: bool) -> Told {
        let (told, wait) = self.peers.lock().attempt(self, operation, key, may_refuse);
        match wait {
            Some(wait) => tokio::time::sleep(wait).await,
            None => std::future::pending().await,
        }
        told.unwrap_or_else(|effect| self.peers.lock().act(effect, may_refuse))
    }
}

impl State {
    /// What the caller is told, or what is only then done, and after how long; `None` for never.
    fn attempt(
        &mut self,
        peer: &Peer,
        operation: &str,
        key: &str,
        may_refuse: bool,
    ) -> (Result<Told, Effect>, Option<Duration>) {
        let (Peer { name: peer, forgets, .. }, key) = (peer, key.to_owned());
        if *forgets && self.verdicts.get(&(peer, key.clone())) == Some(&true) {
            self.verdicts.remove(&(peer, key.clone()));
        }
        self.attempts += 1;
        let arriving = self.random.usize(..3);
        self.arrive(arriving);
        let effect = |late| Effect { peer, operation: operation.to_owned(), key: key.clone(), late };
        let soon = Duration::from_millis(self.random.u64(1..40));
        let fate = match self.fate() {
            // What comes through later is not known when it is looked up: nobody could be safe from that.
            Fate::Slow if *forgets => Fate::CutAfter,
            fate => fate,
        };
        let unknown = |what: &str| Told::Unknown(what.to_owned());
        let (told, wait) = match fate {
            // It takes its time, and does it then: whoever asks something else meanwhile has overtaken it.
            Fate::Answered(wait) if self.random.bool() => {
                self.trace.push(format!("    {peer} is asked to {operation} by {key}, and takes {wait:?}"));
                return (Err(effect(false)), Some(wait));
            }
            Fate::Answered(wait) => (self.act(effect(false), may_refuse), Some(wait)),
            Fate::CutBefore => (unknown("cut off"), Some(soon)),
            Fate::CutAfter => {
                self.act(effect(false), may_refuse);
                (unknown("cut off"), Some(soon))
            }
            Fate::Slow => {
                self.tally.one(Kind::PeerLate);
                self.under_way.push((effect(true), may_refuse));
                (unknown("cut off"), Some(soon))
            }
            Fate::Silent { acts } => {
                if acts {
                    self.act(effect(false), may_refuse);
                }
                self.tally.one(Kind::PeerSilent);
                (unknown("silence"), None)
            }
            Fate::PutOff(wait) => {
                self.tally.one(Kind::PeerAgain);
                (Told::Again("out of order".to_owned(), wait), Some(soon))
            }
        };
        if matches!(fate, Fate::CutBefore | Fate::CutAfter | Fate::Slow) {
            self.tally.one(Kind::PeerUnknown);
        }
        self.trace.push(format!("    {peer} is asked to {operation} by {key}: {told:?} after {wait:?}"));
        (Ok(told), wait)
    }

    fn fate(&mut self) -> Fate {
        let soon = Duration::from_millis(self.random.u64(1..60));
        if self.calm {
            return Fate::Answered(soon);
        }
        if self.outage > 0 {
            self.outage -= 1;
            return Fate::PutOff(None);
        }
        match self.random.u8(..100) {
            0..=54 => Fate::Answered(soon),
            55..=59 => {
                self.tally.one(Kind::PeerLate);
                Fate::Answered(Duration::from_secs(self.random.u64(1..40)))
            }
            60..=67 => Fate::CutBefore,
            68..=77 => Fate::CutAfter,
            78..=82 => Fate::Slow,
            83..=86 => Fate::Silent { acts: self.random.bool() },
            87..=93 => Fate::PutOff(None),
            _ => Fate::PutOff(Some(Duration::from_millis(self.random.u64(1..5_000)))),
        }
    }

    /// A key is judged once; what was done is done once.
    fn act(&mut self, effect: Effect, may_refuse: bool) -> Told {
        let key = (effect.peer, effect.key.clone());
        let done = match self.verdicts.get(&key) {
            Some(done) => {
                self.tally.one(Kind::PeerTwice);
                *done
            }
            None => {
                let done = !may_refuse || self.random.u8(..6) > 0;
                self.verdicts.insert(key, done);
                self.tally.one(if done { Kind::Calls } else { Kind::PeerRefused });
                if done {
                    self.trace.push(format!("    {} does {}", effect.peer, effect.operation));
                    self.effects.push(effect);
                }
                done
            }
        };
        if done { Told::Done } else { Told::Refused }
    }

    /// Some of the requests on a slow way come through.
    fn arrive(&mut self, most: usize) {
        let count = most.min(self.under_way.len());
        for (effect, may_refuse) in self.under_way.drain(..count).collect::<Vec<_>>() {
            self.act(effect, may_refuse);
        }
    }
}
