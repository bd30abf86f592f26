//! The carrier, outside the process. This is the only async code of the room.

use std::time::Duration;

use factum::{call::Retry, http::client::Remote, prelude::*};
use serde::{Deserialize, Serialize};

use crate::contracts::{
    ids::ShipmentId,
    shapes::Address,
    shipping::{RecordShipment, ShipmentState},
};

/// The call for a label.
pub const CARRIER: CallTo<CarrierRequest, RecordShipment> = CallTo::new("carrier");
/// The call that asks to drop a parcel again.
pub const RECALL: CallTo<RecallRequest, RecordShipment> = CallTo::new("recall");
/// The other side of both.
const DEPENDENCY: &str = "carrier";
/// A week: waits are five minutes on average, as each is drawn from up to ten.
const RECALL_ATTEMPTS: u32 = 2_016;
/// The simulated carrier needs at most so many days.
pub const LONGEST_DAYS: u32 = 5;

/// What the carrier is asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CarrierRequest {
    /// Our reference.
    pub shipment_id: ShipmentId,
    /// How many pieces.
    pub pieces: i64,
    /// Where to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
}

/// What the carrier is to drop.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecallRequest {
    /// Our reference.
    pub shipment_id: ShipmentId,
}

/// Who the carrier is.
#[derive(Clone, Debug)]
pub enum Carrier {
    /// In the process: it delivers after one to five of its days, by the shipment's id.
    Simulated {
        /// How long one of its days takes.
        day: Duration,
        /// How long it takes to answer.
        latency: Duration,
    },
    /// Over HTTP, each act under its call's `Idempotency-Key`:
    ///
    /// - `POST <url>/shipments/<shipmentId>` with `{pieces, address?}` is answered by `{carrier, trackingNumber,
    ///   estimatedDelivery, labelRef}`, or refused with 402 or 422 and `{reason}`;
    /// - `POST <url>/shipments/<shipmentId>/cancel` with `{}` is answered by a JSON object, also if there is no such shipment
    ///   or it was cancelled before, or refused with 402 or 422 and `{reason}`. It is asked for a week.
    ///
    /// If an answer is lost it is asked again under the same key. The carrier's news come to the shop's `POST
    /// /carrier/news`, signed: see [`signature`](super::signature).
    Http {
        /// Where it is.
        url: Remote,
        /// How long it is asked for a label, while it does not answer.
        patience: Duration,
    },
}

/// The call, over a carrier.
pub fn call(carrier: Carrier) -> CallSpec<CarrierRequest, RecordShipment> {
    let patience = match carrier {
        Carrier::Simulated { .. } => Duration::ZERO,
        Carrier::Http { patience, .. } => patience,
    };
    CallSpec::new(CARRIER, move |call| ask(carrier.clone(), call), gave_up)
        .to(DEPENDENCY)
        .retry(exp(200.ms(), 2.0).lasting(patience))
        .timeout(10.secs())
        .window(256)
}

/// The call that recalls, over a carrier.
pub fn recall(carrier: Carrier) -> CallSpec<RecallRequest, RecordShipment> {
    let gave_up = |request: RecallRequest, reason: &str| not_cancelled(&request.shipment_id, reason.to_owned());
    let retry = Retry { longest: 10.minutes(), ..exp(200.ms(), 2.0) };
    CallSpec::new(RECALL, move |call| take_back(carrier.clone(), call), gave_up)
        .to(DEPENDENCY)
        .retry(retry.max(RECALL_ATTEMPTS))
        .timeout(10.secs())
        .window(256)
}

async fn ask(carrier: Carrier, call: Call<CarrierRequest>) -> Answer<RecordShipment> {
    match carrier {
        Carrier::Simulated { day, latency } => {
            if !latency.is_zero() {
                tokio::time::sleep(latency).await;
            }
            simulate(&call, day)
        }
        Carrier::Http { url, .. } => request(&url, &call).await,
    }
}

async fn take_back(carrier: Carrier, call: Call<RecallRequest>) -> Answer<RecordShipment> {
    let shipment = &call.request.shipment_id;
    let cancelled = || record(shipment, call.at, ShipmentState::Cancelled);
    match carrier {
        Carrier::Simulated { latency, .. } => {
            if !latency.is_zero() {
                tokio::time::sleep(latency).await;
            }
            Answer::Done(cancelled())
        }
        Carrier::Http { url, .. } => {
            let path = ["shipments", shipment.as_str(), "cancel"];
            let ending = url.post(&path, &call.idempotency_key, &Dropped {}).await;
            ending.answer(|_: Dropped| Ok(cancelled()), |reason| not_cancelled(shipment, reason))
        }
    }
}

/// What the carrier is sent to drop a parcel, and what it says: there is nothing to say.
#[derive(Serialize, Deserialize)]
struct Dropped {}

/// What the carrier is sent.
#[derive(Serialize)]
struct Parcel<'a> {
    pieces: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<&'a Address>,
}

/// What the carrier says.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Label {
    carrier: String,
    tracking_number: String,
    estimated_delivery: Timestamp,
    label_ref: String,
}

async fn request(url: &Remote, call: &Call<CarrierRequest>) -> Answer<RecordShipment> {
    let CarrierRequest { shipment_id, pieces, address } = &call.request;
    let parcel = Parcel { pieces: *pieces, address: address.as_ref() };
    let ending = url.post(&["shipments", shipment_id.as_str()], &call.idempotency_key, &parcel).await;
    let refused =
        |reason| RecordShipment { reason: Some(reason), ..record(shipment_id, call.at, ShipmentState::Failed) };
    ending.answer(|label: Label| Ok(labelled(call, label)), refused)
}

fn simulate(call: &Call<CarrierRequest>, day: Duration) -> Answer<RecordShipment> {
    let shipment = &call.request.shipment_id;
    let Ok(estimated_delivery) = call.at.checked_add(days(shipment) * day) else {
        return Answer::Refused(record(shipment, call.at, ShipmentState::Failed));
    };
    let carrier = "Pigeon Post".to_owned();
    let tracking_number = format!("PP{:010}", hash(shipment) % 10_000_000_000);
    let label_ref = format!("label/{shipment}");
    Answer::Done(labelled(call, Label { carrier, tracking_number, estimated_delivery, label_ref }))
}

fn labelled(call: &Call<CarrierRequest>, label: Label) -> RecordShipment {
    RecordShipment {
        carrier: Some(label.carrier),
        tracking_number: Some(label.tracking_number),
        estimated_delivery: Some(label.estimated_delivery),
        label_ref: Some(label.label_ref),
        ..record(&call.request.shipment_id, call.at, ShipmentState::Created)
    }
}

/// How many of its days the simulated carrier needs: the same in every run.
pub fn days(shipment: &ShipmentId) -> u32 {
    1 + (hash(shipment) % u64::from(LONGEST_DAYS)) as u32
}

fn hash(shipment: &ShipmentId) -> u64 {
    xxhash_rust::xxh3::xxh3_64(shipment.as_str().as_bytes())
}

fn gave_up(request: CarrierRequest, reason: &str) -> RecordShipment {
    let at = Timestamp::UNIX_EPOCH;
    RecordShipment { reason: Some(reason.to_owned()), ..record(&request.shipment_id, at, ShipmentState::Unknown) }
}

fn not_cancelled(shipment: &ShipmentId, reason: String) -> RecordShipment {
    let at = Timestamp::UNIX_EPOCH;
    RecordShipment { reason: Some(reason), ..record(shipment, at, ShipmentState::NotCancelled) }
}

/// News of a shipment that say no more than how far it is.
pub fn record(shipment: &ShipmentId, at: Timestamp, state: ShipmentState) -> RecordShipment {
    RecordShipment {
        shipment_id: shipment.clone(),
        state,
        at,
        carrier: None,
        tracking_number: None,
        estimated_delivery: None,
        label_ref: None,
        reason: None,
    }
}
