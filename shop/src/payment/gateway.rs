//! The payment provider, outside the process. This is the only async code of the room.

use std::time::Duration;

use factum::prelude::*;
use serde::{Deserialize, Serialize};

use crate::contracts::{
    ids::{PaymentId, RefundId},
    payment::{PaymentAct, PaymentOutcome, RecordPayment},
};

/// The call's name.
pub const PROVIDER: &str = "provider";

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
#[derive(Clone, Copy, Debug)]
pub enum Provider {
    /// In the process: it declines a fixed share of the payments, always the same ones.
    Simulated {
        /// From 0 (none) to 1 (all).
        declines: f64,
        /// How long it takes to answer.
        latency: Duration,
    },
}

/// The call, over a provider.
pub fn call(provider: Provider) -> CallSpec<ProviderRequest, RecordPayment> {
    CallSpec::new(PROVIDER, move |call| ask(provider, call), gave_up)
        .retry(exp(200.ms(), 2.0).max(8))
        .timeout(10.secs())
        .window(256)
}

async fn ask(provider: Provider, call: Call<ProviderRequest>) -> Answer<RecordPayment> {
    let Provider::Simulated { declines, latency } = provider;
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    simulate(&call.request, declines)
}

fn simulate(request: &ProviderRequest, declines: f64) -> Answer<RecordPayment> {
    let transaction_id = format!("sim-{}", request.payment_id);
    let outcome = match request.act {
        PaymentAct::Authorize if declined(&request.payment_id, declines) => {
            let reason = "card_declined".to_owned();
            return Answer::Refused(record(request, PaymentOutcome::Failed { reason }));
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

fn record(request: &ProviderRequest, outcome: PaymentOutcome) -> RecordPayment {
    let (payment_id, refund_id) = (request.payment_id.clone(), request.refund_id.clone());
    RecordPayment { payment_id, act: request.act, outcome, refund_id }
}
