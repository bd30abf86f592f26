//! What may happen to a shipment. Its states are ranked: older news changes nothing.
//!
//! ```text
//!  – ─► opened ─► created ─► dispatched ─► delivered
//!  │      ├─► failed │
//!  └──────┴──────────┴─► cancelled (also before it was opened: the late order to ship is refused)
//! ```

use factum::prelude::*;

use crate::contracts::{
    ids::{OrderId, ShipmentId, WarehouseId},
    shipping::*,
};

/// A shipment.
#[derive(Default)]
pub struct Shipment {
    state: State,
    order: Option<OrderId>,
    warehouse: Option<WarehouseId>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    #[default]
    None,
    Opened,
    Created,
    Dispatched,
    Delivered,
    Failed,
    Cancelled,
}

/// Why the shipping service says no.
#[derive(Debug, Rejection)]
#[allow(missing_docs, reason = "each variant says itself what it is")]
pub enum ShippingRejection {
    #[rejection("already_cancelled", "shipment {shipment} was cancelled before it was ordered")]
    AlreadyCancelled { shipment: ShipmentId },
    #[rejection("already_dispatched", "shipment {shipment} is on its way: use a return")]
    AlreadyDispatched { shipment: ShipmentId },
    #[rejection("no_label", "shipment {shipment} has no label, so it cannot be handed over")]
    NoLabel { shipment: ShipmentId },
    #[rejection("incomplete_answer", "the carrier's answer for {shipment} lacks {field}", invalid)]
    Incomplete { shipment: ShipmentId, field: &'static str },
}

impl Decider for Shipment {
    const CATEGORY: &'static str = "shipment";
    type Id = ShipmentId;
    type Command = ShippingCommand;
    type Event = ShippingEvent;
    type Rejection = ShippingRejection;

    fn address(command: &ShippingCommand, _: &Envelope) -> ShipmentId {
        use ShippingCommand as C;
        match command {
            C::Create(c) => ShipmentId::of(&c.order_id),
            C::Dispatch(c) => ShipmentId::of(&c.order_id),
            C::Cancel(c) => ShipmentId::of(&c.order_id),
            C::Record(c) => c.shipment_id.clone(),
        }
    }

    fn decide(
        &self,
        id: &ShipmentId,
        command: ShippingCommand,
        context: &Context,
    ) -> Result<Vec<ShippingEvent>, ShippingRejection> {
        use ShippingCommand as C;
        let shipment_id = id.clone();
        match command {
            C::Create(c) => match self.state {
                State::None => Ok(vec![ShippingEvent::Opened(ShippingOpened {
                    shipment_id,
                    order_id: c.order_id,
                    items: c.items,
                    shipping_address: c.shipping_address,
                    warehouse_id: c.warehouse_id.unwrap_or_else(|| WarehouseId::from("main")),
                })]),
                State::Cancelled => Err(ShippingRejection::AlreadyCancelled { shipment: shipment_id }),
                _ => Ok(vec![]),
            },
            C::Dispatch(c) => match self.state {
                State::Created => Ok(vec![ShippingEvent::Dispatched(ShippingDispatched {
                    shipment_id,
                    order_id: c.order_id,
                    dispatched_at: context.now,
                })]),
                State::Dispatched | State::Delivered => Ok(vec![]),
                _ => Err(ShippingRejection::NoLabel { shipment: shipment_id }),
            },
            C::Cancel(c) => match self.state {
                State::Dispatched | State::Delivered => {
                    Err(ShippingRejection::AlreadyDispatched { shipment: shipment_id })
                }
                State::Cancelled => Ok(vec![]),
                _ => Ok(vec![ShippingEvent::Cancelled(ShippingCancelled {
                    shipment_id,
                    order_id: c.order_id,
                    reason: c.reason,
                })]),
            },
            C::Record(c) => self.record(shipment_id, c),
        }
    }

    fn evolve(&mut self, event: &ShippingEvent) {
        use ShippingEvent as E;
        match event {
            E::Opened(e) => {
                self.order = Some(e.order_id.clone());
                self.warehouse = Some(e.warehouse_id.clone());
                self.state = State::Opened;
            }
            E::Created(_) => self.state = State::Created,
            E::Dispatched(_) => self.state = State::Dispatched,
            E::Delivered(_) => self.state = State::Delivered,
            E::Failed(_) => self.state = State::Failed,
            E::Cancelled(_) => self.state = State::Cancelled,
        }
    }
}

impl Shipment {
    fn record(&self, shipment_id: ShipmentId, news: RecordShipment) -> Result<Vec<ShippingEvent>, ShippingRejection> {
        let Some(order_id) = self.order.clone() else { return Ok(vec![]) };
        let missing = |field| ShippingRejection::Incomplete { shipment: shipment_id.clone(), field };
        match (news.state, self.state) {
            (ShipmentState::Created, State::Opened) => Ok(vec![ShippingEvent::Created(ShippingCreated {
                order_id,
                carrier: news.carrier.ok_or_else(|| missing("carrier"))?,
                tracking_number: news.tracking_number.ok_or_else(|| missing("trackingNumber"))?,
                warehouse_id: self.warehouse.clone().unwrap_or_else(|| WarehouseId::from("main")),
                estimated_delivery: news.estimated_delivery.ok_or_else(|| missing("estimatedDelivery"))?,
                label_ref: news.label_ref.ok_or_else(|| missing("labelRef"))?,
                shipment_id,
            })]),
            (ShipmentState::Failed | ShipmentState::Unknown, State::Opened) => {
                let reason = news.reason.unwrap_or_else(|| "carrier_unavailable".to_owned());
                Ok(vec![ShippingEvent::Failed(ShippingFailed { order_id, reason })])
            }
            (ShipmentState::Dispatched, State::Created) => {
                let dispatched_at = news.at;
                Ok(vec![ShippingEvent::Dispatched(ShippingDispatched { shipment_id, order_id, dispatched_at })])
            }
            (ShipmentState::Delivered, State::Created) => {
                let dispatched = ShippingDispatched {
                    shipment_id: shipment_id.clone(),
                    order_id: order_id.clone(),
                    dispatched_at: news.at,
                };
                let delivered = ShippingDelivered { shipment_id, order_id, delivered_at: news.at };
                Ok(vec![ShippingEvent::Dispatched(dispatched), ShippingEvent::Delivered(delivered)])
            }
            (ShipmentState::Delivered, State::Dispatched) => {
                let delivered_at = news.at;
                Ok(vec![ShippingEvent::Delivered(ShippingDelivered { shipment_id, order_id, delivered_at })])
            }
            // Older news, or news about what has ended.
            _ => Ok(vec![]),
        }
    }
}

#[cfg(test)]
mod tests;
