//! Publishing: a batch is a transaction.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use factum_core::ports::transport::{Lane, Offset, Parcel, Publisher, TransportError};
use rdkafka::{
    ClientContext, Message as _,
    error::{KafkaError, RDKafkaErrorCode},
    message::{DeliveryResult, Header, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext},
};

use super::{
    ANSWER, OVERHEAD, Shared, client,
    error::{away, is_fenced, wrong},
};

/// How often it is looked what was acknowledged.
const TICK: Duration = Duration::from_millis(1);

/// What became of the messages of a batch, by their places in it.
#[derive(Default)]
struct Acks(Mutex<Vec<Option<Offset>>>);

impl Acks {
    fn lock(&self) -> MutexGuard<'_, Vec<Option<Offset>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Acks {}

impl ProducerContext for Acks {
    type DeliveryOpaque = Box<usize>;

    fn delivery(&self, result: &DeliveryResult<'_>, at: Box<usize>) {
        if let Ok(message) = result
            && let Some(ack) = self.lock().get_mut(*at)
        {
            *ack = Some(Offset(message.offset().to_string().into()));
        }
    }
}

pub(super) struct KafkaPublisher {
    shared: Arc<Shared>,
    producer: BaseProducer<Acks>,
    /// Why it takes nothing more.
    ended: Option<TransportError>,
}

impl KafkaPublisher {
    /// Ends every earlier one of this name.
    pub(super) fn begin(shared: Arc<Shared>, name: &str) -> Result<Self, TransportError> {
        let mut config = client(&shared.options);
        config.set("transactional.id", name).set("acks", "all").set("linger.ms", "0");
        config.set("message.max.bytes", (shared.options.largest + OVERHEAD).to_string());
        config.set("batch.size", (512 << 10).to_string()).set("queue.buffering.max.messages", "1000000");
        let producer: BaseProducer<Acks> = config.create_with_context(Acks::default()).map_err(wrong)?;
        producer.init_transactions(ANSWER).map_err(away)?;
        Ok(Self { shared, producer, ended: None })
    }

    fn send(&self, batch: &[(Lane, Parcel)]) -> Result<(), KafkaError> {
        self.producer.begin_transaction()?;
        for (at, (lane, parcel)) in batch.iter().enumerate() {
            let headers = parcel
                .headers
                .iter()
                .fold(OwnedHeaders::new_with_capacity(parcel.headers.len()), |all, (name, value)| {
                    all.insert(Header { key: name, value: Some(value.as_str()) })
                });
            let mut record = BaseRecord::with_opaque_to(&lane.topic, Box::new(at))
                .partition(i32::try_from(lane.number).unwrap_or(i32::MAX))
                .payload(parcel.body.as_slice())
                .headers(headers);
            if let Some(key) = parcel.key.as_deref() {
                record = record.key(key);
            }
            // A queue that is full is emptied by the broker.
            while let Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) =
                self.producer.send(record)
            {
                self.producer.poll(TICK);
                record = back;
            }
        }
        // The client's own waiting for acknowledgements, behind which it commits, takes a tenth of a second each time.
        let until = Instant::now() + ANSWER;
        while self.producer.in_flight_count() > 0 && Instant::now() < until {
            self.producer.poll(TICK);
        }
        self.producer.commit_transaction(ANSWER)
    }

    fn failed(&self, error: KafkaError) -> TransportError {
        match self.producer.client().fatal_error() {
            Some((code, why)) if is_fenced(code) => TransportError::Fenced(why),
            _ => away(error),
        }
    }
}

impl Publisher for KafkaPublisher {
    fn publish(&mut self, batch: &[(Lane, Parcel)]) -> Result<Vec<Option<Offset>>, TransportError> {
        if let Some(ended) = &self.ended {
            return Err(ended.clone());
        }
        let largest = self.shared.options.largest;
        for (at, (lane, parcel)) in batch.iter().enumerate() {
            self.shared.is_lane(lane)?;
            let bytes = parcel.bytes();
            if bytes > largest {
                return Err(TransportError::TooLarge { at, bytes, largest });
            }
            if parcel.delay.is_some() {
                return Err(TransportError::Permanent("Kafka holds no message back: use a timer".to_owned()));
            }
        }
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        *self.producer.context().lock() = vec![None; batch.len()];
        match self.send(batch) {
            Ok(()) => Ok(std::mem::take(&mut *self.producer.context().lock())),
            Err(error) => {
                let error = self.failed(error);
                // What it still holds goes with it: it must not come behind what another one publishes.
                self.ended = Some(error.clone());
                Err(error)
            }
        }
    }
}
