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
use serde_json::{Value, json};

use super::desk::{Asked, Book, Desk};

/// A payment, as the provider has it.
#[derive(Debug, Default)]
pub struct Account {
    pub holds: u32,
    pub held: i64,
    pub captures: u32,
    pub captured: i64,
    /// How often each was paid, and how much in all.
    pub refunds: BTreeMap<String, (u32, i64)>,
    pub voided: bool,
}

impl Account {
    pub fn given_back(&self) -> i64 {
        self.refunds.values().map(|(_, amount)| amount).sum()
    }
}

/// By payment.
#[derive(Default)]
pub struct Provider(pub BTreeMap<String, Account>);

impl Book for Provider {
    fn carry_out(&mut self, asked: &Asked, _: Timestamp) -> Result<Value, String> {
        let account = self.0.entry(asked.of.clone()).or_default();
        let amount = asked.body["amount"]["amount"].as_i64().unwrap();
        match asked.act.as_str() {
            // A void covers an authorisation that was still on its way.
            "authorize" if account.voided => Err("voided".to_owned()),
            "authorize" => {
                (account.holds, account.held) = (account.holds + 1, account.held + amount);
                Ok(json!({ "transactionId": format!("held-{}", asked.of) }))
            }
            "capture" if account.held < amount => Err("nothing_held".to_owned()),
            "capture" => {
                (account.captures, account.captured) = (account.captures + 1, account.captured + amount);
                account.held -= amount;
                Ok(json!({ "transactionId": format!("taken-{}", asked.of) }))
            }
            "void" if account.captures > 0 => Err("taken_already".to_owned()),
            "void" => {
                (account.held, account.voided) = (0, true);
                Ok(json!({}))
            }
            "refund" if account.given_back() + amount > account.captured => Err("more_than_was_taken".to_owned()),
            "refund" => {
                let id = asked.body["refundId"].as_str().unwrap();
                let (times, sum) = account.refunds.entry(id.to_owned()).or_default();
                (*times, *sum) = (*times + 1, *sum + amount);
                Ok(json!({ "refundId": id }))
            }
            act => Err(format!("what is {act}?")),
        }
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
