//! Clients: programs outside the node that send commands, lose answers, and send again by the same id.

use std::ops::Range;

use factum_core::{
    Timestamp,
    envelope::{Draft, Stored},
    id::MessageId,
};
use factum_runtime::inbox::{ExecuteError, Input, Receipt, Request};
use fastrand::Rng;
use tokio::sync::oneshot;

use super::{
    node::Node,
    tally::{Kind, Tally},
    world::Violation,
};

type Answer = oneshot::Receiver<Result<Vec<Receipt>, ExecuteError>>;

/// Commands that a client wants carried out together.
pub(super) struct Ask {
    pub ids: Vec<MessageId>,
    pub drafts: Vec<Draft>,
    waiting: Option<Answer>,
    sent: u32,
    /// The end of the log when it was sent last.
    head: usize,
    /// When it was sent first. Sent again it says so, and is within the window however the clock jumps.
    pub since: Option<Timestamp>,
    pub end: End,
}

/// What the client knows at last.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum End {
    Open,
    Accepted(Vec<Receipt>),
    /// With which code, and how many messages the log had when it was sent and when the answer came.
    Rejected(String, Range<usize>),
    /// It did not ask again: nobody knows.
    Abandoned,
}

/// All of them.
pub(super) struct Clients {
    pub asks: Vec<Ask>,
    random: Rng,
    pub tally: Tally,
    pub trace: Vec<String>,
}

impl Clients {
    pub fn new(seed: u64) -> Self {
        Self { asks: Vec::new(), random: Rng::with_seed(seed), tally: Tally::default(), trace: Vec::new() }
    }

    /// Somebody wants something.
    pub fn want(&mut self, drafts: Vec<Draft>) {
        let ids = drafts.iter().map(|_| MessageId::derived(&[&self.random.u128(..).to_string()])).collect();
        self.asks.push(Ask { ids, drafts, waiting: None, sent: 0, head: 0, since: None, end: End::Open });
    }

    /// Sends what waits to be sent, each with this chance.
    pub fn send(&mut self, node: &Node, now: Timestamp, chance: f64) {
        for (number, ask) in self.asks.iter_mut().enumerate() {
            if ask.end != End::Open || ask.waiting.is_some() || self.random.f64() >= chance {
                continue;
            }
            let (reply, answer) = oneshot::channel();
            let at = ask.since;
            let of =
                |(id, draft): (&MessageId, &Draft)| Request { id: Some(id.clone()), at, ..Request::new(draft.clone()) };
            let requests = ask.ids.iter().zip(&ask.drafts).map(of).collect();
            if node.inbox.try_send(Input::Commands(requests, reply)).is_ok() {
                ask.waiting = Some(answer);
                ask.sent += 1;
                ask.head = node.tail.head().0 as usize;
                ask.since = ask.since.or(Some(now));
                if ask.sent > 1 {
                    self.tally.one(Kind::SentAgain);
                }
                let names: Vec<&str> = ask.drafts.iter().map(|draft| draft.type_name.as_str()).collect();
                self.trace.push(format!("  client {number} sends {} (time {})", names.join(" and "), ask.sent));
            }
        }
    }

    /// Takes answers that are there; by the seed some get lost on their way, unless `all` arrive.
    pub fn receive(&mut self, seen: &[Stored], all: bool) -> Result<(), Violation> {
        for (number, ask) in self.asks.iter_mut().enumerate() {
            let Some(waiting) = &mut ask.waiting else { continue };
            let answer = match waiting.try_recv() {
                Err(oneshot::error::TryRecvError::Empty) => continue,
                Err(oneshot::error::TryRecvError::Closed) => None,
                Ok(answer) => Some(answer).filter(|_| all || self.random.u8(..8) > 0),
            };
            ask.waiting = None;
            match answer {
                None => {
                    self.tally.one(Kind::LostAnswer);
                    self.trace.push(format!("  client {number} gets no answer"));
                    if !all && self.random.u8(..10) == 0 {
                        self.tally.one(Kind::Abandoned);
                        ask.end = End::Abandoned;
                    }
                }
                Some(answer) => {
                    self.trace.push(format!("  client {number} gets {}", sentence(&answer)));
                    ask.take(answer, seen, &mut self.tally)?;
                }
            }
        }
        Ok(())
    }

    /// The node is gone, and with it all answers that were under way.
    pub fn hang_up(&mut self) {
        for (number, ask) in self.asks.iter_mut().enumerate() {
            if ask.waiting.take().is_some() {
                self.tally.one(Kind::LostAnswer);
                self.trace.push(format!("  client {number} is cut off"));
                if self.random.u8(..10) == 0 {
                    self.tally.one(Kind::Abandoned);
                    ask.end = End::Abandoned;
                }
            }
        }
    }

    pub fn are_done(&self) -> bool {
        self.asks.iter().all(|ask| ask.end != End::Open)
    }
}

impl Ask {
    fn take(
        &mut self,
        answer: Result<Vec<Receipt>, ExecuteError>,
        seen: &[Stored],
        tally: &mut Tally,
    ) -> Result<(), Violation> {
        match answer {
            Ok(receipts) => {
                tally.many(Kind::Commands, receipts.len() as u64);
                tally.many(Kind::Repeated, receipts.iter().filter(|receipt| receipt.repeated).count() as u64);
                for (id, receipt) in self.ids.iter().zip(&receipts) {
                    if receipt.position.0 > seen.len() as u64 {
                        let problem = format!("command {id} was acknowledged at {}, behind the log", receipt.position);
                        return Violation::found("I1", problem);
                    }
                }
                self.end = End::Accepted(receipts);
            }
            Err(ExecuteError::Rejected(refused)) => {
                tally.one(Kind::Refused);
                self.end = End::Rejected(refused.code, self.head..seen.len());
            }
            Err(ExecuteError::IdReused(id)) => {
                return Violation::found("I1", format!("command {id} was sent again as it was, and taken for another"));
            }
            Err(ExecuteError::NoHandler(name)) => {
                return Violation::found("setup", format!("no service of the simulation answers `{name}`"));
            }
            // Whether it happened is not known: the client will ask again.
            Err(ExecuteError::Busy | ExecuteError::Stopped(_) | ExecuteError::Handler(_) | ExecuteError::Commit(_)) => {
            }
        }
        Ok(())
    }
}

fn sentence(answer: &Result<Vec<Receipt>, ExecuteError>) -> String {
    match answer {
        Ok(receipts) => {
            let of = |receipt: &Receipt| format!("{}@{} at {}", receipt.stream, receipt.version, receipt.position);
            let receipts: Vec<String> = receipts.iter().map(of).collect();
            format!("yes: {}", receipts.join(" and "))
        }
        Err(error) => format!("no: {error}"),
    }
}
