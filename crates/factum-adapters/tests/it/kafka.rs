//! Kafka: the suite of brokers against a real one, and what is said when it cannot be used.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use factum_adapters::kafka::{self, Options};
use factum_core::ports::{
    Transport, TransportError,
    transport::{Durability, Lane, Offset, TopicSpec},
};
use factum_testing::{
    conformance::{self, Cannot},
    engines::kafka::Broker,
};
use futures_executor::block_on;
use rdkafka::{
    ClientConfig, Offset as At, TopicPartitionList,
    admin::{AdminClient, AdminOptions},
};

/// Topics of one broker, and brokers that are reached anew.
struct Topics {
    broker: Broker,
    made: u32,
}

/// `None`, and a line that says why, if there is no Kafka.
fn start() -> Option<Broker> {
    Broker::start().map_err(|why| eprintln!("left out: {why}")).ok()
}

/// A broker that has just begun may not answer yet.
fn reached(broker: &Broker, change: impl Fn(&mut Options)) -> Arc<dyn Transport> {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let mut options = Options::at(&broker.address());
        change(&mut options);
        match kafka::open(options) {
            Ok(kafka) => return Arc::new(kafka),
            Err(error) => assert!(Instant::now() < until, "{error}"),
        }
    }
}

impl conformance::transport::Subject for Topics {
    fn fresh(&mut self) -> (Arc<dyn Transport>, String) {
        self.made += 1;
        (reached(&self.broker, |_| ()), format!("orders-{}", self.made))
    }

    fn drop_before(&mut self, lane: &Lane, offset: &Offset) -> Result<(), Cannot> {
        let mut until = TopicPartitionList::new();
        let offset = At::Offset(offset.0.parse().unwrap());
        until.add_partition_offset(&lane.topic, lane.number as i32, offset).unwrap();
        let mut config = ClientConfig::new();
        let admin: AdminClient<_> = config.set("bootstrap.servers", self.broker.address()).create().unwrap();
        block_on(admin.delete_records(&until, &AdminOptions::new())).unwrap();
        Ok(())
    }

    fn restart(&mut self) -> Result<(), Cannot> {
        self.broker.kill();
        self.broker.go_on().unwrap();
        Ok(())
    }
}

#[test]
fn kafka_keeps_every_promise() {
    let Some(broker) = start() else { return };
    conformance::transport::run(&mut Topics { broker, made: 0 });
}

fn refused<T>(outcome: Result<T, TransportError>, sentence: &str) {
    let error = outcome.map(|_| ()).unwrap_err();
    assert!(matches!(&error, TransportError::Permanent(why) if why.contains(sentence)), "{error:?}");
}

#[test]
fn a_topic_that_would_lose_what_it_carries_is_refused() {
    let Some(broker) = start() else { return };
    let kafka = reached(&broker, |_| ());
    assert_eq!(kafka.abilities().durability, Durability::Os, "one broker acknowledges from memory");
    let day = Duration::from_secs(86_400);
    let wanted = |name: &str, keeps: Option<Duration>| TopicSpec { name: name.into(), lanes: 2, keeps };
    assert_eq!(kafka.topic(&wanted("week", Some(7 * day))).unwrap(), 2);
    assert_eq!(kafka.topic(&wanted("week", Some(day))).unwrap(), 2);
    refused(kafka.topic(&wanted("week", Some(8 * day))), "raise retention.ms");
    refused(kafka.topic(&wanted("no name!", None)), "Invalid topic");
    let larger = reached(&broker, |options| options.largest *= 2);
    refused(larger.topic(&wanted("week", None)), "raise max.message.bytes");
}

#[test]
fn what_cannot_be_reached_is_a_sentence_without_the_password() {
    let nobody = kafka::open(Options::at("127.0.0.1:1")).map(|_| ()).unwrap_err().to_string();
    assert!(nobody.contains("no broker at 127.0.0.1:1 answers"), "{nobody}");
    let set = |name: &str, value: &str| {
        let mut options = Options::at("127.0.0.1:1");
        options.connection.insert(name.to_owned(), value.to_owned());
        kafka::open(options).map(|_| ())
    };
    refused(set("acks", "0"), "`acks` is no setting of a connection");
    refused(set("sasl.nonsense", "sesame"), "Kafka cannot be used so");
    for name in ["sasl.nonsense", "security.protocol"] {
        let told = format!("{:?}", set(name, "sesame"));
        assert!(told.contains(name) && !told.contains("sesame"), "{told}");
    }
}
