//! The carrier, outside the process. This is the only async code of the room.

use std::time::Duration;

use factum::prelude::*;
use serde::{Deserialize, Serialize};

use crate::contracts::{
    ids::ShipmentId,
    shapes::Address,
    shipping::{RecordShipment, ShipmentState},
};

/// The call's name.
pub const CARRIER: &str = "carrier";
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

/// Who the carrier is.
#[derive(Clone, Copy, Debug)]
pub enum Carrier {
    /// In the process: it delivers after one to five of its days, by the shipment's id.
    Simulated {
        /// How long one of its days takes.
        day: Duration,
        /// How long it takes to answer.
        latency: Duration,
    },
}

/// The call, over a carrier.
pub fn call(carrier: Carrier) -> CallSpec<CarrierRequest, RecordShipment> {
    CallSpec::new(CARRIER, move |call| ask(carrier, call), gave_up)
        .retry(exp(200.ms(), 2.0).max(8))
        .timeout(10.secs())
        .window(256)
}

async fn ask(carrier: Carrier, call: Call<CarrierRequest>) -> Answer<RecordShipment> {
    let Carrier::Simulated { day, latency } = carrier;
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    let shipment = &call.request.shipment_id;
    let Ok(estimated) = call.at.checked_add(days(shipment) * day) else {
        return Answer::Refused(record(shipment, call.at, ShipmentState::Failed));
    };
    Answer::Done(RecordShipment {
        carrier: Some("Pigeon Post".to_owned()),
        tracking_number: Some(format!("PP{:010}", hash(shipment) % 10_000_000_000)),
        estimated_delivery: Some(estimated),
        label_ref: Some(format!("label/{shipment}")),
        ..record(shipment, call.at, ShipmentState::Created)
    })
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

fn record(shipment: &ShipmentId, at: Timestamp, state: ShipmentState) -> RecordShipment {
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
