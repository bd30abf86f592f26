//! Products over HTTP.

use axum::{Json, Router, extract::State, response::IntoResponse, routing::get};
use factum::{
    http::{Body, IdempotencyKey, Key, Problem, position},
    money::{Currency, UnitPrice},
    prelude::*,
};
use serde::{Deserialize, Deserializer, de};

use super::views::ProductRow;
use crate::{
    contracts::{catalog::RegisterProduct, ids::Sku},
    http::{Asked, Nothing, Only, carry_out, check_currency, check_text, list, one},
    money::price,
};

/// The routes of the catalog.
pub fn routes() -> Router<App> {
    Router::new().route("/products", get(list::<ProductRow, Nothing>)).route("/products/{sku}", get(read).put(put))
}

async fn read(
    State(app): State<App>,
    Key(sku): Key<Sku>,
    Asked { after, .. }: Asked,
) -> Result<impl IntoResponse, Problem> {
    one(app.rows::<ProductRow>().after(after), "product", sku).await
}

/// What a product is to be.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    name: String,
    #[serde(deserialize_with = "decimal")]
    price: UnitPrice,
    currency: Option<Currency>,
    active: Option<bool>,
}

fn decimal<'de, D: Deserializer<'de>>(deserializer: D) -> Result<UnitPrice, D::Error> {
    price(&String::deserialize(deserializer)?).map_err(de::Error::custom)
}

async fn put(
    State(app): State<App>,
    Key(sku): Key<Sku>,
    Only(Nothing {}): Only,
    key: Option<IdempotencyKey>,
    Body { data, raw }: Body<Wanted>,
) -> Result<impl IntoResponse, Problem> {
    check_text("name", Some(&data.name))?;
    check_currency("currency", data.currency)?;
    let active = data.active.unwrap_or(true);
    let row = ProductRow { sku: sku.clone(), name: data.name.clone(), price: data.price.clone(), active };
    let command = RegisterProduct { sku, name: data.name, price: data.price, active };
    let receipt = carry_out(&app, command, key.as_ref(), &[&raw]).await?;
    Ok((position(app.lineage(), receipt.position), Json(row)))
}
