//! Payments over HTTP: what changes them comes from orders, but for what the provider refused and a person wants asked again.

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    response::IntoResponse,
    routing::{get, post},
};
use factum::{
    RowsOf,
    http::{Body, IdempotencyKey, Key, Problem, position},
    prelude::*,
};
use serde::Deserialize;

use super::views::PaymentRow;
use crate::{
    contracts::{
        ids::{OrderId, PaymentId, RefundId},
        payment::{PaymentAct, RetryPayment},
    },
    http::{Asked, Filter, Nothing, Only, carry_out, list, one},
};

/// The routes of the payments.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/payments", get(list::<PaymentRow, Which>))
        .route("/payments/{id}", get(read))
        .route("/payments/{id}/retry", post(retry))
}

/// Which payments.
#[derive(Deserialize)]
struct Which {
    order: Option<OrderId>,
    /// What is decided and not done yet.
    open: Option<PaymentAct>,
}

impl Filter<PaymentRow> for Which {
    fn of(&self, rows: RowsOf<PaymentRow>) -> RowsOf<PaymentRow> {
        rows.equal_if("orderId", self.order.as_ref()).equal_if("open", self.open.as_ref())
    }
}

async fn read(
    State(app): State<App>,
    Key(id): Key<PaymentId>,
    Asked { after, .. }: Asked,
) -> Result<impl IntoResponse, Problem> {
    one(app.rows::<PaymentRow>().after(after), "payment", id).await
}

/// What is to be asked again.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Retried {
    refund_id: Option<RefundId>,
}

async fn retry(
    State(app): State<App>,
    Key(payment_id): Key<PaymentId>,
    Only(Nothing {}): Only,
    key: Option<IdempotencyKey>,
    Body { data, raw }: Body<Retried>,
) -> Result<impl IntoResponse, Problem> {
    let command = RetryPayment { payment_id, refund_id: data.refund_id };
    let receipt = carry_out(&app, command, key.as_ref(), &[&raw]).await?;
    Ok((StatusCode::ACCEPTED, position(app.lineage(), receipt.position)))
}
