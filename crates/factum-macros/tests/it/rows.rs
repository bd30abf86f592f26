//! Rows: table, key, indexes by their names in the JSON body.

use factum_core::__private::serde_json::{self, json};
use factum_core::row::{IndexValue, Row};
use factum_macros::Row;

#[derive(Row, Clone, Debug, PartialEq)]
#[row("customer_totals")]
struct CustomerTotals {
    #[key]
    customer_id: u64,
    #[index]
    order_count: i64,
    #[index]
    #[serde(rename = "since")]
    first_order: String,
    #[index]
    last_order: Option<String>,
    note: Option<String>,
}

fn row() -> CustomerTotals {
    CustomerTotals { customer_id: 9, order_count: 3, first_order: "2011".into(), last_order: None, note: None }
}

#[test]
fn names_table_key_and_indexes() {
    assert_eq!(CustomerTotals::TABLE, "customer_totals");
    assert_eq!(CustomerTotals::INDEXES, ["orderCount", "since", "lastOrder"]);
    assert_eq!(row().key(), "9");
    assert_eq!(row().indexed(), [IndexValue::Integer(3), IndexValue::Text("2011".into()), IndexValue::Null]);
}

#[test]
fn is_stored_in_camel_case() {
    let json = json!({ "customerId": 9, "orderCount": 3, "since": "2011" });
    assert_eq!(serde_json::to_value(row()).unwrap(), json);
    assert_eq!(serde_json::from_value::<CustomerTotals>(json).unwrap(), row());
}
