//! Notifications over HTTP, for reading: what happens causes them.

use axum::{Router, extract::State, response::IntoResponse, routing::get};
use factum::{
    http::{After, Key, Problem, Query},
    prelude::*,
};
use serde::Deserialize;

use super::views::{NotificationRow, NotificationStatus};
use crate::{
    contracts::ids::{CustomerId, NotificationId, OrderId},
    http::{Paging, one, page},
};

/// The routes of the notifications.
pub fn routes() -> Router<App> {
    Router::new().route("/notifications", get(list)).route("/notifications/{id}", get(read))
}

/// Which notifications.
#[derive(Deserialize)]
struct Filter {
    order: Option<OrderId>,
    customer: Option<CustomerId>,
    status: Option<NotificationStatus>,
}

async fn list(
    State(app): State<App>,
    After(after): After,
    Query(filter): Query<Filter>,
    paging: Paging,
) -> Result<impl IntoResponse, Problem> {
    let mut rows = app.rows::<NotificationRow>().after(after).order_by("openedAt").descending();
    if let Some(order) = &filter.order {
        rows = rows.equal("orderId", order);
    }
    if let Some(customer) = &filter.customer {
        rows = rows.equal("customerId", customer);
    }
    if let Some(status) = &filter.status {
        rows = rows.equal("status", status);
    }
    page(rows, &paging).await
}

async fn read(
    State(app): State<App>,
    Key(id): Key<NotificationId>,
    After(after): After,
) -> Result<impl IntoResponse, Problem> {
    one(app.rows::<NotificationRow>().after(after), "notification", id).await
}
