//! Customers over HTTP.

use axum::{Json, Router, extract::State, response::IntoResponse, routing::get};
use factum::{
    http::{After, IdempotencyKey, Key, Problem, encoded, position},
    id::MessageId,
    payload::Command,
    prelude::*,
};
use serde::Deserialize;
use serde_json::json;

use super::views::CustomerRow;
use crate::{
    contracts::{
        customer::{RegisterCustomer, UpdateCustomer},
        ids::CustomerId,
        shapes::Address,
    },
    http::{Body, Paging, check_address, check_text, one, page},
};

/// The routes of the customers.
pub fn routes() -> Router<App> {
    Router::new().route("/customers", get(list)).route("/customers/{id}", get(read).put(put))
}

async fn list(State(app): State<App>, After(after): After, paging: Paging) -> Result<impl IntoResponse, Problem> {
    page(app.rows::<CustomerRow>().after(after), &paging).await
}

async fn read(
    State(app): State<App>,
    Key(id): Key<CustomerId>,
    After(after): After,
) -> Result<impl IntoResponse, Problem> {
    one(app.rows::<CustomerRow>().after(after), "customer", id).await
}

/// What is known of a customer; what is absent stays as it is.
#[derive(Deserialize)]
struct Known {
    name: Option<String>,
    email: Option<String>,
    phone: Option<String>,
    address: Option<Address>,
}

/// Registers a customer, or updates one: both are asked for, and the one that does not fit changes nothing.
async fn put(
    State(app): State<App>,
    Key(customer_id): Key<CustomerId>,
    key: Option<IdempotencyKey>,
    Body { data, raw }: Body<Known>,
) -> Result<impl IntoResponse, Problem> {
    check_text("name", data.name.as_deref())?;
    check_text("email", data.email.as_deref())?;
    check_text("phone", data.phone.as_deref())?;
    check_address("address", data.address.as_ref())?;
    let Known { name, email, phone, address } = data;
    let update = UpdateCustomer {
        customer_id: customer_id.clone(),
        fields: Vec::new(),
        name: name.clone(),
        email: email.clone(),
        phone: phone.clone(),
        address: address.clone(),
    };
    let register = RegisterCustomer { customer_id: customer_id.clone(), name, email, phone, address };
    let mut receipt = step(&app, register, "register", key.as_ref(), &raw).await?;
    // A repeated registration must not bring back what was updated since.
    if !receipt.repeated {
        receipt = step(&app, update, "update", key.as_ref(), &raw).await?;
    }
    let links = json!({ "self": format!("/customers/{}", encoded(&customer_id)) });
    Ok((position(app.lineage(), receipt.position), Json(json!({ "customerId": customer_id, "links": links }))))
}

/// One of the two commands of a request. Each needs an id of its own.
async fn step<C: Command>(
    app: &App,
    command: C,
    name: &str,
    key: Option<&IdempotencyKey>,
    raw: &[u8],
) -> Result<Receipt, Problem> {
    let execution = app.execute(command).body(raw).or_busy();
    let execution = match key {
        Some(key) => execution.id(&MessageId::derived(&["customer", name, key.as_str()]).to_string()),
        None => execution,
    };
    Ok(execution.await?)
}
