//! What can be asked about customers.

use factum::prelude::*;

use crate::contracts::{customer::CustomerEvent, ids::CustomerId, shapes::Address};

/// A customer.
#[derive(Clone, Debug, Row)]
#[row("customers")]
#[allow(missing_docs, reason = "the fields are those of the contract")]
pub struct CustomerRow {
    #[key]
    pub customer_id: CustomerId,
    pub name: Option<String>,
    #[index]
    pub email: Option<String>,
    pub phone: Option<String>,
    pub address: Option<Address>,
    pub registered_at: Timestamp,
}

/// Follows the customers.
pub fn customers(rows: &mut Rows<CustomerRow>, event: &Recorded<CustomerEvent>) {
    match &event.data {
        CustomerEvent::Registered(e) => rows.put(CustomerRow {
            customer_id: e.customer_id.clone(),
            name: e.name.clone(),
            email: e.email.clone(),
            phone: e.phone.clone(),
            address: e.address.clone(),
            registered_at: event.at(),
        }),
        CustomerEvent::Updated(e) => {
            _ = rows.update(&e.customer_id, |row| {
                // A field that is named but absent has been removed.
                let named = |field: &str| e.fields.iter().any(|name| name == field);
                if named("name") {
                    row.name.clone_from(&e.name);
                }
                if named("email") {
                    row.email.clone_from(&e.email);
                }
                if named("phone") {
                    row.phone.clone_from(&e.phone);
                }
                if named("address") {
                    row.address.clone_from(&e.address);
                }
            })
        }
    }
}
