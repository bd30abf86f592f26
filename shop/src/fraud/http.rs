//! Fraud checks over HTTP, for reading: orders ask for them.

use axum::{Router, extract::State, response::IntoResponse, routing::get};
use factum::{
    http::{Key, Problem},
    prelude::*,
};

use super::views::CheckRow;
use crate::{
    contracts::ids::OrderId,
    http::{Asked, one},
};

/// The routes of the checks.
pub fn routes() -> Router<App> {
    Router::new().route("/checks/{order}", get(read))
}

async fn read(
    State(app): State<App>,
    Key(order): Key<OrderId>,
    Asked { after, .. }: Asked,
) -> Result<impl IntoResponse, Problem> {
    one(app.rows::<CheckRow>().after(after), "check of order", order).await
}
