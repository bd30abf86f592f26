//! The operator: looks at letters, tries and redrives them, lets stopped consumers try again; at the end, all of them.

use factum_core::{letter::LetterId, stream::Position};
use factum_runtime::{
    acts::{Act, ActError, By, Outcome, What},
    inbox::Input,
    letters::Query,
    plans::{Making, Selection},
    registry::Registry,
    survey::{Known, Survey},
};
use tokio::sync::oneshot;

use super::{driver::Run, node::Node, oracle, poison, tally::Kind, world::Violation};

/// Of a thousand messages, how many fail in each place, at most.
const MOST_PER_MILLE: u64 = 120;
/// The consumer whose letters the operator may also discard.
pub const DISCARDABLE: &str = "audit.note";

impl Run<'_> {
    /// Another version of the program is deployed, and fails on other messages.
    pub fn deploy(&mut self) {
        let per_mille = if self.random.u8(..3) > 0 { self.random.u64(..MOST_PER_MILLE) } else { 0 };
        poison::deploy(&mut self.random, per_mille);
        self.trace.push(format!("{per_mille} of a thousand messages are poisoned now"));
    }

    /// The operator does something about a letter, or twice the same, as people do.
    pub fn operate(&mut self) {
        if self.random.u8(..5) == 0 {
            return self.plan_many();
        }
        let Some(node) = &self.node else { return };
        let letters = node.letter_ids();
        let Some(id) = self.random.choice(&letters).cloned() else { return };
        let what = match self.random.u8(..12) {
            0..=1 => What::Try(id),
            2..=3 if id.consumer == DISCARDABLE => What::Discard(id),
            _ => What::Redrive(id),
        };
        let twice = 1 + self.random.u8(..3) / 2;
        for _ in 0..twice {
            if act(node, &what) {
                self.tally.one(match what {
                    What::Try(_) => Kind::LetterTried,
                    What::Discard(_) => Kind::LetterDiscarded,
                    _ => Kind::LetterRedriven,
                });
            }
        }
        self.trace.push(format!("  operator: {what:?}, {twice} times"));
    }

    /// The operator plans to redrive all letters, or to move all instances of a saga's version, and approves the plan that was
    /// answered.
    fn plan_many(&mut self) {
        let Some(node) = &self.node else { return };
        let answered = self.planned.take().and_then(|mut answer| answer.try_recv().ok());
        let what = match answered {
            Some(Ok(Outcome::Planned(planned))) => What::Approve(planned.plan.id, planned.plan.hash),
            _ => {
                let rate = self.random.bool().then(|| self.random.u32(1..20));
                let redrive = Selection::Redrive { query: Query::default() };
                let selection = match self.random.choice(moves(&node.registry)) {
                    Some(moves) if self.random.bool() => moves,
                    _ => redrive,
                };
                let making = Making { selection, rate, second_person: false };
                let survey = Survey::of(&*node.reader, &node.registry, "sim", making, Known::default());
                // A disk that cannot be read now: another time.
                let Ok(survey) = survey else { return };
                What::MakePlan(Box::new(survey))
            }
        };
        let (reply, answer) = oneshot::channel();
        let by = By::new("operator", "as the seed wants");
        if node.inbox.try_send(Input::Act(Act { what: what.clone(), by, reply })).is_ok() {
            match what {
                What::MakePlan(_) => self.planned = Some(answer),
                _ => self.tally.one(Kind::PlanApproved),
            }
        }
    }

    /// A consumer that has stopped tries again without a restart.
    pub fn try_again(&mut self) {
        let Some(node) = &self.node else { return };
        let stopped: Vec<String> = node.health().stopped.into_iter().map(|stopped| stopped.consumer).collect();
        if let Some(consumer) = self.random.choice(&stopped).cloned()
            && act(node, &What::TryAgain(consumer.clone()))
        {
            self.tally.one(Kind::TriedAgain);
            self.trace.push(format!("  operator: {consumer} tries again"));
        }
    }

    /// I6: everything that a reaction has read is done, or a letter, or held; nothing twice, nothing missing.
    pub fn account(&mut self) -> Result<(), Violation> {
        let Some(node) = &self.node else { return Ok(()) };
        if self.seen.messages.len() as u64 != node.tail.head().0 {
            return Ok(());
        }
        let (Ok(letters), Ok(held)) =
            (factum_runtime::letters::open(&*node.reader), factum_runtime::letters::held(&*node.reader))
        else {
            return Ok(());
        };
        let Ok(cells) = node.reader.cells(factum_core::cell::CellKind::Cursor) else { return Ok(()) };
        self.tally.one(Kind::Accounted);
        oracle::accounted(&self.seen.messages, &node.registry, &letters, &held, &cells)
    }
}

/// The moves that the sagas of a program declare.
fn moves(registry: &Registry) -> Vec<Selection> {
    let mut moves = Vec::new();
    for saga in registry.services.iter().flat_map(|service| &service.sagas) {
        for table in saga.all() {
            let (saga, to) = (saga.name(), table.version());
            let each = table.moves().into_iter().map(|(from, _)| Selection::Move { saga: saga.to_owned(), from, to });
            moves.extend(each);
        }
    }
    moves
}

/// The answer to a plan that was asked for.
pub(super) type PlanAnswer = oneshot::Receiver<Result<Outcome, ActError>>;

/// Redrives every letter that there is.
pub(super) fn redrive_all(node: &Node) -> usize {
    let letters = node.letter_ids();
    letters.iter().filter(|id| act(node, &What::Redrive((*id).clone()))).count()
}

fn act(node: &Node, what: &What) -> bool {
    let (reply, _) = oneshot::channel();
    let by = By::new("operator", "as the seed wants");
    node.inbox.try_send(Input::Act(Act { what: what.clone(), by, reply })).is_ok()
}

/// A letter's message, if it stands in the log.
pub(super) fn position_of(id: &LetterId) -> Option<Position> {
    match id.subject {
        factum_core::letter::Subject::Message(position) => Some(position),
        _ => None,
    }
}
