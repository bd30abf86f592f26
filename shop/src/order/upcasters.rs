//! How stored orders of an older shape are read.

use serde_json::{Value, json};

/// The draft of the contract had the total in two fields.
pub fn total(mut data: Value) -> Value {
    if let Some(fields) = data.as_object_mut()
        && let Some(amount) = fields.remove("totalAmount")
    {
        let currency = fields.remove("currency").unwrap_or_else(|| json!("GBP"));
        fields.insert("total".to_owned(), json!({ "amount": amount, "currency": currency }));
    }
    data
}
