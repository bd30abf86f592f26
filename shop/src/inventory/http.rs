//! Stock over HTTP.

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::IntoResponse,
    routing::{get, post},
};
use factum::{
    http::{Body, IdempotencyKey, Key, Problem, encoded, position},
    prelude::*,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{decider::DEFAULT_WAREHOUSE, views::StockRow};
use crate::{
    contracts::{
        ids::{Sku, WarehouseId},
        inventory::{AdjustStock, ReceiveStock},
    },
    http::{Asked, MAX_UNITS, Nothing, Only, carry_out, check_text, list, one, units},
};

/// The routes of the inventory.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/stock", get(list::<StockRow, Nothing>))
        .route("/stock/{sku}", get(read))
        .route("/stock/{sku}/receive", post(receive))
        .route("/stock/{sku}/adjust", post(adjust))
}

async fn read(
    State(app): State<App>,
    Key(sku): Key<Sku>,
    Asked { after, .. }: Asked,
) -> Result<impl IntoResponse, Problem> {
    one(app.rows::<StockRow>().after(after), "stock of", sku).await
}

/// What came.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Received {
    #[serde(default)]
    quantity: Value,
}

async fn receive(
    State(app): State<App>,
    Key(sku): Key<Sku>,
    Only(Nothing {}): Only,
    key: Option<IdempotencyKey>,
    Body { data, raw }: Body<Received>,
) -> Result<impl IntoResponse, Problem> {
    let quantity = quantity(&data.quantity, 1)?;
    let warehouse_id = WarehouseId::from(DEFAULT_WAREHOUSE);
    let command = ReceiveStock { sku: sku.clone(), quantity, warehouse_id };
    // All articles lie in one stream, so the article is part of what makes two requests the same.
    let receipt = carry_out(&app, command, key.as_ref(), &[sku.as_str().as_bytes(), &raw]).await?;
    Ok(booked(&app, &sku, quantity, &receipt))
}

/// What is corrected.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Adjusted {
    #[serde(default)]
    quantity: Value,
    reason: String,
}

async fn adjust(
    State(app): State<App>,
    Key(sku): Key<Sku>,
    Only(Nothing {}): Only,
    key: Option<IdempotencyKey>,
    Body { data, raw }: Body<Adjusted>,
) -> Result<impl IntoResponse, Problem> {
    let quantity = quantity(&data.quantity, -MAX_UNITS)?;
    check_text("reason", Some(&data.reason))?;
    let command = AdjustStock { sku: sku.clone(), quantity, reason: data.reason, warehouse_id: None };
    let receipt = carry_out(&app, command, key.as_ref(), &[sku.as_str().as_bytes(), &raw]).await?;
    Ok(booked(&app, &sku, quantity, &receipt))
}

fn quantity(sent: &Value, least: i64) -> Result<i64, Problem> {
    units(sent, least)
        .map_err(|wrong| Problem::invalid("bad_quantity", format!("`quantity` {wrong}")).with("field", "quantity"))
}

fn booked(app: &App, sku: &Sku, quantity: i64, receipt: &Receipt) -> impl IntoResponse + use<> {
    let body = json!({ "sku": sku, "quantity": quantity, "links": { "self": format!("/stock/{}", encoded(sku)) } });
    (StatusCode::OK, position(app.lineage(), receipt.position), Json(body))
}
