//! Customers over HTTP.

use axum::{Json, Router, extract::State, response::IntoResponse, routing::get};
use factum::{
    http::{Body, IdempotencyKey, Key, Problem, encoded, position},
    prelude::*,
};
use serde::Deserialize;
use serde_json::json;

use super::views::CustomerRow;
use crate::{
    contracts::{
        customer::{RegisterCustomer, UpdateCustomer},
        ids::CustomerId,
    },
    http::{Asked, Nothing, Only, SentAddress, address, check_text, list, one},
};

/// The routes of the customers.
pub fn routes() -> Router<App> {
    Router::new().route("/customers", get(list::<CustomerRow, Nothing>)).route("/customers/{id}", get(read).put(put))
}

async fn read(
    State(app): State<App>,
    Key(id): Key<CustomerId>,
    Asked { after, .. }: Asked,
) -> Result<impl IntoResponse, Problem> {
    one(app.rows::<CustomerRow>().after(after), "customer", id).await
}

/// What is known of a customer; what is absent stays as it is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    name: Option<String>,
    email: Option<String>,
    phone: Option<String>,
    address: Option<SentAddress>,
}

/// Registers a customer, or updates one: both are asked for in one commit, and the one that does not fit changes nothing.
async fn put(
    State(app): State<App>,
    Key(customer_id): Key<CustomerId>,
    Only(Nothing {}): Only,
    key: Option<IdempotencyKey>,
    Body { data, .. }: Body<Known>,
) -> Result<impl IntoResponse, Problem> {
    check_text("name", data.name.as_deref())?;
    check_text("email", data.email.as_deref())?;
    check_text("phone", data.phone.as_deref())?;
    let address = address("address", data.address)?;
    let Known { name, email, phone, .. } = data;
    let update = UpdateCustomer {
        customer_id: customer_id.clone(),
        fields: Vec::new(),
        name: name.clone(),
        email: email.clone(),
        phone: phone.clone(),
        address: address.clone(),
    };
    let register = RegisterCustomer { customer_id: customer_id.clone(), name, email, phone, address };
    let now = app.now();
    let both = app.together().add(&register, now).add(&update, now).or_busy();
    let both = match &key {
        Some(key) => both.id(key.as_str()),
        None => both,
    };
    let receipts = both.execute().await?;
    let upto = receipts.iter().map(|receipt| receipt.position).max().unwrap_or_default();
    let links = json!({ "self": format!("/customers/{}", encoded(&customer_id)) });
    Ok((position(app.lineage(), upto), Json(json!({ "customerId": customer_id, "links": links }))))
}
