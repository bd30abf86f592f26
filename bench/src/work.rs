//! The unit of work that stores are compared by: events appended durably, each with the version that its stream is
//! expected to have, and read again in the order of the log and of their streams.

use std::sync::Arc;

use anyhow::Context as _;
use factum_core::{
    Timestamp,
    envelope::{Envelope, Kind, Message, binary},
    id::{MessageId, Name},
    stream::StreamId,
};

/// Events in one stream.
pub const STREAM: usize = 10;
/// Streams that are written at the same time, one event after the other in no order; the next ones follow when these
/// have all their events.
pub const COHORT: usize = 4_096;
const TYPES: [&str; 4] = ["order.created", "order.paid", "order.sent", "order.closed"];

/// One event for a stream.
#[cfg_attr(not(feature = "rivals"), allow(dead_code, reason = "only rivals read all of it"))]
pub struct Append {
    /// Its stream.
    pub stream: StreamId,
    /// The version that the stream is to have; 0 if there is to be none.
    pub expected: u64,
    /// The position of the stream's last event, where a store checks that instead of a version.
    pub seen: u64,
    /// The event with its whole envelope.
    pub message: Message,
    /// The same as bytes: what a store without an idea of envelopes keeps.
    pub body: Vec<u8>,
}

/// An event as it is read.
#[derive(Clone, Copy)]
pub struct Entry<'a> {
    /// In the order of all events; 0 if the store knows none.
    pub position: u64,
    /// As [`Append::body`].
    pub body: &'a [u8],
}

/// The writing side of a store.
pub trait Store: Send {
    /// Appends all of them in one transaction, which is durable on return. It fails, and nothing is written, if a
    /// stream has another version than expected.
    ///
    /// # Errors
    /// If a version differs or the store fails.
    fn append(&mut self, batch: Vec<Append>) -> anyhow::Result<()>;

    /// A reading side for a thread of its own; it sees what is written before it reads.
    ///
    /// # Errors
    /// If the store fails.
    fn reader(&self) -> anyhow::Result<Box<dyn Reads>>;
}

/// The reading side of a store.
pub trait Reads: Send {
    /// Visits all events in order.
    ///
    /// # Errors
    /// If the store fails.
    fn scan(&mut self, visit: &mut dyn FnMut(Entry<'_>)) -> anyhow::Result<()>;

    /// Visits the events of some streams, each stream's in order, with the number of the stream in the list.
    ///
    /// # Errors
    /// If the store fails.
    fn streams(&mut self, streams: &[StreamId], visit: &mut dyn FnMut(usize, Entry<'_>)) -> anyhow::Result<()>;
}

/// Makes events, all of one length, always the same ones.
pub struct Work {
    pad: String,
    made: usize,
}

impl Work {
    /// Events that take so many bytes with their envelope.
    ///
    /// # Errors
    /// If so few bytes cannot hold an envelope.
    pub fn of(bytes: usize) -> anyhow::Result<Self> {
        let least = encoded(&message(0, ""))?.len();
        let pad = bytes.checked_sub(least).with_context(|| format!("an event with its envelope has {least} bytes"))?;
        // A length that needs one more byte to be written than that of the empty pad.
        let pad = "x".repeat(pad);
        let excess = encoded(&message(0, &pad))?.len() - bytes;
        Ok(Self { pad: pad[excess..].to_owned(), made: 0 })
    }

    /// How many it made.
    pub fn made(&self) -> usize {
        self.made
    }

    /// How many streams there are, if it made whole cohorts.
    pub fn streams(&self) -> usize {
        self.made / STREAM
    }

    /// The next events.
    ///
    /// # Errors
    /// If an event has no stored form.
    pub fn batch(&mut self, count: usize) -> anyhow::Result<Vec<Append>> {
        (0..count).map(|_| self.next()).collect()
    }

    fn next(&mut self) -> anyhow::Result<Append> {
        let number = self.made;
        self.made += 1;
        let (cohort, round) = (number / (COHORT * STREAM), number / COHORT % STREAM);
        let stream = stream(cohort * COHORT + number * 7_919 % COHORT)?;
        let seen = if round == 0 { 0 } else { number + 1 - COHORT };
        let message = message(number, &self.pad);
        let body = encoded(&message)?;
        Ok(Append { stream, expected: round as u64, seen: seen as u64, message, body })
    }
}

/// The stream of this number.
///
/// # Errors
/// Never; the name is well formed.
pub fn stream(number: usize) -> anyhow::Result<StreamId> {
    Ok(StreamId::new("order", &format!("{number:010}"))?)
}

/// The bytes of a message.
///
/// # Errors
/// If it has no stored form.
pub fn encoded(message: &Message) -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::with_capacity(512);
    binary::encode(message, &mut body)?;
    Ok(body)
}

/// A message about something of this number.
pub fn message(number: usize, text: &str) -> Message {
    let data =
        format!(r#"{{"orderId":"{number:010}","sku":"85123A","quantity":6,"unitPrice":"2.55","text":"{text}"}}"#);
    let id = |part: &str| MessageId::derived(&[part, &number.to_string()]);
    let envelope = Envelope {
        id: id("message"),
        kind: Kind::Event,
        type_name: Name::Static(TYPES[number / COHORT % TYPES.len()]),
        source: Name::Static("order-service"),
        data_version: Name::Static("1.0.0"),
        timestamp: Timestamp::UNIX_EPOCH,
        correlation_id: id("correlation"),
        causation_id: Some(id("cause")),
        partition_key: Arc::from(format!("{number:010}")),
        user_id: None,
        tenant: None,
        traceparent: None,
        metadata: None,
        depth: 1,
        digest: None,
        repeat_key: None,
    };
    Message { envelope, data: Arc::from(data.into_bytes()) }
}

/// Numbers below a bound, always the same ones: they follow from the seed alone.
pub struct Draw(u64);

impl Draw {
    /// The seed that all runs use, and print.
    pub const SEED: u64 = 7;

    /// From the seed.
    pub fn new() -> Self {
        Self(Self::SEED)
    }

    /// The next number below `below`.
    pub fn below(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % below.max(1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn events_have_the_length_asked_for_and_follow_each_other_in_their_streams() {
        let mut work = Work::of(400).unwrap();
        let mut heads = HashMap::new();
        for position in 1..=2 * (COHORT * STREAM) as u64 {
            let append = work.batch(1).unwrap().remove(0);
            assert_eq!(append.body.len(), 400);
            let head = heads.insert(append.stream, (append.expected + 1, position)).unwrap_or_default();
            assert_eq!((append.expected, append.seen), head);
        }
        assert_eq!(heads.len(), work.streams());
        assert!(heads.values().all(|(version, _)| *version == STREAM as u64));
        assert!((0..work.streams()).all(|number| heads.contains_key(&stream(number).unwrap())));
    }
}
