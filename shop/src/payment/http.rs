//! Payments over HTTP: what changes them comes from orders, but for what the provider refused and a person wants asked again.

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    response::IntoResponse,
    routing::{get, post},
};
use factum::{
    http::{After, Body, IdempotencyKey, Key, Problem, Query, position},
    prelude::*,
};
use serde::Deserialize;

use super::views::PaymentRow;
use crate::{
    contracts::{
        ids::{OrderId, PaymentId, RefundId},
        payment::{PaymentAct, RetryPayment},
    },
    http::{Paging, carry_out, one, page},
};

/// The routes of the payments.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/payments", get(list))
        .route("/payments/{id}", get(read))
        .route("/payments/{id}/retry", post(retry))
}

/// Which payments.
#[derive(Deserialize)]
struct Filter {
    order: Option<OrderId>,
    /// What is decided and not done yet.
    open: Option<PaymentAct>,
}

async fn list(
    State(app): State<App>,
    After(after): After,
    Query(filter): Query<Filter>,
    paging: Paging,
) -> Result<impl IntoResponse, Problem> {
    let mut rows = app.rows::<PaymentRow>().after(after);
    if let Some(order) = &filter.order {
        rows = rows.equal("orderId", order);
    }
    if let Some(open) = &filter.open {
        rows = rows.equal("open", open);
    }
    page(rows, &paging).await
}

async fn read(
    State(app): State<App>,
    Key(id): Key<PaymentId>,
    After(after): After,
) -> Result<impl IntoResponse, Problem> {
    one(app.rows::<PaymentRow>().after(after), "payment", id).await
}

/// What is to be asked again.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Retried {
    refund_id: Option<RefundId>,
}

async fn retry(
    State(app): State<App>,
    Key(payment_id): Key<PaymentId>,
    key: Option<IdempotencyKey>,
    Body { data, raw }: Body<Retried>,
) -> Result<impl IntoResponse, Problem> {
    let command = RetryPayment { payment_id, refund_id: data.refund_id };
    let receipt = carry_out(&app, command, key.as_ref(), &[&raw]).await?;
    Ok((StatusCode::ACCEPTED, position(app.lineage(), receipt.position)))
}
