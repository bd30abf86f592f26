//! Pipelines that read what others tell.

use super::*;

/// Runs the first of two, and the other one on what that tells.
fn chained(yaml: &str, events: Vec<Stored>) -> Vec<Json> {
    let [first, second] = &foldings(yaml)[..] else { panic!("two are expected") };
    let told = run(&**first, events).unwrap().into_iter().map(|(_, stored)| stored).collect();
    run(&**second, told).unwrap().iter().map(|(_, stored)| data(stored)).collect()
}

#[test]
fn names_that_are_written_otherwise_are_the_fields_that_the_other_tells() {
    let totals = "
input_stream: order.created
operations:
  - aggregate: { group_by: customer_id, sum: total_amount }
output_stream: totals
";
    // Also where the one that is read stands behind the one that reads it.
    let most = "
input_stream: totals
operations:
  - filter: \"sum_total_amount.amount > 5\"
  - aggregate: { group_by: customerId, max: sum_total_amount }
output_stream: most
";
    let totals = totals.replace("total_amount", "total").replace("input_stream", "inputStream");
    let most = most.replace("sum_total_amount", "sum_total");
    for yaml in [format!("{totals}---{most}"), format!("{most}---{totals}")] {
        let events = [created(1, Some("c"), 5), created(2, Some("c"), 6)].map(|(_, stored)| stored);
        let told = chained(&yaml, events.to_vec());
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!((&told[0]["customerId"], &told[0]["maxSumTotal"]["amount"]), (&json!("c"), &json!(11)));
    }
    let wrong = problems(&format!("{totals}---{}", most.replace("sum_total.amount", "sum_total")));
    assert!(wrong[0].sentence.contains("write `sumTotal.amount`"), "{}", sentences(&wrong));
}

#[test]
fn an_hour_counts_to_the_day_that_it_lies_in() {
    let yaml = "
input_stream: order.created
operations: [{ aggregate: { sum: pieces, window: 1h, emit: final } }]
output_stream: hours
---
input_stream: hours
operations: [{ aggregate: { sum: sumPieces, window: 1d } }]
output_stream: days
";
    // 22:30, 23:30, 00:30.
    let mut events = Vec::new();
    for (second, pieces) in [(81_000, 1), (84_600, 2), (88_200, 4)] {
        let (_, mut stored) = created(second, None, pieces);
        stored.message.envelope.timestamp = Timestamp::from_second(second).unwrap();
        events.push(stored);
    }
    let told = chained(yaml, events);
    let last = told.last().unwrap();
    assert_eq!(last["window"]["from"], json!("1970-01-01T00:00:00Z"), "{told:?}");
    assert_eq!(last["sumSumPieces"], json!(3), "{told:?}");
}

#[test]
fn results_are_read_by_their_own_names_only() {
    let hourly = "
input_stream: order
operations: [{ count: true }]
output_stream: hourly
output_type: order.hourly
";
    let daily = hourly.replace("hourly", "daily");
    for yaml in [format!("{hourly}---{daily}"), format!("{daily}---{hourly}")] {
        for folding in foldings(&yaml) {
            let mut read: Vec<&str> = folding.folded().iter().map(|info| info.name).collect();
            read.sort_unstable();
            assert_eq!(read, ["order.cancelled", "order.created"]);
        }
    }
    let read = foldings(&format!("{hourly}---{}", daily.replace("input_stream: order", "input_stream: order.hourly")));
    assert_eq!(read[1].folded()[0].name, "order.hourly");
}

#[test]
fn pipelines_that_would_feed_one_another_without_end_are_refused() {
    let one = "\ninput_stream: b\noperations: [{ count: true }]\noutput_stream: a\n";
    let other = "\ninput_stream: a\noperations: [{ count: true }]\noutput_stream: b\n";
    let beside = "\ninput_stream: a\noperations: [{ count: true }]\noutput_stream: c\n";
    let found = problems(&format!("{one}---{other}---{beside}"));
    assert_eq!(found.len(), 2, "{}", sentences(&found));
    assert!(found.iter().all(|problem| problem.sentence.contains("there would be no end")), "{}", sentences(&found));
}

#[test]
fn the_types_that_results_had_before_can_be_named() {
    let yaml = SAMPLE.replace("pipeline:", "was: [totals.updated, customer.totalled]\npipeline:");
    let folding = foldings(&yaml).remove(0);
    let (_, info) = folding.makes().events[0];
    assert_eq!((info.name, info.was), ("customer_order_totals.updated", &["totals.updated", "customer.totalled"][..]));
}
