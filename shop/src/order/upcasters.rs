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

#[cfg(test)]
mod tests {
    use factum_testing::fixture::fixture;

    use crate::{
        contracts::{
            ids::OrderId,
            order::{OrderCreated, OrderStatus},
        },
        money::pence,
    };

    #[test]
    fn an_order_of_the_draft_is_read_as_todays_under_both_names() {
        let expected = OrderCreated {
            order_id: OrderId::from("7"),
            customer_id: None,
            cart_id: None,
            items: Vec::new(),
            subtotal: None,
            discount: None,
            tax: None,
            shipping_charge: None,
            total: pence(510),
            shipping_address: None,
            payment_method: None,
            status: OrderStatus::PendingValidation,
        };
        for name in ["order.created", "OrderPlaced"] {
            let stored = include_str!("upcasters/order.created-0.9.0.json");
            fixture(name, "0.9.0", stored)
                .raised_by([crate::order::service(
                    crate::contracts::process::Process::default(),
                    crate::contracts::process::PATIENCE,
                )])
                .is(&expected);
        }
    }
}
