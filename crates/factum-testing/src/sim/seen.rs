//! What readers have seen of the log, kept outside of it: it may only grow, and never change (I3, I4).

use factum_core::{envelope::Stored, error::StoreError, stream::Position};
use factum_runtime::inbox::INBOX;
use fastrand::Rng;

use super::{
    node::{Node, read_all},
    world::Violation,
};

/// See the module.
#[derive(Default)]
pub(super) struct Seen {
    pub messages: Vec<Stored>,
}

impl Seen {
    /// Looks at what is new in the tail, as all followers do; answers it.
    pub fn look(&mut self, node: &Node, ring_bytes: usize) -> Result<&[Stored], Violation> {
        self.bounds(node, ring_bytes)?;
        let known = self.messages.len();
        if node.tail.head().0 < known as u64 {
            let head = node.tail.head();
            return Violation::found("I4", format!("position {known} was seen, and now the log ends at {head}"));
        }
        loop {
            let after = Position(self.messages.len() as u64);
            match node.tail.after(after) {
                Ok(None) => break,
                Ok(Some(frame)) => {
                    let new = frame.messages.iter().filter(|stored| stored.position > after);
                    self.messages.extend(new.cloned());
                }
                Err(_) => match read_all(&*node.reader, after) {
                    Ok(messages) => self.messages.extend(messages),
                    // The disk fails: it is looked at another time.
                    Err(_) => break,
                },
            }
        }
        Ok(&self.messages[known..])
    }

    /// I16: the ring holds what it may hold, or one frame; the inbox has a length.
    fn bounds(&self, node: &Node, ring_bytes: usize) -> Result<(), Violation> {
        let before_last = Position(node.tail.head().0.saturating_sub(1));
        let last = node.tail.after(before_last).ok().flatten();
        let frame = last.map_or(0, |frame| frame.messages.iter().map(|stored| stored.message.bytes()).sum());
        let (held, most) = (node.tail.bytes(), ring_bytes.max(frame));
        if held > most {
            return Violation::found("I16", format!("the ring holds {held} bytes; {most} are allowed"));
        }
        let waiting = node.inbox.waiting();
        if waiting > INBOX {
            return Violation::found("I16", format!("{waiting} inputs wait; {INBOX} are allowed"));
        }
        Ok(())
    }

    /// Reads some part of the log from the disk: it says what was seen before, or it says that it cannot.
    pub fn compare(&self, node: &Node, random: &mut Rng) -> Result<(), Violation> {
        let after = random.usize(..=self.messages.len());
        match read_all(&*node.reader, Position(after as u64)) {
            Ok(messages) => self.same(&messages, after, "I15"),
            Err(StoreError::Transient(_) | StoreError::Corrupt(_)) => Ok(()),
            Err(error) => Violation::found("I15", format!("reading the log failed in an unexpected way: {error}")),
        }
    }

    /// Whether messages behind a position are what was seen there.
    pub fn same(&self, messages: &[Stored], after: usize, invariant: &'static str) -> Result<(), Violation> {
        for (seen, found) in self.messages[after..].iter().zip(messages) {
            if seen != found {
                let (position, was, is) = (seen.position, line(seen), line(found));
                return Violation::found(invariant, format!("at {position} stood {was}; now there stands {is}"));
            }
        }
        Ok(())
    }
}

/// A message for people.
pub(super) fn line(stored: &Stored) -> String {
    let (kind, data) = (stored.envelope().kind, String::from_utf8_lossy(&stored.message.data));
    let (position, stream, version) = (stored.position, &stored.stream, stored.version);
    format!("{position} {stream}@{version} {kind:?} {} {data}", stored.type_name())
}
