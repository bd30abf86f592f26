//! Points over HTTP, for reading: orders bring and take them.

use axum::{Json, Router, extract::State, response::IntoResponse, routing::get};
use factum::{
    http::{After, Key, Problem, Query},
    prelude::*,
};
use serde::{Deserialize, Serialize};

use super::views::{AccountRow, EntryRow};
use crate::{
    contracts::ids::{CustomerId, OrderId},
    http::{List, Paging, missing, page},
};

/// The routes of the points.
pub fn routes() -> Router<App> {
    Router::new().route("/loyalty", get(list)).route("/loyalty/{customer}", get(read))
}

/// Which entries.
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
    let mut rows = app.rows::<EntryRow>().after(after).order_by("number");
    if let Some(order) = &filter.order {
        rows = rows.equal("orderId", order);
    }
    page(rows, &paging).await
}

/// What a customer has, and a page of how it came to that, the newest first.
#[derive(Serialize)]
struct Account {
    #[serde(flatten)]
    account: AccountRow,
    entries: List<EntryRow>,
}

async fn read(
    State(app): State<App>,
    Key(customer): Key<CustomerId>,
    After(after): After,
    paging: Paging,
) -> Result<impl IntoResponse, Problem> {
    let account = app.rows::<AccountRow>().after(after).get(&customer).await?;
    let account = account.ok_or_else(|| missing("points of customer", &customer))?;
    let entries = app.rows::<EntryRow>().after(after).equal("customerId", &customer).order_by("number").descending();
    let Json(entries) = page(entries, &paging).await?;
    Ok(Json(Account { account, entries }))
}
