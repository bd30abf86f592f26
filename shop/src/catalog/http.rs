//! Products over HTTP.

use axum::{Json, Router, extract::State, response::IntoResponse, routing::get};
use factum::{
    http::{After, IdempotencyKey, Key, Problem, position},
    money::UnitPrice,
    prelude::*,
};
use serde::{Deserialize, Deserializer, de};

use super::views::ProductRow;
use crate::{
    contracts::{catalog::RegisterProduct, ids::Sku},
    http::{Body, Paging, carry_out, check_text, one, page},
    money::price,
};

/// The routes of the catalog.
pub fn routes() -> Router<App> {
    Router::new().route("/products", get(list)).route("/products/{sku}", get(read).put(put))
}

async fn list(State(app): State<App>, After(after): After, paging: Paging) -> Result<impl IntoResponse, Problem> {
    page(app.rows::<ProductRow>().after(after), &paging).await
}

async fn read(State(app): State<App>, Key(sku): Key<Sku>, After(after): After) -> Result<impl IntoResponse, Problem> {
    one(app.rows::<ProductRow>().after(after), "product", sku).await
}

/// What a product is to be.
#[derive(Deserialize)]
struct Wanted {
    name: String,
    #[serde(deserialize_with = "decimal")]
    price: UnitPrice,
    active: Option<bool>,
}

fn decimal<'de, D: Deserializer<'de>>(deserializer: D) -> Result<UnitPrice, D::Error> {
    price(&String::deserialize(deserializer)?).map_err(de::Error::custom)
}

async fn put(
    State(app): State<App>,
    Key(sku): Key<Sku>,
    key: Option<IdempotencyKey>,
    Body { data, raw }: Body<Wanted>,
) -> Result<impl IntoResponse, Problem> {
    check_text("name", Some(&data.name))?;
    let active = data.active.unwrap_or(true);
    let row = ProductRow { sku: sku.clone(), name: data.name.clone(), price: data.price.clone(), active };
    let command = RegisterProduct { sku, name: data.name, price: data.price, active };
    let receipt = carry_out(&app, command, key.as_ref(), &[&raw]).await?;
    Ok((position(app.lineage(), receipt.position), Json(row)))
}
