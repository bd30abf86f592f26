//! Reading: partitions that are assigned by hand, from offsets that the reader keeps.

use std::{
    collections::BTreeMap,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use factum_core::{
    Timestamp,
    ports::transport::{Consumer, Delivery, Lane, Offset, Parcel, Start, TransportError},
};
use rdkafka::{
    Message as _, Offset as At, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
    message::{BorrowedMessage, Headers as _},
};

use super::{ANSWER, LOOK, Shared, client, error::away};

/// Messages to answer at once.
const MESSAGES: usize = 1_000;
/// Bytes to answer at once, about.
const BYTES: usize = 8 << 20;

pub(super) struct KafkaConsumer {
    consumer: BaseConsumer,
    /// The offset that comes next on each lane.
    next: BTreeMap<Lane, i64>,
    /// An error that came behind messages.
    failed: Option<KafkaError>,
}

/// What it begins with cannot be had.
type Refused = TransportError;

impl KafkaConsumer {
    pub(super) fn begin(
        shared: &Shared,
        name: &str,
        lanes: &[(Lane, Start)],
    ) -> Result<Result<Self, Refused>, KafkaError> {
        let mut config = client(&shared.options);
        config.set("group.id", name).set("enable.auto.commit", "false").set("enable.auto.offset.store", "false");
        config.set("auto.offset.reset", "error").set("isolation.level", "read_committed");
        // What is read ahead of who takes it is bounded, for each lane.
        config.set("queued.max.messages.kbytes", "16384").set("fetch.wait.max.ms", "100");
        let consumer: BaseConsumer = config.create()?;
        let mut next = BTreeMap::new();
        for (lane, start) in lanes {
            match begins(&consumer, lane, start)? {
                Ok(offset) => next.insert(lane.clone(), offset),
                Err(refused) => return Ok(Err(refused)),
            };
        }
        consumer.assign(&list(next.iter().map(|(lane, offset)| (lane, *offset)))?)?;
        Ok(Ok(Self { consumer, next, failed: None }))
    }

    /// Why the broker gives nothing more: what comes next is gone, or something else.
    fn why(&self, error: KafkaError) -> TransportError {
        use RDKafkaErrorCode::{AutoOffsetReset, OffsetOutOfRange};
        if !matches!(error.rdkafka_error_code(), Some(AutoOffsetReset | OffsetOutOfRange)) {
            return away(error);
        }
        for (lane, next) in &self.next {
            match bounds(&self.consumer, lane) {
                Ok((low, _)) if *next < low => return gone(lane, *next, low),
                Ok(_) => {}
                Err(unknown) => return away(unknown),
            }
        }
        TransportError::Permanent(format!(
            "a lane is not where it was left, perhaps since its topic was made anew: {error}"
        ))
    }
}

impl Consumer for KafkaConsumer {
    fn poll(&mut self, long: Duration) -> Result<Vec<Delivery>, TransportError> {
        if let Some(error) = self.failed.take() {
            return Err(self.why(error));
        }
        let (until, mut came, mut bytes) = (Instant::now() + long, Vec::new(), 0);
        while came.len() < MESSAGES && bytes < BYTES {
            let left = if came.is_empty() { until.saturating_duration_since(Instant::now()) } else { Duration::ZERO };
            match self.consumer.poll(left) {
                Some(Ok(message)) => {
                    let Some((lane, next)) = self.next.iter_mut().find(|(lane, _)| is_of(lane, &message)) else {
                        continue;
                    };
                    *next = message.offset() + 1;
                    bytes += message.payload_len() + message.key_len();
                    came.push(delivery(lane.clone(), &message));
                }
                Some(Err(error)) if came.is_empty() => return Err(self.why(error)),
                Some(Err(error)) => {
                    self.failed = Some(error);
                    break;
                }
                None => break,
            }
        }
        Ok(came)
    }

    fn pause(&mut self, lanes: &[Lane], paused: bool) -> Result<(), TransportError> {
        if let Some(lane) = lanes.iter().find(|lane| !self.next.contains_key(lane)) {
            return Err(TransportError::Permanent(format!("lane {lane} is not read here")));
        }
        let list = list(lanes.iter().map(|lane| (lane, 0))).map_err(away)?;
        if paused { self.consumer.pause(&list) } else { self.consumer.resume(&list) }.map_err(away)
    }

    fn settle(&mut self, through: &[(Lane, Offset)]) -> Result<(), TransportError> {
        let mut places = Vec::with_capacity(through.len());
        for (lane, offset) in through {
            places.push((lane, number(lane, offset)? + 1));
        }
        if places.is_empty() {
            return Ok(());
        }
        let list = list(places.into_iter()).map_err(away)?;
        self.consumer.commit(&list, CommitMode::Async).map_err(away)
    }
}

fn is_of(lane: &Lane, message: &BorrowedMessage<'_>) -> bool {
    u32::try_from(message.partition()) == Ok(lane.number) && *lane.topic == *message.topic()
}

/// The message as it arrives. Keys and headers of others that are no text are read as far as they are.
fn delivery(lane: Lane, message: &BorrowedMessage<'_>) -> Delivery {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers = message.headers().map_or(Vec::new(), |headers| {
        headers.iter().map(|header| (header.key.to_owned(), header.value.map_or(String::new(), text))).collect()
    });
    let at = message.timestamp().to_millis().and_then(|millis| Timestamp::from_millisecond(millis).ok());
    let (key, body) = (message.key().map(|key| Arc::from(text(key))), message.payload().unwrap_or_default().to_vec());
    Delivery {
        lane,
        offset: Offset(message.offset().to_string().into()),
        at,
        parcel: Parcel { key, headers, body, delay: None },
    }
}

/// The offset that a lane begins with.
fn begins(consumer: &BaseConsumer, lane: &Lane, start: &Start) -> Result<Result<i64, Refused>, KafkaError> {
    let (low, high) = bounds(consumer, lane)?;
    Ok(Ok(match start {
        Start::Earliest => low,
        Start::Latest => high,
        Start::At(time) => {
            let asked = list([(lane, time.as_millisecond().max(0))].into_iter())?;
            match consumer.offsets_for_times(asked, ANSWER)?.elements().first().map(|found| found.offset()) {
                Some(At::Offset(offset)) => offset,
                // Nothing is as late as that.
                _ => high,
            }
        }
        Start::After(offset) => match number(lane, offset) {
            Ok(number) if number + 1 < low => return Ok(Err(gone(lane, number + 1, low))),
            Ok(number) if number < high => number + 1,
            Ok(_) => {
                let why = format!(
                    "lane {lane} has no offset {offset}: it ends before {high}, as if its topic had been made anew"
                );
                return Ok(Err(TransportError::Permanent(why)));
            }
            Err(wrong) => return Ok(Err(wrong)),
        },
    }))
}

/// The first offset that is there, and the one behind the last. A lane whose leader is being chosen is waited for.
pub(super) fn bounds(consumer: &BaseConsumer, lane: &Lane) -> Result<(i64, i64), KafkaError> {
    use RDKafkaErrorCode::{LeaderNotAvailable, NotLeaderForPartition, UnknownTopicOrPartition};
    let (number, until) = (i32::try_from(lane.number).unwrap_or(i32::MAX), Instant::now() + ANSWER);
    loop {
        let asked = consumer.fetch_watermarks(&lane.topic, number, ANSWER);
        let code = asked.as_ref().err().and_then(KafkaError::rdkafka_error_code);
        match code {
            Some(LeaderNotAvailable | NotLeaderForPartition | UnknownTopicOrPartition) if Instant::now() < until => {
                thread::sleep(LOOK);
            }
            _ => return asked,
        }
    }
}

fn number(lane: &Lane, offset: &Offset) -> Result<i64, TransportError> {
    let number = offset.0.parse().ok().filter(|number| (0..i64::MAX).contains(number));
    number.ok_or_else(|| TransportError::Permanent(format!("`{offset}` is no offset of lane {lane}")))
}

fn gone(lane: &Lane, next: i64, low: i64) -> TransportError {
    let text = |offset: i64| Offset(offset.to_string().into());
    TransportError::Gone { lane: lane.clone(), after: text(next - 1), earliest: text(low) }
}

fn list<'a>(places: impl Iterator<Item = (&'a Lane, i64)>) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::new();
    for (lane, offset) in places {
        let partition = i32::try_from(lane.number).unwrap_or(i32::MAX);
        list.add_partition_offset(&lane.topic, partition, At::Offset(offset))?;
    }
    Ok(list)
}
