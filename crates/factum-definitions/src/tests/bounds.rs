//! What a definition makes of an event has an end.

use super::*;

fn outcome(operations: &str, reason: &str) -> Result<Vec<(StreamId, Stored)>, HandlerError> {
    let yaml = format!("input_stream: order.cancelled\noperations:\n{operations}  - count: true\noutput_stream: x\n");
    let event = OrderCancelled { order_id: "1".to_owned(), reason: reason.to_owned() };
    run(&*foldings(&yaml).remove(0), vec![stored(&event)])
}

fn fails(operations: &str, reason: &str, wanted: &str) {
    let error = outcome(operations, reason).unwrap_err().to_string();
    assert!(error.contains(wanted) && error.len() < 1_000, "{error}");
}

#[test]
fn steps_that_double_what_the_one_before_made_end_in_a_letter() {
    let doubling = |times: usize| "  - map: { s: reason }\n".to_owned() + &"  - map: { s: s + s }\n".repeat(times);
    assert!(outcome(&doubling(4), &"x".repeat(64)).is_ok());
    fails(&doubling(24), &"x".repeat(64), "one step makes more than");
    fails(&doubling(40).replace("s + s", "'[s, s]'"), "x", "one step makes more than");
    fails(&doubling(40).replace("s + s", "'[[s]]'"), "x", "nested more than 64 deep");
}

#[test]
fn an_expression_that_names_a_long_text_often_ends_in_a_letter() {
    let sum = |times: usize| format!("  - filter: size({}) > 0\n", vec!["reason"; times].join(" + "));
    let long = "x".repeat(1_000_000);
    assert!(outcome(&sum(4), &long).is_ok());
    fails(&sum(100), &long, "has more than 4194304 bytes");
    fails("  - map: { a: reason, b: reason, c: reason }\n", &"x".repeat(500_000), "one step makes more than");
}

#[test]
fn there_are_so_many_operations_and_fields_at_most() {
    let of = |operations: &str| format!("input_stream: order\noperations:\n{operations}output_stream: x\n");
    let filters = |count: usize| of(&("  - filter: 'true'\n".repeat(count) + "  - count: true\n"));
    let fields = |count: usize, wrap: &str| {
        let fields: Vec<String> = (0..count).map(|field| format!("f{field}: orderId")).collect();
        of(&wrap.replace("FIELDS", &fields.join(", ")))
    };
    let map = "  - map: { FIELDS }\n  - count: true\n";
    let firsts = |count: usize| {
        let functions: Vec<String> = (0..count).map(|field| format!("f{field}: first(orderId)")).collect();
        of(&format!("  - aggregate: {{ {} }}\n", functions.join(", ")))
    };
    for good in [filters(63), fields(64, map), firsts(64)] {
        assert!(problems(&good).is_empty(), "{}", sentences(&problems(&good)));
    }
    for (bad, wanted) in [
        (filters(64), "there are 65 operations"),
        (fields(65, map), "there are 65 fields"),
        (firsts(65), "there are 65 fields and functions"),
    ] {
        assert!(problems(&bad)[0].sentence.contains(wanted), "{}", sentences(&problems(&bad)));
    }
}
