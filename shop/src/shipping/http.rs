//! Shipments over HTTP, for reading: what changes them comes from orders.

use axum::{Router, extract::State, response::IntoResponse, routing::get};
use factum::{
    http::{After, Key, Problem, Query},
    prelude::*,
};
use serde::Deserialize;

use super::views::ShipmentRow;
use crate::{
    contracts::ids::{OrderId, ShipmentId},
    http::{Paging, one, page},
};

/// The routes of the shipments.
pub fn routes() -> Router<App> {
    Router::new().route("/shipments", get(list)).route("/shipments/{id}", get(read))
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
