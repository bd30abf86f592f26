//! What can be asked about shipments.

use factum::prelude::*;
use serde::{Deserialize, Serialize};

use crate::contracts::{
    ids::{OrderId, ShipmentId},
    shipping::{ShipmentState, ShippingEvent},
};

/// A shipment.
#[derive(Clone, Debug, Row)]
#[row("shipments")]
#[allow(missing_docs, reason = "the fields say what they are")]
pub struct ShipmentRow {
    #[key]
    pub shipment_id: ShipmentId,
    #[index]
    pub order_id: OrderId,
    #[index]
    pub status: ShipmentStatus,
    /// When it was ordered.
    pub opened_at: Option<Timestamp>,
    pub carrier: Option<String>,
    pub tracking_number: Option<String>,
    pub estimated_delivery: Option<Timestamp>,
    pub dispatched_at: Option<Timestamp>,
    pub delivered_at: Option<Timestamp>,
    pub reason: Option<String>,
    /// Whether the carrier was asked to drop it, and did.
    #[index]
    pub recall: Option<RecallStatus>,
    /// Why the carrier did not, for a person.
    #[index]
    pub recall_reason: Option<String>,
}

/// How it stands with what the carrier is to drop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the variants say what they are")]
pub enum RecallStatus {
    Open,
    Done,
    /// A person must see to it.
    Failed,
    /// It was brought before it could be dropped.
    TooLate,
}

/// Where a shipment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the variants say what they are")]
pub enum ShipmentStatus {
    Opened,
    Created,
    Dispatched,
    Delivered,
    Lost,
    Failed,
    Cancelled,
}

/// Follows the shipments.
pub fn shipments(rows: &mut Rows<ShipmentRow>, event: &Recorded<ShippingEvent>) {
    use ShipmentStatus as S;
    use ShippingEvent as E;
    let blank = |shipment: &ShipmentId, order: &OrderId, status| ShipmentRow {
        shipment_id: shipment.clone(),
        order_id: order.clone(),
        status,
        opened_at: None,
        carrier: None,
        tracking_number: None,
        estimated_delivery: None,
        dispatched_at: None,
        delivered_at: None,
        reason: None,
        recall: None,
        recall_reason: None,
    };
    match &event.data {
        E::Opened(e) => {
            rows.put(ShipmentRow { opened_at: Some(event.at()), ..blank(&e.shipment_id, &e.order_id, S::Opened) })
        }
        E::Created(e) => {
            _ = rows.update(&e.shipment_id, |row| {
                row.status = S::Created;
                row.carrier = Some(e.carrier.clone());
                row.tracking_number = Some(e.tracking_number.clone());
                row.estimated_delivery = Some(e.estimated_delivery);
            })
        }
        E::Dispatched(e) => {
            _ = rows.update(&e.shipment_id, |row| {
                row.status = S::Dispatched;
                row.dispatched_at = Some(e.dispatched_at);
            })
        }
        E::Delivered(e) => {
            _ = rows.update(&e.shipment_id, |row| {
                row.status = S::Delivered;
                row.delivered_at = Some(e.delivered_at);
            })
        }
        E::Failed(e) => {
            _ = rows.update(&ShipmentId::of(&e.order_id), |row| {
                row.status = if row.status == S::Dispatched { S::Lost } else { S::Failed };
                row.reason = Some(e.reason.clone());
            })
        }
        E::Cancelled(e) => {
            let new = || blank(&e.shipment_id, &e.order_id, S::Cancelled);
            rows.upsert(&e.shipment_id, new, |row| {
                row.status = S::Cancelled;
                row.reason = Some(e.reason.clone());
            });
        }
        E::NewsKept(e) if e.state == ShipmentState::Delivered => {
            rows.update(&e.shipment_id, |row| {
                row.delivered_at = Some(e.at);
                (row.recall, row.recall_reason) = (row.recall.map(|_| RecallStatus::TooLate), None);
            });
        }
        E::NewsKept(_) => {}
        E::RecallOpened(e) => recall(rows, &e.shipment_id, RecallStatus::Open, None),
        E::Recalled(e) => recall(rows, &e.shipment_id, RecallStatus::Done, None),
        E::RecallFailed(e) => recall(rows, &e.shipment_id, RecallStatus::Failed, Some(e.reason.clone())),
    }
}

fn recall(rows: &mut Rows<ShipmentRow>, shipment: &ShipmentId, status: RecallStatus, reason: Option<String>) {
    rows.update(shipment, |row| {
        (row.recall, row.recall_reason) = match row.delivered_at {
            // Nobody can see to it any more.
            Some(_) => (Some(RecallStatus::TooLate), None),
            None => (Some(status), reason),
        };
    });
}
