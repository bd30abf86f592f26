//! Shipments over HTTP: reading them, and the carrier's news. What else changes them comes from orders.

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::IntoResponse,
    routing::{get, post},
};
use factum::{
    http::{After, Body, IdempotencyKey, Key, Problem, Query, encoded, position},
    prelude::*,
};
use serde::Deserialize;
use serde_json::json;

use super::{gateway, views::ShipmentRow};
use crate::{
    contracts::{
        ids::{OrderId, ShipmentId},
        shipping::ShipmentState,
    },
    http::{Paging, carry_out, check_id_field, missing, one, page},
};

/// The routes of the shipments.
pub fn routes() -> Router<App> {
    Router::new().route("/shipments", get(list)).route("/shipments/{id}", get(read)).route("/carrier/news", post(hear))
}

/// Which shipments.
#[derive(Deserialize)]
struct Filter {
    order: Option<OrderId>,
}

async fn list(
    State(app): State<App>,
    After(after): After,
    Query(filter): Query<Filter>,
    paging: Paging,
) -> Result<impl IntoResponse, Problem> {
    let mut rows = app.rows::<ShipmentRow>().after(after);
    if let Some(order) = &filter.order {
        rows = rows.equal("orderId", order);
    }
    page(rows, &paging).await
}

async fn read(
    State(app): State<App>,
    Key(id): Key<ShipmentId>,
    After(after): After,
) -> Result<impl IntoResponse, Problem> {
    one(app.rows::<ShipmentRow>().after(after), "shipment", id).await
}

/// What the carrier tells of a parcel.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct News {
    shipment_id: ShipmentId,
    state: NewsState,
    at: Timestamp,
}

/// How far a parcel is; what came before, the carrier has said in its answer.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum NewsState {
    Dispatched,
    Delivered,
    Failed,
}

/// News may come late, twice and in any order: what is known already changes nothing.
async fn hear(
    State(app): State<App>,
    key: Option<IdempotencyKey>,
    Body { data, raw }: Body<News>,
) -> Result<impl IntoResponse, Problem> {
    check_id_field("shipmentId", data.shipment_id.as_str())?;
    // The carrier may be faster than the view: a shipment that it was asked about must not be unknown here.
    let now = app.position();
    let known = app.rows::<ShipmentRow>().after(now).get(&data.shipment_id).await?;
    let shipment = known.ok_or_else(|| missing("shipment", &data.shipment_id))?.shipment_id;
    let state = match data.state {
        NewsState::Dispatched => ShipmentState::Dispatched,
        NewsState::Delivered => ShipmentState::Delivered,
        NewsState::Failed => ShipmentState::Failed,
    };
    let receipt = carry_out(&app, gateway::record(&shipment, data.at, state), key.as_ref(), &[&raw]).await?;
    let body = json!({ "shipmentId": shipment, "links": { "self": format!("/shipments/{}", encoded(&shipment)) } });
    Ok((StatusCode::ACCEPTED, position(app.lineage(), receipt.position), Json(body)))
}
