//! Points over HTTP, for reading: orders bring and take them.

use axum::{Json, Router, extract::State, response::IntoResponse, routing::get};
use factum::{
    RowsOf,
    http::{Key, Problem},
    prelude::*,
};
use serde::{Deserialize, Serialize};

use super::views::{AccountRow, EntryRow};
use crate::{
    contracts::ids::{CustomerId, OrderId},
    http::{Filter, List, Listed, list, missing, page},
};

/// The routes of the points.
pub fn routes() -> Router<App> {
    Router::new().route("/loyalty", get(list::<EntryRow, Which>)).route("/loyalty/{customer}", get(read))
}

/// Which entries.
#[derive(Deserialize)]
struct Which {
    order: Option<OrderId>,
}

impl Filter<EntryRow> for Which {
    fn of(&self, rows: RowsOf<EntryRow>) -> RowsOf<EntryRow> {
        rows.equal_if("orderId", self.order.as_ref()).order_by("number")
    }
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
    Listed { after, paging, .. }: Listed,
) -> Result<impl IntoResponse, Problem> {
    let account = app.rows::<AccountRow>().after(after).get(&customer).await?;
    let account = account.ok_or_else(|| missing("points of customer", &customer))?;
    let entries = app.rows::<EntryRow>().after(after).equal("customerId", &customer).order_by("number").descending();
    let Json(entries) = page(entries, &paging).await?;
    Ok(Json(Account { account, entries }))
}
