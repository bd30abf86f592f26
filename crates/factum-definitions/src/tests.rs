//! Definitions as people write them: what they come to, and what is told of those that are wrong.

use factum_core::{
    Timestamp,
    envelope::{Draft, Envelope, Kind, Message, Recorded, Spellings, Stored},
    error::HandlerError,
    group::Start,
    id::{MessageId, Name},
    money::{Currency, Money},
    payload::Event,
    pipeline::EventLate,
    reaction::{AnyFolding, Effect, Effects, Reaction},
    service::Service,
    stream::{Position, StreamId, StreamVersion},
};
use factum_macros::Event;
use serde_json::{Value as Json, json};

use crate::{Definitions, GROUPS, Problem, describe};

#[derive(Event, Clone, Debug)]
#[event("order.created")]
struct OrderCreated {
    order_id: String,
    customer_id: Option<String>,
    total: Money,
    pieces: i64,
}

#[derive(Event, Clone, Debug)]
#[event("order.cancelled")]
struct OrderCancelled {
    order_id: String,
    reason: String,
}

#[derive(Event, Clone, Debug)]
#[event("cart.item_added", own)]
struct ItemAdded {
    cart_id: String,
}

#[derive(Event)]
enum OrderEvent {
    Created(OrderCreated),
    Cancelled(OrderCancelled),
}

fn services() -> Vec<Service> {
    let orders = Reaction::new("make", |_: &Recorded<'_, ItemAdded>, _: &mut Effects| {}).emits::<OrderEvent>("order");
    let carts =
        Reaction::new("make", |_: &Recorded<'_, OrderCancelled>, _: &mut Effects| {}).emits::<ItemAdded>("cart");
    vec![
        Service::new("order").source("order-service").owns("order").reaction(orders),
        Service::new("cart").owns("cart").reaction(carts),
        Service::new("mail").react("created", |_: &Recorded<'_, OrderCreated>, _: &mut Effects| {}),
    ]
}

/// What a pipeline tells of these events: the stream's name and the data.
fn told(yaml: &str, events: &[(i64, Stored)]) -> Vec<(String, Json)> {
    let mut stored = Vec::new();
    for (second, event) in events {
        let mut event = event.clone();
        event.message.envelope.timestamp = Timestamp::from_second(*second).unwrap();
        stored.push(event);
    }
    let told = run(&*foldings(yaml).remove(0), stored).unwrap();
    told.iter().map(|(stream, event)| (stream.to_string(), data(event))).collect()
}

/// What the pipelines of a definition run as.
fn foldings(yaml: &str) -> Vec<Box<dyn AnyFolding>> {
    match Definitions::new().add("a.yaml", yaml).resolve(&services(), &Spellings::new()) {
        Ok(mut services) => services.remove(0).foldings,
        Err(problems) => panic!("{}\n{yaml}", sentences(&problems)),
    }
}

/// The data of a result, with its type.
fn data(result: &Stored) -> Json {
    let mut data: Json = serde_json::from_slice(&result.message.data).unwrap();
    data["type"] = json!(result.type_name());
    data
}

/// What a pipeline tells of these events, as the engine stores it.
fn run(folding: &dyn AnyFolding, events: Vec<Stored>) -> Result<Vec<(StreamId, Stored)>, HandlerError> {
    let (mut state, mut all) = (folding.blank(), Vec::new());
    for (index, event) in events.into_iter().enumerate() {
        let event = Stored { position: Position(index as u64 + 1), ..event };
        if !folding.reacts_to(event.type_name()) {
            continue;
        }
        folding.fold(&mut *state, &event, &mut false)?;
        let at = event.envelope().timestamp;
        let mut told = Vec::new();
        if let Some(due) = folding.due(&*state, &event)? {
            folding.stands(&mut *state, Position::START, Some(&due.through));
            told.extend(due.results);
        }
        for effect in folding.react(&*state, &event)? {
            let Effect::Emit(stream, draft) = effect else { panic!("{effect:?}") };
            told.push((stream, draft, at));
        }
        all.extend(told.into_iter().map(|(stream, Draft { type_name, version, data }, at)| {
            let envelope = Envelope { type_name, data_version: version, timestamp: at, ..event.envelope().clone() };
            (stream.clone(), Stored { stream, message: Message { envelope, data }, ..event.clone() })
        }));
    }
    Ok(all)
}

fn stored<E: Event>(event: &E) -> Stored {
    let Draft { type_name, version, data } = Draft::of(event).unwrap();
    let id = MessageId::derived(&["test"]);
    let envelope = Envelope {
        correlation_id: id.clone(),
        id,
        kind: Kind::Event,
        type_name,
        source: Name::Static("order-service"),
        data_version: version,
        timestamp: Timestamp::UNIX_EPOCH,
        causation_id: None,
        partition_key: "1".into(),
        user_id: None,
        tenant: None,
        traceparent: None,
        metadata: None,
        depth: 0,
        digest: None,
        repeat_key: None,
    };
    let stream = StreamId::new("order", "1").unwrap();
    Stored { position: Position(1), stream, version: StreamVersion(1), message: Message { envelope, data } }
}

fn created(second: i64, customer: Option<&str>, total: i64) -> (i64, Stored) {
    let event = OrderCreated {
        order_id: "1".to_owned(),
        customer_id: customer.map(str::to_owned),
        total: Money::new(total, Currency::GBP),
        pieces: total,
    };
    (second, stored(&event))
}

fn cancelled(second: i64) -> (i64, Stored) {
    (second, stored(&OrderCancelled { order_id: "1".to_owned(), reason: "late".to_owned() }))
}

fn sentences(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("{problem}\n")).collect()
}

const SAMPLE: &str = "
pipeline: customer-order-totals
input_stream: order-events
operations:
  - filter: \"type == 'order.created'\"
  - map: { customer: customerId, amount: total }
  - aggregate: { group_by: customer, sum: amount }
output_stream: customer-order-totals
";

/// The same in the shapes in which it is found.
const SHAPES: [&str; 10] = [
    SAMPLE,
    "
input_stream: order.created
operations: [ { map: { customer: data.customer_id, amount: event.data.total } }, { aggregate: { groupBy: customer, sum: amount } } ]
output_stream: customer_order_totals
",
    "
stream_processing:
  inputStream: order
  operations:
    - type: filter
      condition: event.type === \"order.created\" and data.pieces > 0
    - type: map
      fields: { customer: customerId, amount: total }
    - type: aggregate
      group_by: [customer]
      function: sum
      field: amount
  outputStream: customer-order-totals
",
    "
pipelines:
  customer-order-totals:
    input-stream: order_stream
    operations:
      - operation: filter
        expression: eventType == 'OrderCreated'
      - operation: map
        mapping: { customer: customerId, amount: total }
      - operation: aggregate
        groupBy: customer
        function: sum(amount)
    output-stream: customer-order-totals
",
    "
pipelines:
  - name: customer-order-totals
    input_stream: '*'
    operations:
      - filter: { type: order.created }
      - map:
          - customer: customerId
          - amount: total
      - group_by: customer
      - sum: amount
    output_stream: customer-order-totals
",
    "
pipeline:
  name: customer-order-totals
  input_stream: order-events
  operations:
    - filter: type == 'order.created'
    - map: 'customer: customerId, amount: total'
    - aggregate: group by customer, sum amount
  output_stream: customer-order-totals
",
    "
input_stream: order-events
operations:
  - \"filter(type == 'order.created')\"
  - 'map { customer: customerId, amount: total }'
  - aggregate sum(amount) by customer
output_stream: customer-order-totals
",
    "
input_stream: order-events
operations:
  filter: type == 'order.created'
  map: { customer: customerId, amount: total }
  aggregate:
    by: customer
    aggregations:
      sumAmount: sum(amount)
output_stream: customer-order-totals
",
    "
input_stream: order-events
operations:
  - filter: type == 'order.created'
  - map: [customerId as customer, total as amount]
  - aggregate: { key: customer, functions: [ { function: sum, field: amount, as: sumAmount } ] }
output_stream: customer-order-totals
",
    "
input_stream: order-events
operations:
  - filter: type == 'order.created'
  - map: { customer: customerId, amount: total }
  - aggregate: { group_by: customer, sumAmount: { sum: amount }, count: true }
output_stream: customer-order-totals
output_type: customer_order_totals.updated
",
];

#[test]
fn a_pipeline_is_read_in_the_shapes_in_which_people_write_it() {
    let events = [
        created(1, Some("c"), 5),
        cancelled(2),
        created(3, Some("d"), 1),
        created(4, None, 9),
        created(5, Some("c"), 6),
    ];
    let result = |customer: &str, sum: i64, count: u64| {
        let data = json!({
            "type": "customer_order_totals.updated", "customer": customer,
            "sumAmount": { "amount": sum, "currency": "GBP" }, "count": count,
        });
        (format!("customer_order_totals-{customer}"), data)
    };
    let wanted = [result("c", 5, 1), result("d", 1, 1), result("c", 11, 2)];
    for (at, shape) in SHAPES.iter().enumerate() {
        assert_eq!(told(shape, &events), wanted, "shape {at}: {shape}");
    }
}

#[test]
fn windows_several_functions_and_groups_of_several_fields() {
    let yaml = "
input_stream: order.created
operations:
  - aggregate:
      group_by: [customerId, total.currency]
      sum: pieces
      avg: [pieces, total]
      min: pieces
      window: { type: tumbling, size: 1m, lateness: 30s }
      emit: final
output_stream: minutes
";
    let events = [
        created(0, Some("a/b"), 1),
        created(59, Some("a/b"), 2),
        created(89, Some("c"), 1),
        created(90, Some("c"), 1),
        created(1, Some("c"), 1),
    ];
    let told = told(yaml, &events);
    assert_eq!(told.len(), 2, "{told:?}");
    let window = json!({ "from": "1970-01-01T00:00:00Z", "to": "1970-01-01T00:01:00Z" });
    let result = json!({
        "type": "minutes.updated", "customerId": "a/b", "currency": "GBP", "count": 2, "window": window,
        "sumPieces": 3, "minPieces": 1, "avgPieces": "1.5", "avgTotal": { "amount": 2, "currency": "GBP" },
    });
    assert_eq!(told[0], ("minutes-a%2Fb/GBP".to_owned(), result));
    assert_eq!((told[1].1["type"].as_str(), told[1].1["key"].as_str()), (Some(EventLate::TYPE), Some("c/GBP")));
}

#[test]
fn filters_say_what_they_say_also_of_what_is_absent() {
    let events = [created(1, Some("c"), 5), created(2, None, 9), cancelled(3)];
    for (filter, wanted) in [
        ("true", 3),
        ("customerId != null", 1),
        ("has(data.customerId) || reason == 'late'", 2),
        ("total.amount != null && total.amount > 5", 1),
        ("total.amount == null", 1),
        ("not (type == 'order.cancelled')", 2),
        ("type != 'order-cancelled' and event.data.pieces >= 5", 2),
        ("customer_id == null", 2),
        ("source.startsWith('order') && size(orderId) == 1", 3),
        ("event.source == 'order-service' ? orderId in ['1', '2'] : false", 3),
        ("string(1) + 'a' == \"1a\"", 3),
    ] {
        let filter = filter.replace('"', "\\\"");
        let yaml =
            format!("input_stream: order\noperations:\n  - filter: \"{filter}\"\n  - count: true\noutput_stream: x\n");
        let last = told(&yaml, &events).last().map_or(json!(0), |(_, data)| data["count"].clone());
        assert_eq!(last, json!(wanted), "{filter}");
    }
}

#[test]
fn one_pipeline_reads_what_another_tells() {
    let yaml = format!(
        "{SAMPLE}---\ninput_stream: customer-order-totals\noperations: [{{ aggregate: {{ max: count }} }}]\noutput_stream: busiest\n"
    );
    let service = Definitions::new().add("a.yaml", &yaml).resolve(&services(), &Spellings::new()).unwrap().remove(0);
    assert_eq!(service.foldings[1].folded()[0].name, "customer_order_totals.updated");
    assert_eq!(service.foldings[1].makes().events[0].0, "busiest");
}

#[test]
fn another_meaning_is_another_version() {
    let version = |yaml: &str| {
        Definitions::new().add("a", yaml).resolve(&services(), &Spellings::new()).unwrap().remove(0).foldings[0]
            .version()
    };
    assert_eq!(version(SAMPLE), version(SAMPLE));
    assert_ne!(version(SAMPLE), version(&SAMPLE.replace("sum:", "max:")));
    // What stands where means nothing.
    assert_eq!(version(SAMPLE), version(&format!("# a comment\n{SAMPLE}")));
    assert_eq!(version(SAMPLE), version(&SAMPLE.replace("{ customer: customerId", "{  customer:  customerId")));
}

mod bounds;
mod chains;
mod mistakes;
mod sagas;

fn problems(yaml: &str) -> Vec<Problem> {
    Definitions::new().add("a.yaml", yaml).resolve(&services(), &Spellings::new()).err().unwrap_or_default()
}

#[test]
fn two_definitions_of_one_output_are_refused() {
    let found = problems(&format!("{SAMPLE}---{SAMPLE}"));
    assert_eq!(found.len(), 2, "{}", sentences(&found));
    assert!(found[0].sentence.contains("two pipelines") && found[1].sentence.contains("another definition"));
}

#[test]
fn groups_and_services_are_compared_with_the_program() {
    let good = "
consumer_group: order-processors
topics: [order-events, order.created]
offset_strategy: earliest
---
service: order-service
publishes: [order.created, order.cancelled]
consumes:
  - cart.item_added
---
mail:
  consumes: [OrderCreated]
";
    assert!(problems(good).is_empty(), "{}", sentences(&problems(good)));
    assert!(problems(&describe(&services())).is_empty(), "{}", describe(&services()));
    for (yaml, line, wanted) in [
        ("consumer_group: a\ntopics: []", 1, "reads nothing"),
        ("consumer_group: a\ntopics: [order]\noffset_strategy: middle", 3, "`earliest`, `latest`, `time: "),
        ("consumer_group: a\ntopics: [order]\noffset_strategy: {time: noon}", 3, "`time: 2026-01-01T00:00:00Z`"),
        ("consumer_group: a\ntopics: [order]\nlease: soon", 3, "a span of time, such as `30s`"),
        ("consumer_group: a\ntopics: [order]\nlease: 2d", 1, "a lease lasts 1 second to 12 hours"),
        ("consumer_group: a\ntopics: [order]\nattempts: many", 3, "a number from 1 to 1000"),
        ("consumer_group: a\ntopics: [order]\nattempts: 0", 1, "1 to 1000 attempts"),
        ("consumer_group: a\ntopics: [order]\nordered: perhaps", 3, "`true` or `false`"),
        ("consumer_group: Order Processors\ntopics: [order]", 1, "must start with a-z"),
        (
            "consumer_group: a\ntopics: [order]\n---\nconsumer_group: a\ntopics: [order]",
            4,
            "another consumer group is called `a`",
        ),
        ("consumer_group: a\ntopics: [order-evnts]", 2, "nothing is known of the topic `order-evnts`"),
        ("consumer_group: a\ntopcs: [order]", 2, "is `topics` meant?"),
        ("service: ordr\npublishes: []", 1, "is `order` meant?"),
        ("service: mail\npublishes: [order.created]", 2, "mail does not publish `order.created`, order does"),
        ("service: mail\nconsumes: [order.cancelled]", 2, "it reads order.created"),
        ("service: mail\nconsumes: [order.shipped]", 2, "there is no event `order.shipped`"),
        ("publishes: [order.created]", 1, "has no name"),
    ] {
        let found = problems(yaml);
        let hit = found.iter().any(|problem| problem.line == line && problem.sentence.contains(wanted));
        assert!(hit, "{wanted}: {}", sentences(&found));
    }
}

#[test]
fn a_group_runs_as_it_is_written() {
    let group = |yaml: &str| {
        let found = Definitions::new().add("g.yaml", yaml).resolve(&services(), &Spellings::new()).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].name, GROUPS);
        found.into_iter().flat_map(|service| service.groups).next().unwrap()
    };
    let plain = group("consumer_group: order-processors\ntopics: [order-events]\noffset_strategy: earliest");
    let names = ["order.cancelled", "order.created"];
    assert_eq!((plain.name(), plain.topics().into_iter().collect::<Vec<_>>()), ("order-processors", names.to_vec()));
    let defaults = (plain.starts(), plain.lease_time().as_secs(), plain.most_attempts(), plain.is_ordered());
    assert_eq!(defaults, (Start::Earliest, 30, 5, true));
    let full = group(
        "consumer_groups:\n  printers:\n    topics: OrderCreated\n    lease: 5m\n    attempts: 2\n    ordered: no\n    offset: latest",
    );
    let said = (full.name(), full.starts(), full.lease_time().as_secs(), full.most_attempts(), full.is_ordered());
    assert_eq!(said, ("printers", Start::Latest, 300, 2, false));
    let at: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    for (written, start) in [
        ("{time: 2026-01-01T00:00:00Z}", Start::Time(at)),
        ("'time: 2026-01-01T00:00:00Z'", Start::Time(at)),
        ("time:2026-01-01T00:00:00Z", Start::Time(at)),
        ("{position: 42}", Start::Position(Position(42))),
        ("position:42", Start::Position(Position(42))),
        ("Latest", Start::Latest),
    ] {
        assert_eq!(group(&format!("consumer_group: a\ntopics: [order]\noffset_strategy: {written}")).starts(), start);
    }
}

#[test]
fn nothing_that_is_read_makes_it_panic_or_run_for_ever() {
    let texts: Vec<&str> = SHAPES.into_iter().chain(mistakes::MISTAKES.map(|(yaml, ..)| yaml)).collect();
    let mut random = fastrand::Rng::with_seed(7);
    let parts = [
        "'", "\"", "{", "}", "[", "]", ":", "- ", "\n", "&a ", "*a", "!!x ", "||", "(", ")", "9", "é", "\t", "? ", "%",
        "\0",
    ];
    for _ in 0..3_000 {
        let mut text: Vec<char> = texts[random.usize(0..texts.len())].chars().collect();
        for _ in 0..random.usize(1..6) {
            let at = random.usize(0..=text.len());
            match random.u8(0..3) {
                0 => drop(text.drain(at.saturating_sub(random.usize(0..9))..at)),
                _ => drop(text.splice(at..at, parts[random.usize(0..parts.len())].chars())),
            }
        }
        let text: String = text.into_iter().collect();
        let _ = Definitions::new().add("a", &text).resolve(&services(), &Spellings::new());
    }
    let deep = |open: &str, close: &str, times: usize| format!("{}1{}", open.repeat(times), close.repeat(times));
    for filter in [deep("(", ")", 400), deep("!", "", 900), deep("-", "", 900), deep("[", "]", 400), "a".repeat(2_000)]
    {
        let yaml = format!(
            "input_stream: order\noperations:\n  - filter: \"{filter} == 1\"\n  - count: true\noutput_stream: x"
        );
        assert!(!problems(&yaml).is_empty() || filter.starts_with(['!', '-']), "{filter}");
    }
    assert!(!problems(&deep("[", "]", 10_000)).is_empty());
    // Letters whose small ones have other lengths.
    for spoken in ["group by \u{212a}", &format!("group by {}", "\u{130}".repeat(10)), "sum \u{130} by \u{212a}\u{23a}"]
    {
        let yaml = format!("input_stream: order\noperations:\n  - aggregate: \"{spoken}\"\noutput_stream: x");
        assert!(!problems(&yaml).is_empty(), "{spoken}");
    }
}
