//! What is wrong, and the sentences that are told of it.

use factum_core::envelope::Spellings;

use super::{problems, sentences, services};
use crate::{Definitions, Problem};

/// A mistake, the line that it is told of, and what the sentence says.
pub const MISTAKES: [(&str, usize, &str); 37] = [
    ("input_stream: x\noperations: [{count: true}]\noutput_stream: x", 1, "only what it tells"),
    (
        "input_stream: order\noperations:\n  - filter: sise(reason) > 1\n  - count: true\noutput_stream: x",
        3,
        "is `size` meant?",
    ),
    ("input_stream: [", 2, "this is not YAML"),
    ("just a text", 1, "no definition"),
    ("pipelin:\n  x: 1", 1, "is `pipeline` meant?"),
    ("input_stream: order\noutput_stream: x", 1, "has no `operations`"),
    ("operations: []\noutput_stream: x", 1, "has no `input_stream`"),
    ("input_stream: order\noperations: [{count: true}]", 1, "has no `output_stream`"),
    ("input_stream: order\ninput_stream: cart\noperations: [{count: true}]\noutput_stream: x", 2, "twice"),
    ("input_stream: order\noperations: [{count: true}]\noutput_stram: x", 3, "is `output_stream` meant?"),
    ("input_stream: ordr-events\noperations: [{count: true}]\noutput_stream: x", 1, "is `order` meant?"),
    ("input_stream: cart.item_added\noperations: [{count: true}]\noutput_stream: x", 1, "own event of cart"),
    ("input_stream: order\noperations:\n  - filtr: a\noutput_stream: x", 3, "is `filter` meant?"),
    (
        "input_stream: order\noperations:\n  - filter: \"type == 'order.creatd'\"\n  - count: true\noutput_stream: x",
        3,
        "is `order.created` meant?",
    ),
    (
        "input_stream: order\noperations:\n  - filter: custmer_id == '1'\n  - count: true\noutput_stream: x",
        3,
        "is `customerId` meant?",
    ),
    (
        "input_stream: order\noperations:\n  - filter: \"total >\"\n  - count: true\noutput_stream: x",
        3,
        "is no expression",
    ),
    (
        "input_stream: order.created\noperations:\n  - filter: total > 5\n  - count: true\noutput_stream: x",
        3,
        "write `total.amount`",
    ),
    (
        "input_stream: order.created\noperations:\n  - filter: pieces > 5.5\n  - count: true\noutput_stream: x",
        3,
        "not exact",
    ),
    (
        "input_stream: order.created\noperations:\n  - filter: \"[1].all(x, x > 0)\"\n  - count: true\noutput_stream: x",
        3,
        "loops",
    ),
    (
        "input_stream: order.created\noperations:\n  - map: {}\n  - count: true\noutput_stream: x",
        3,
        "a map names fields",
    ),
    (
        "input_stream: order\noperations:\n  - map: { a: orderId }\n  - aggregate: { group_by: orderId }\noutput_stream: x",
        4,
        "there is no `orderId`: there is a",
    ),
    ("input_stream: order\noperations:\n  - aggregate: { smu: total }\noutput_stream: x", 3, "is `sum` meant?"),
    (
        "input_stream: order\noperations:\n  - aggregate: { function: median, field: total }\noutput_stream: x",
        3,
        "no function of an aggregate",
    ),
    ("input_stream: order\noperations:\n  - aggregate: { sum: }\noutput_stream: x", 3, "needs a field"),
    (
        "input_stream: order\noperations:\n  - aggregate: { count: true, window: soon }\noutput_stream: x",
        3,
        "no length of a window",
    ),
    (
        "input_stream: order\noperations:\n  - aggregate: { count: true, window: 1m, every: 1h }\noutput_stream: x",
        3,
        "leave out",
    ),
    (
        "input_stream: order\noperations:\n  - aggregate: { count: true, lateness: 1m }\noutput_stream: x",
        3,
        "belongs to a window",
    ),
    (
        "input_stream: order\noperations:\n  - count: true\n  - filter: count > 1\noutput_stream: x",
        1,
        "the last of the `operations`",
    ),
    ("input_stream: order\noperations: [{count: true}]\noutput_stream: cart", 3, "belong to the service cart"),
    (
        "input_stream: order\noperations: [{count: true}]\noutput_stream: x\noutput_type: order.created",
        4,
        "published by order",
    ),
    (
        "input_stream: order\noperations: [{count: true}]\noutput_stream: x\noffset_strategy: middle",
        4,
        "no place to begin",
    ),
    (
        "input_stream: order\noperations:\n  - aggregate: { count: true, window: 1h, final_only: perhaps }\noutput_stream: x",
        3,
        "is `true` or `false`",
    ),
    (
        "input_stream: order\noperations:\n  - aggregate: { count: true, window: 1h, lateness: [1h] }\noutput_stream: x",
        3,
        "is one value, and this is a list",
    ),
    (
        "input_stream: order\noperations:\n  - aggregate: { count: true, window: { size: { a: 1 } } }\noutput_stream: x",
        3,
        "is one value, and this is a map",
    ),
    ("input_stream: order\noperations: [{count: true}]\noutput_stream: x\nwas: order.created", 4, "a type of today"),
    ("input_stream: order\noperations: [{count: true}]\noutput_stream: x\nwas: x.updated", 4, "a type of today"),
    ("input_stream: order\noperations: [{count: true}]\noutput_stream: x\nwas: [No Type]", 4, "type"),
];

#[test]
fn each_mistake_gets_a_sentence_with_its_line() {
    for (yaml, line, wanted) in MISTAKES {
        let found = problems(yaml);
        let hit = found.iter().any(|problem| problem.line == line && problem.sentence.contains(wanted));
        assert!(hit, "`{wanted}` in line {line} of:\n{yaml}\nis not in:\n{}", sentences(&found));
    }
}

#[test]
fn all_mistakes_of_all_files_are_told_at_once() {
    let bad = "input_stream: ordr
operations:
  - filter: totl > 1
  - aggregate: { smu: total, window: soon }
outputt: x
output_stream: y
";
    let found = problems(bad);
    let lines: Vec<usize> = found.iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [1, 4, 4, 5], "{}", sentences(&found));
    let bad = "input_stream: order
operations:
  - filter: totl > 1
  - map: { a: custmer }
  - aggregate: { avrg: a, window: soon, group_by: b }
output_stream: y
";
    let found = Definitions::new()
        .add("1.yaml", bad)
        .add("2.yaml", "consumer_group: x\ntopics: [ordr]")
        .resolve(&services(), &Spellings::new());
    let told: Vec<String> = found.err().unwrap().iter().map(Problem::to_string).collect();
    assert_eq!(told.len(), 6, "{told:#?}");
    assert!(told[5].starts_with("2.yaml:2:10: nothing is known of the topic `ordr`: is `order` meant?"), "{told:#?}");
}

#[test]
fn truth_values_are_read_as_people_write_them() {
    let emits = |is: &str| {
        let yaml = format!(
            "input_stream: order\noperations:\n  - aggregate: {{ count: true, window: 1m, final_only: {is} }}\noutput_stream: x"
        );
        super::told(&yaml, &[super::cancelled(1), super::cancelled(61)]).len()
    };
    for is in ["true", "True", "TRUE", "yes", "on"] {
        assert_eq!(emits(is), 1, "{is}: the closed one");
    }
    for is in ["false", "No", "OFF"] {
        assert_eq!(emits(is), 2, "{is}: each change");
    }
    for count in ["True", "YES", "'*'"] {
        let yaml = format!("input_stream: order\noperations:\n  - count: {count}\noutput_stream: x");
        assert!(problems(&yaml).is_empty(), "{}", sentences(&problems(&yaml)));
    }
}
