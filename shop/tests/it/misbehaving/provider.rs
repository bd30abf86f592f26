//! The provider's own book: what it holds, has taken and has given back.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::HeaderMap,
    response::Response,
    routing::{get, post},
};
use factum::prelude::*;
use serde_json::Value;
use shop::chaos::provider::Account;

use super::desk::{Asked, Book, Desk};

/// By payment.
#[derive(Default)]
pub struct Provider(pub BTreeMap<String, Account>);

impl Book for Provider {
    fn carry_out(&mut self, asked: &Asked, _: Timestamp) -> Result<Value, String> {
        let amount = asked.body["amount"]["amount"].as_i64().unwrap();
        let refund = asked.body["refundId"].as_str().unwrap_or_default();
        self.0.entry(asked.of.clone()).or_default().carry_out(&asked.of, &asked.act, amount, refund)
    }

    fn refuses(act: &str) -> f64 {
        match act {
            "authorize" => 0.05,
            "capture" => 0.04,
            "refund" => 0.1,
            _ => 0.05,
        }
    }
}

pub fn router(desk: Arc<Desk<Provider>>) -> Router {
    Router::new()
        .route("/payments/{payment}/{act}", post(act))
        .route("/payments/{payment}/calls/{key}", get(look_up))
        .with_state(desk)
}

async fn act(
    State(desk): State<Arc<Desk<Provider>>>,
    Path((payment, act)): Path<(String, String)>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    desk.meet(Asked::new(&act, payment, &headers, body)).await
}

async fn look_up(State(desk): State<Arc<Desk<Provider>>>, Path((payment, key)): Path<(String, String)>) -> Response {
    desk.look_up(payment, &key).await
}
