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

/// Where an order came in was not noted before 1.1.0: of a cart's it is known.
pub fn channel(mut data: Value) -> Value {
    if let Some(fields) = data.as_object_mut() {
        let of_cart = fields.get("cartId").is_some_and(|cart| !cart.is_null());
        fields.entry("channel").or_insert_with(|| json!(if of_cart { "cart" } else { "unknown" }));
    }
    data
}

#[cfg(test)]
mod tests {
    use factum_testing::fixture::fixture;

    use crate::{
        contracts::{
            ids::OrderId,
            order::{OrderCreated, OrderStatus, SalesChannel},
            process::{PATIENCE, Process},
        },
        money::pence,
    };

    const DRAFT: &str = include_str!("../../contracts/examples/order.created/0.9.0.json");
    const FIRST: &str = include_str!("../../contracts/examples/order.created/1.0.0.json");
    const TODAY: &str = include_str!("../../contracts/examples/order.created/1.1.0.json");

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
            channel: SalesChannel::Unknown,
        };
        for name in ["order.created", "OrderPlaced"] {
            fixture(name, "0.9.0", DRAFT)
                .raised_by([crate::order::service(Process::default(), PATIENCE)])
                .is(&expected);
        }
    }

    #[test]
    fn an_order_of_the_first_version_gets_its_channel() {
        let today: OrderCreated = serde_json::from_str(TODAY).unwrap();
        assert_eq!(today.channel, SalesChannel::Cart);
        fixture("order.created", "1.0.0", FIRST)
            .raised_by([crate::order::service(Process::default(), PATIENCE)])
            .is(&today);
        let guest = FIRST.replace(r#""cartId": "b-1","#, "");
        let unknown = OrderCreated { cart_id: None, channel: SalesChannel::Unknown, ..today };
        fixture("order.created", "1.0.0", &guest)
            .raised_by([crate::order::service(Process::default(), PATIENCE)])
            .is(&unknown);
    }
}
