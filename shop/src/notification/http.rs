//! Notifications over HTTP, for reading: what happens causes them.

use axum::{Router, extract::State, response::IntoResponse, routing::get};
use factum::{
    RowsOf,
    http::{Key, Problem},
    prelude::*,
};
use serde::Deserialize;

use super::views::{NotificationRow, NotificationStatus};
use crate::{
    contracts::ids::{CustomerId, NotificationId, OrderId},
    http::{Asked, Filter, list, one},
};

/// The routes of the notifications.
pub fn routes() -> Router<App> {
    Router::new().route("/notifications", get(list::<NotificationRow, Which>)).route("/notifications/{id}", get(read))
}

/// Which notifications.
#[derive(Deserialize)]
struct Which {
    order: Option<OrderId>,
    customer: Option<CustomerId>,
    status: Option<NotificationStatus>,
}

impl Filter<NotificationRow> for Which {
    fn of(&self, rows: RowsOf<NotificationRow>) -> RowsOf<NotificationRow> {
        let rows = rows.equal_if("orderId", self.order.as_ref()).equal_if("customerId", self.customer.as_ref());
        rows.equal_if("status", self.status.as_ref()).order_by("openedAt").descending()
    }
}

async fn read(
    State(app): State<App>,
    Key(id): Key<NotificationId>,
    Asked { after, .. }: Asked,
) -> Result<impl IntoResponse, Problem> {
    one(app.rows::<NotificationRow>().after(after), "notification", id).await
}
