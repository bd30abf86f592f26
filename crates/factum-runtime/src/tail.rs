//! The tail of the log: the last durable messages, decoded once and shared by everybody who keeps up.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use factum_core::{envelope::Stored, stream::Position};
use tokio::sync::watch;

use crate::signal::Signal;

/// Bytes that the ring keeps.
pub const RING_BYTES: usize = 64 << 20;

/// Messages that became durable together, or that were read together from the store.
#[derive(Debug)]
pub struct Frame {
    /// It begins behind this position.
    pub after: Position,
    /// In order of position.
    pub messages: Vec<Stored>,
    /// Everything up to here was looked at.
    pub through: Position,
}

impl Frame {
    pub(crate) fn bytes(&self) -> usize {
        self.messages.iter().map(|stored| stored.message.bytes()).sum()
    }
}

/// The ring.
pub struct Tail {
    ring: Mutex<Ring>,
    head: watch::Sender<Position>,
    listeners: Mutex<Vec<Arc<Signal>>>,
}

struct Ring {
    frames: VecDeque<(Arc<Frame>, usize)>,
    /// Everything up to here has left the ring.
    floor: Position,
    bytes: usize,
    limit: usize,
}

impl Tail {
    /// An empty ring behind the store's head.
    pub fn new(head: Position) -> Self {
        Self::keeping(head, RING_BYTES)
    }

    /// The same, with another bound: that many bytes, or the last frame if it is larger.
    pub fn keeping(head: Position, limit: usize) -> Self {
        Self {
            ring: Mutex::new(Ring { frames: VecDeque::new(), floor: head, bytes: 0, limit }),
            head: watch::Sender::new(head),
            listeners: Mutex::default(),
        }
    }

    /// The last durable position.
    pub fn head(&self) -> Position {
        *self.head.borrow()
    }

    /// Bytes of messages in the ring.
    pub fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// Bytes that it keeps at most, or one frame.
    pub fn limit(&self) -> usize {
        self.lock().limit
    }

    /// Follows the head from async code.
    pub fn watch(&self) -> watch::Receiver<Position> {
        self.head.subscribe()
    }

    /// Rings a thread's signal whenever the head moves.
    pub fn listen(&self, signal: Arc<Signal>) {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).push(signal);
    }

    /// Adds messages that have just become durable.
    pub fn push(&self, messages: Vec<Stored>) {
        let (Some(first), Some(last)) = (messages.first(), messages.last()) else { return };
        let (after, through) = (Position(first.position.0 - 1), last.position);
        let frame = Frame { after, messages, through };
        let bytes = frame.bytes();
        {
            let mut ring = self.lock();
            ring.bytes += bytes;
            ring.frames.push_back((Arc::new(frame), bytes));
            while ring.bytes > ring.limit && ring.frames.len() > 1 {
                if let Some((gone, bytes)) = ring.frames.pop_front() {
                    ring.floor = gone.through;
                    ring.bytes -= bytes;
                }
            }
        }
        self.move_to(through);
    }

    /// The store has messages up to here that others have written: they are not in the ring, and are read from the store.
    pub fn move_to(&self, head: Position) {
        let moved = self.head.send_if_modified(|known| {
            let moved = *known < head;
            *known = head.max(*known);
            moved
        });
        if !moved {
            return;
        }
        for signal in self.listeners.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            signal.ring();
        }
    }

    /// The frame that holds the message behind a position. `Err` if it has left the ring, or never was in it because another
    /// process wrote it: read it from the store.
    pub fn after(&self, position: Position) -> Result<Option<Arc<Frame>>, Behind> {
        let ring = self.lock();
        if position < ring.floor {
            return Err(Behind);
        }
        let index = ring.frames.partition_point(|(frame, _)| frame.through <= position);
        match ring.frames.get(index) {
            Some((frame, _)) if frame.after <= position => Ok(Some(frame.clone())),
            None if self.head() <= position => Ok(None),
            Some(_) | None => Err(Behind),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        // Nothing in here panics between two changes that belong together.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The position asked for has left the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behind;
