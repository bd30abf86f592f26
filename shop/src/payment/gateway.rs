//! The payment provider, outside the process. This is the only async code of the room.

use std::time::Duration;

use factum::{
    http::client::{Ending, Remote},
    prelude::*,
};
use serde::{Deserialize, Serialize};

use crate::contracts::{
    ids::{PaymentId, RefundId},
    payment::{PaymentAct, PaymentOutcome, RecordPayment},
};

/// The call.
pub const PROVIDER: CallTo<ProviderRequest, RecordPayment> = CallTo::new("provider");

/// What the provider is asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProviderRequest {
    /// To do what.
    pub act: PaymentAct,
    /// Our reference.
    pub payment_id: PaymentId,
    /// How much.
    pub amount: Money,
    /// Of a refund: which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refund_id: Option<RefundId>,
}

/// Who the provider is.
#[derive(Clone, Debug)]
pub enum Provider {
    /// In the process: it declines a fixed share of the payments, always the same ones.
    Simulated {
        /// From 0 (none) to 1 (all).
        declines: f64,
        /// How long it takes to answer.
        latency: Duration,
    },
    /// Over HTTP, each act under its call's `Idempotency-Key`:
    ///
    /// - `POST <url>/payments/<paymentId>/<authorize|capture|void|refund>` with `{amount, refundId?}` is answered by
    ///   `{transactionId?, refundId?}`, or refused with 402 or 422 and `{reason}`; 409 says
    ///   that the first request by this key is still under way;
    /// - `GET <url>/payments/<paymentId>/calls/<key>` is answered as the act was, or by 404 if the key is not known.
    Http {
        /// Where it is.
        url: Remote,
        /// How long an authorisation is asked for, while it does not answer.
        patience: Duration,
    },
}

/// The call, over a provider.
pub fn call(provider: Provider) -> CallSpec<ProviderRequest, RecordPayment> {
    let asked = provider.clone();
    let patience = match provider {
        Provider::Simulated { .. } => Duration::ZERO,
        Provider::Http { patience, .. } => patience,
    };
    let spec = CallSpec::new(PROVIDER, move |call| ask(asked.clone(), call), gave_up)
        .retry(exp(200.ms(), 2.0).lasting(patience))
        .timeout(10.secs())
        // What is decided happens in the end: only whether there is to be a payment may be given up.
        .patient(|request: &ProviderRequest| request.act != PaymentAct::Authorize)
        .window(256);
    match provider {
        Provider::Simulated { .. } => spec,
        Provider::Http { url, .. } => spec.query(move |call| look_up(url.clone(), call)),
    }
}

async fn ask(provider: Provider, call: Call<ProviderRequest>) -> Answer<RecordPayment> {
    match provider {
        Provider::Simulated { declines, latency } => {
            if !latency.is_zero() {
                tokio::time::sleep(latency).await;
            }
            simulate(&call.request, declines)
        }
        Provider::Http { url, .. } => request(&url, &call).await,
    }
}

/// What the provider is sent.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Act<'a> {
    amount: Money,
    #[serde(skip_serializing_if = "Option::is_none")]
    refund_id: Option<&'a RefundId>,
}

/// What the provider says.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Acted {
    transaction_id: Option<String>,
    refund_id: Option<RefundId>,
}

async fn request(url: &Remote, call: &Call<ProviderRequest>) -> Answer<RecordPayment> {
    let request = &call.request;
    if request.act == PaymentAct::Refund && request.refund_id.is_none() {
        return Answer::Refused(failed(request, "no_refund_id".to_owned()));
    }
    let act = Act { amount: request.amount, refund_id: request.refund_id.as_ref() };
    let path = ["payments", request.payment_id.as_str(), verb(request.act)];
    answer(request, url.post(&path, &call.idempotency_key, &act).await)
}

async fn look_up(url: Remote, call: Call<ProviderRequest>) -> Answer<RecordPayment> {
    let path = ["payments", call.request.payment_id.as_str(), "calls", &call.idempotency_key];
    answer(&call.request, url.find(&path).await)
}

fn answer(request: &ProviderRequest, ending: Ending<Acted>) -> Answer<RecordPayment> {
    ending.answer(
        |acted| outcome(request, acted).map(|done| record(request, done)),
        |reason| {
            if matches!(request.act, PaymentAct::Void | PaymentAct::Refund) {
                let (payment, act) = (&request.payment_id, verb(request.act));
                tracing::warn!(%payment, act, reason = ?reason, "the provider refuses what was decided: a person must see to it (shop payments --open)");
            }
            failed(request, reason)
        },
    )
}

/// What was done, or what the provider left out.
fn outcome(request: &ProviderRequest, acted: Acted) -> Result<PaymentOutcome, String> {
    let transaction = || acted.transaction_id.ok_or_else(|| "the answer lacks transactionId".to_owned());
    Ok(match request.act {
        PaymentAct::Authorize => PaymentOutcome::Authorized { transaction_id: transaction()? },
        PaymentAct::Capture => PaymentOutcome::Captured { transaction_id: transaction()? },
        PaymentAct::Void => PaymentOutcome::Voided,
        PaymentAct::Refund => match (&request.refund_id, acted.refund_id) {
            (Some(asked), None) => PaymentOutcome::Refunded { refund_id: asked.clone() },
            (Some(asked), Some(named)) if *asked == named => PaymentOutcome::Refunded { refund_id: named },
            _ => return Err("the answer's refundId is not the one that was sent".to_owned()),
        },
    })
}

/// The provider's word for an act.
pub fn verb(act: PaymentAct) -> &'static str {
    match act {
        PaymentAct::Authorize => "authorize",
        PaymentAct::Capture => "capture",
        PaymentAct::Void => "void",
        PaymentAct::Refund => "refund",
    }
}

fn simulate(request: &ProviderRequest, declines: f64) -> Answer<RecordPayment> {
    let transaction_id = format!("sim-{}", request.payment_id);
    let outcome = match request.act {
        PaymentAct::Authorize if declined(&request.payment_id, declines) => {
            return Answer::Refused(failed(request, "card_declined".to_owned()));
        }
        PaymentAct::Authorize => PaymentOutcome::Authorized { transaction_id },
        PaymentAct::Capture => PaymentOutcome::Captured { transaction_id },
        PaymentAct::Void => PaymentOutcome::Voided,
        PaymentAct::Refund => match &request.refund_id {
            Some(refund) => PaymentOutcome::Refunded { refund_id: refund.clone() },
            None => PaymentOutcome::Failed { reason: "no_refund_id".to_owned() },
        },
    };
    Answer::Done(record(request, outcome))
}

/// The same payments in every run: a hash of the id, as a share.
pub fn declined(payment: &PaymentId, share: f64) -> bool {
    let hash = xxhash_rust::xxh3::xxh3_64(payment.as_str().as_bytes());
    (hash >> 11) as f64 / (1u64 << 53) as f64 <= share && share > 0.0
}

fn gave_up(request: ProviderRequest, reason: &str) -> RecordPayment {
    record(&request, PaymentOutcome::Unknown { reason: reason.to_owned() })
}

fn failed(request: &ProviderRequest, reason: String) -> RecordPayment {
    record(request, PaymentOutcome::Failed { reason })
}

fn record(request: &ProviderRequest, outcome: PaymentOutcome) -> RecordPayment {
    let (payment_id, refund_id) = (request.payment_id.clone(), request.refund_id.clone());
    RecordPayment { payment_id, act: request.act, outcome, refund_id }
}
