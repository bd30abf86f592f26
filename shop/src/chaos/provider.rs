//! A payment provider with a book of its own: what it holds, has taken and has given back.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use factum::chaos::{Outcome, Recorder, Tally, drawn};
use serde_json::{Value, json};

/// The fault of its name in the tally.
const DECLINE: &str = "decline";
/// The share of captures that are declined, of that of authorisations: it has said yes before.
const CAPTURES: f64 = 0.2;

/// A payment, as the provider has it.
#[derive(Debug, Default)]
#[allow(missing_docs, reason = "the fields say what they are")]
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
    /// What went back in all.
    pub fn given_back(&self) -> i64 {
        self.refunds.values().map(|(_, amount)| amount).sum()
    }

    /// Does it, or says why it is not to be done.
    ///
    /// # Errors
    /// The provider's reason.
    pub fn carry_out(&mut self, payment: &str, act: &str, amount: i64, refund: &str) -> Said {
        match act {
            // A void covers an authorisation that was still on its way.
            "authorize" if self.voided => Err("voided".to_owned()),
            "authorize" => {
                (self.holds, self.held) = (self.holds + 1, self.held + amount);
                Ok(json!({ "transactionId": format!("held-{payment}") }))
            }
            "capture" if self.held < amount => Err("nothing_held".to_owned()),
            "capture" => {
                (self.captures, self.captured) = (self.captures + 1, self.captured + amount);
                self.held -= amount;
                Ok(json!({ "transactionId": format!("taken-{payment}") }))
            }
            "void" if self.captures > 0 => Err("taken_already".to_owned()),
            "void" => {
                (self.held, self.voided) = (0, true);
                Ok(json!({}))
            }
            "refund" if self.given_back() + amount > self.captured => Err("more_than_was_taken".to_owned()),
            "refund" => {
                let (times, sum) = self.refunds.entry(refund.to_owned()).or_default();
                (*times, *sum) = (*times + 1, *sum + amount);
                Ok(json!({ "refundId": refund }))
            }
            act => Err(format!("what is {act}?")),
        }
    }
}

/// What a partner says: its answer, or the reason for its no.
pub type Said = Result<Value, String>;

/// Its book.
pub struct Provider {
    seed: u64,
    declines: f64,
    tally: Tally,
    /// By payment.
    pub accounts: BTreeMap<String, Account>,
    /// Each effect once.
    pub recorder: Recorder<Said>,
}

/// The book, open to those who ask.
pub type Desk = Arc<Mutex<Provider>>;

/// Opens the book.
pub fn open(desk: &Desk) -> MutexGuard<'_, Provider> {
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Provider {
    /// A provider that declines this share of the payments.
    pub fn new(seed: u64, declines: f64, tally: &Tally) -> Desk {
        let (accounts, recorder) = Default::default();
        Arc::new(Mutex::new(Self { seed, declines, tally: tally.clone(), accounts, recorder }))
    }

    /// Whether it declines to authorise or to capture a payment, whenever it is asked.
    pub fn refuses(&self, payment: &str) -> bool {
        ["authorize", "capture"].iter().any(|act| self.is_declined(payment, act))
    }

    fn is_declined(&self, payment: &str, act: &str) -> bool {
        let share = match act {
            "authorize" => self.declines,
            "capture" => self.declines * CAPTURES,
            _ => 0.0,
        };
        drawn(self.seed, &["declines", payment, act]).f64() < share
    }

    fn declines(&self, payment: &str, act: &str) -> bool {
        let declines = self.is_declined(payment, act);
        if declines {
            self.tally.met(DECLINE, &format!("provider, {act}"));
        }
        declines
    }

    fn ask(&mut self, payment: &str, act: &str, key: &str, body: &Value) -> Said {
        if let Some(said) = self.recorder.answer(key).cloned() {
            return self.recorder.ask(key, &asked(payment, act, body), || Outcome::Refused(said));
        }
        let declines = self.declines(payment, act);
        let account = self.accounts.entry(payment.to_owned()).or_default();
        let refund = body["refundId"].as_str().unwrap_or_default();
        let amount = body["amount"]["amount"].as_i64().unwrap_or_default();
        let was_void = account.voided;
        self.recorder.ask(key, &asked(payment, act, body), || {
            if declines {
                return Outcome::Refused(Err("declined".to_owned()));
            }
            match account.carry_out(payment, act, amount, refund) {
                // Nothing is held any more: there is nothing to do a second time.
                said if act == "void" && was_void => Outcome::Refused(said),
                Ok(said) => Outcome::Done(format!("{act} {payment} {refund}"), Ok(said)),
                Err(reason) => Outcome::Refused(Err(reason)),
            }
        })
    }
}

fn asked(payment: &str, act: &str, body: &Value) -> String {
    format!("{act} {payment} {body}")
}

/// Its routes, as [`Provider::Http`](crate::payment::gateway::Provider::Http) wants them.
pub fn router(desk: Desk) -> Router {
    Router::new()
        .route("/payments/{payment}/{act}", post(act))
        .route("/payments/{payment}/calls/{key}", get(look_up))
        .with_state(desk)
}

async fn act(
    State(desk): State<Desk>,
    Path((payment, act)): Path<(String, String)>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    match key(&headers) {
        Some(key) => say(open(&desk).ask(&payment, &act, key, &body)),
        None => StatusCode::BAD_REQUEST.into_response(),
    }
}

async fn look_up(State(desk): State<Desk>, Path((_, key)): Path<(String, String)>) -> Response {
    match open(&desk).recorder.answer(&key).cloned() {
        Some(said) => say(said),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// The key of a request.
pub(super) fn key(headers: &HeaderMap) -> Option<&str> {
    headers.get("idempotency-key")?.to_str().ok()
}

/// What is said, as an answer.
pub(super) fn say(said: Said) -> Response {
    match said {
        Ok(answer) => Json(answer).into_response(),
        Err(reason) => (StatusCode::PAYMENT_REQUIRED, Json(json!({ "reason": reason }))).into_response(),
    }
}
