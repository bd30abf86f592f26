//! Topics: made as they must be, or checked against that.

use std::{sync::Arc, thread, time::Instant};

use factum_core::ports::transport::{Lane, TopicSpec, TransportError};
use futures_executor::block_on;
use rdkafka::{
    admin::{AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer as _},
    metadata::Metadata,
    types::RDKafkaErrorCode,
};

use super::{ANSWER, LOOK, OVERHEAD, Options, REACH, consumer::bounds, error::away};

/// The brokers.
pub(super) fn cluster(asking: &BaseConsumer, brokers: &str) -> Result<Metadata, TransportError> {
    asking.fetch_metadata(Some("factum"), REACH).map_err(|error| match away(error) {
        TransportError::Away(why) => TransportError::Away(format!("no broker at {brokers} answers: {why}")),
        other => other,
    })
}

/// How many lanes a topic has, if it is there.
pub(super) fn lanes(asking: &BaseConsumer, topic: &Arc<str>) -> Result<Option<u32>, TransportError> {
    let found = asking.fetch_metadata(Some(topic), ANSWER).map_err(away)?;
    let Some(topic) = found.topics().first() else { return Ok(None) };
    match topic.error().map(RDKafkaErrorCode::from) {
        None => Ok(u32::try_from(topic.partitions().len()).ok().filter(|lanes| *lanes > 0)),
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => Ok(None),
        Some(code) => Err(away(rdkafka::error::KafkaError::MetadataFetch(code))),
    }
}

/// Waits until a topic that has just been made can be used.
pub(super) fn wait_for(asking: &BaseConsumer, topic: &Arc<str>) -> Result<u32, TransportError> {
    let until = Instant::now() + ANSWER;
    loop {
        if let Some(lanes) = lanes(asking, topic)? {
            for number in 0..lanes {
                bounds(asking, &Lane { topic: topic.clone(), number }).map_err(away)?;
            }
            return Ok(lanes);
        }
        if Instant::now() > until {
            return Err(TransportError::Away(format!("the topic {topic} was made, and no broker knows it yet")));
        }
        thread::sleep(LOOK);
    }
}

/// Makes a topic. It is no error if another one was faster.
pub(super) fn make(
    admin: &AdminClient<DefaultClientContext>,
    wanted: &TopicSpec,
    options: &Options,
    copies: i32,
) -> Result<(), TransportError> {
    let lanes = i32::try_from(wanted.lanes.max(1)).unwrap_or(i32::MAX);
    let largest = (options.largest + OVERHEAD).to_string();
    let keeps = wanted.keeps.map(|keeps| keeps.as_millis().to_string());
    // With three copies a message is acknowledged when two have it: one broker may be away, and none may be alone.
    let in_step = if copies > 2 { "2" } else { "1" };
    let mut topic = NewTopic::new(&wanted.name, lanes, TopicReplication::Fixed(copies))
        .set("cleanup.policy", "delete")
        .set("max.message.bytes", &largest)
        .set("min.insync.replicas", in_step);
    if let Some(keeps) = &keeps {
        topic = topic.set("retention.ms", keeps);
    }
    let made =
        block_on(admin.create_topics([&topic], &AdminOptions::new().operation_timeout(Some(ANSWER)))).map_err(away)?;
    for outcome in made {
        match outcome {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, code)) => {
                let told = format!("the topic {name} cannot be made: {code}");
                return Err(match away(rdkafka::error::KafkaError::AdminOp(code)) {
                    TransportError::Permanent(_) => TransportError::Permanent(told),
                    _ => TransportError::Away(told),
                });
            }
        }
    }
    Ok(())
}

/// Refuses a topic that would lose what it carries.
pub(super) fn check(
    admin: &AdminClient<DefaultClientContext>,
    wanted: &TopicSpec,
    options: &Options,
) -> Result<(), TransportError> {
    let settings = describe(admin, ResourceSpecifier::Topic(&wanted.name))?;
    let value = |name: &str| settings.get(name).and_then(|entry| entry.value.clone());
    let refused = |what: String| Err(TransportError::Permanent(format!("the topic {} {what}", wanted.name)));
    if value("cleanup.policy").is_some_and(|policy| policy.contains("compact")) {
        return refused(
            "is compacted, which drops messages that were not read yet: set cleanup.policy=delete".to_owned(),
        );
    }
    let number = |name: &str| value(name).and_then(|text| text.parse::<i128>().ok());
    let (keeps, least) = (number("retention.ms"), wanted.keeps.map(|keeps| keeps.as_millis() as i128));
    if let (Some(keeps), Some(least)) = (keeps, least)
        && (0..least).contains(&keeps)
    {
        return refused(format!(
            "keeps messages for {keeps} ms, and {least} ms are wanted: raise retention.ms, or say that less will do"
        ));
    }
    let room = (options.largest + OVERHEAD) as i128;
    if number("max.message.bytes").is_some_and(|largest| largest < room) {
        return refused(format!(
            "takes messages up to {} B, and with what comes beside it the largest of ours has {room} B: raise max.message.bytes, \
             or lower what is sent",
            number("max.message.bytes").unwrap_or_default()
        ));
    }
    Ok(())
}

/// Whether a broker that is alone flushes each message before it acknowledges it.
pub(super) fn flushes(admin: &AdminClient<DefaultClientContext>, cluster: &Metadata) -> Result<bool, TransportError> {
    let Some(broker) = cluster.brokers().first() else { return Ok(false) };
    let settings = describe(admin, ResourceSpecifier::Broker(broker.id()))?;
    Ok(settings.get("log.flush.interval.messages").is_some_and(|entry| entry.value.as_deref() == Some("1")))
}

fn describe(
    admin: &AdminClient<DefaultClientContext>,
    what: ResourceSpecifier<'_>,
) -> Result<ConfigResource, TransportError> {
    let told =
        block_on(admin.describe_configs([&what], &AdminOptions::new().request_timeout(Some(ANSWER)))).map_err(away)?;
    let first = told.into_iter().next();
    let none = || TransportError::Away("the broker does not tell its settings".to_owned());
    first.ok_or_else(none)?.map_err(|code| away(rdkafka::error::KafkaError::AdminOp(code)))
}
