//! What may happen to a shipment. Its states are ranked: older news changes nothing, news that comes too early is kept.
//!
//! ```text
//!  – ─► opened ─► created ─► dispatched ─► delivered
//!  │      ├─► failed │            └─► lost
//!  └──────┴──────────┴─► cancelled (also before it was opened: the late order to ship is refused)
//! ```
//!
//! What is cancelled, or has failed, counts at once. A carrier that has it in its books, or may have it, is asked to drop it
//! beside that: `recall_opened ─► recalled | recall_failed`.

use factum::prelude::*;

use crate::contracts::{
    ids::{OrderId, ShipmentId, WarehouseId},
    shipping::*,
};

/// Why a shipment failed of which nobody knows whether the carrier has it.
const UNKNOWN: &str = "carrier_unavailable";
/// Why a shipment failed that was on its way.
const LOST: &str = "lost";

/// A shipment.
#[derive(Default)]
pub struct Shipment {
    state: State,
    order: Option<OrderId>,
    warehouse: Option<WarehouseId>,
    recall: Recall,
    early: Early,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    #[default]
    None,
    Opened,
    Created,
    Dispatched,
    Delivered,
    Lost,
    Failed,
    Cancelled,
}

/// Whether the carrier was asked to drop it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Recall {
    #[default]
    None,
    Open,
    Done,
    Failed,
}

/// News that was kept: of each kind the first.
#[derive(Default)]
struct Early {
    dispatched: Option<Timestamp>,
    /// Delivered or failed.
    ended: Option<(ShipmentState, Timestamp)>,
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
    #[rejection("not_found", "there is no shipment {shipment}", missing)]
    Unknown { shipment: ShipmentId },
    #[rejection("nothing_to_retry", "nothing of shipment {shipment} was refused that could be asked again")]
    NothingToRetry { shipment: ShipmentId },
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
            C::Recall(c) => c.shipment_id.clone(),
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
                State::Created => Ok(self.dispatch(shipment_id, c.order_id, context.now)),
                State::Dispatched | State::Delivered | State::Lost => Ok(vec![]),
                _ => Err(ShippingRejection::NoLabel { shipment: shipment_id }),
            },
            C::Cancel(c) => self.cancel(shipment_id, c),
            C::Record(c) => self.record(shipment_id, c),
            C::Recall(_) => self.recall_again(shipment_id),
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
            E::Failed(_) if self.state == State::Dispatched => self.state = State::Lost,
            E::Failed(_) => self.state = State::Failed,
            E::Cancelled(_) => self.state = State::Cancelled,
            E::NewsKept(e) => match e.state {
                ShipmentState::Dispatched => self.early.dispatched = Some(e.at),
                state => self.early.ended = Some((state, e.at)),
            },
            E::RecallOpened(_) => self.recall = Recall::Open,
            E::Recalled(_) => self.recall = Recall::Done,
            E::RecallFailed(_) => self.recall = Recall::Failed,
        }
    }
}

impl Shipment {
    /// Hands it over; what the carrier said of it before fits now.
    fn dispatch(&self, shipment_id: ShipmentId, order_id: OrderId, now: Timestamp) -> Vec<ShippingEvent> {
        let Early { dispatched, ended } = self.early;
        let dispatched_at = dispatched.or(ended.map(|(_, at)| at)).unwrap_or(now);
        let (shipment, order) = (shipment_id.clone(), order_id.clone());
        let handed_over = ShippingDispatched { shipment_id: shipment, order_id: order, dispatched_at };
        let mut events = vec![ShippingEvent::Dispatched(handed_over)];
        events.extend(ended.map(|(state, at)| end(state, shipment_id, order_id, at)));
        events
    }

    fn cancel(&self, shipment_id: ShipmentId, cancel: CancelShipment) -> Result<Vec<ShippingEvent>, ShippingRejection> {
        let recall = recall(shipment_id.clone(), cancel.order_id.clone());
        match (self.state, self.recall) {
            (State::Dispatched | State::Delivered | State::Lost, _) => {
                Err(ShippingRejection::AlreadyDispatched { shipment: shipment_id })
            }
            (State::Cancelled, Recall::Failed) => Ok(vec![recall]),
            (State::Cancelled, _) => Ok(vec![]),
            (state, asked) => {
                let cancelled = ShippingCancelled { shipment_id, order_id: cancel.order_id, reason: cancel.reason };
                // While the label is under way nobody knows: its answer tells whether there is anything to recall.
                let has = state == State::Created && asked == Recall::None || asked == Recall::Failed;
                let mut events = vec![ShippingEvent::Cancelled(cancelled)];
                events.extend(has.then_some(recall));
                Ok(events)
            }
        }
    }

    fn recall_again(&self, shipment_id: ShipmentId) -> Result<Vec<ShippingEvent>, ShippingRejection> {
        match (self.order.clone(), self.recall) {
            (None, _) => Err(ShippingRejection::Unknown { shipment: shipment_id }),
            (Some(order), Recall::Failed) if !self.was_delivered() => Ok(vec![recall(shipment_id, order)]),
            _ => Err(ShippingRejection::NothingToRetry { shipment: shipment_id }),
        }
    }

    /// Whether the carrier has brought what nobody wanted any more: there is nothing to drop.
    fn was_delivered(&self) -> bool {
        matches!(self.early.ended, Some((ShipmentState::Delivered, _)))
    }

    fn record(&self, shipment_id: ShipmentId, news: RecordShipment) -> Result<Vec<ShippingEvent>, ShippingRejection> {
        use ShipmentState as N;
        let Some(order_id) = self.order.clone() else { return Ok(vec![]) };
        let event = match (news.state, self.state) {
            (N::Created, State::Opened) => return self.label(shipment_id, order_id, news).map(|label| vec![label]),
            // The label came, or may have come, after nobody wanted it any more.
            (N::Created | N::Unknown, State::Failed | State::Cancelled) if self.recall == Recall::None => {
                recall(shipment_id, order_id)
            }
            // The carrier may have it: whoever wanted it hears no, and it is dropped.
            (N::Unknown, State::Opened) => {
                let failed = ShippingFailed { order_id: order_id.clone(), reason: UNKNOWN.to_owned() };
                return Ok(vec![ShippingEvent::Failed(failed), recall(shipment_id, order_id)]);
            }
            (N::Failed, State::Opened) if self.early.dispatched.is_none() => {
                let reason = news.reason.unwrap_or_else(|| "undeliverable".to_owned());
                ShippingEvent::Failed(ShippingFailed { order_id, reason })
            }
            (N::Dispatched | N::Delivered | N::Failed, State::Opened | State::Created) if self.is_new(news.state) => {
                let (state, at) = (news.state, news.at);
                ShippingEvent::NewsKept(ShippingNewsKept { shipment_id, order_id, state, at })
            }
            // It was on its way before it was cancelled: what the carrier was asked to drop is gone.
            (N::Delivered, State::Failed | State::Cancelled) if self.is_new(news.state) => {
                let (state, at) = (news.state, news.at);
                ShippingEvent::NewsKept(ShippingNewsKept { shipment_id, order_id, state, at })
            }
            (N::Delivered | N::Failed, State::Dispatched) => end(news.state, shipment_id, order_id, news.at),
            (N::Cancelled, _) if self.recall == Recall::Open => {
                ShippingEvent::Recalled(ShippingRecalled { shipment_id, order_id })
            }
            (N::NotCancelled, _) if self.recall == Recall::Open => {
                let reason = news.reason.unwrap_or_else(|| "refused".to_owned());
                ShippingEvent::RecallFailed(ShippingRecallFailed { shipment_id, order_id, reason })
            }
            // Older news, or news about what has ended.
            _ => return Ok(vec![]),
        };
        Ok(vec![event])
    }

    fn label(
        &self,
        shipment_id: ShipmentId,
        order_id: OrderId,
        news: RecordShipment,
    ) -> Result<ShippingEvent, ShippingRejection> {
        let missing = |field| ShippingRejection::Incomplete { shipment: shipment_id.clone(), field };
        Ok(ShippingEvent::Created(ShippingCreated {
            order_id,
            carrier: news.carrier.ok_or_else(|| missing("carrier"))?,
            tracking_number: news.tracking_number.ok_or_else(|| missing("trackingNumber"))?,
            warehouse_id: self.warehouse.clone().unwrap_or_else(|| WarehouseId::from("main")),
            estimated_delivery: news.estimated_delivery.ok_or_else(|| missing("estimatedDelivery"))?,
            label_ref: news.label_ref.ok_or_else(|| missing("labelRef"))?,
            shipment_id,
        }))
    }

    /// Whether nothing of this kind was kept yet.
    fn is_new(&self, state: ShipmentState) -> bool {
        match state {
            ShipmentState::Dispatched => self.early.dispatched.is_none() && self.early.ended.is_none(),
            _ => self.early.ended.is_none(),
        }
    }
}

/// The end of a parcel that was on its way.
fn end(state: ShipmentState, shipment_id: ShipmentId, order_id: OrderId, at: Timestamp) -> ShippingEvent {
    match state {
        ShipmentState::Failed => ShippingEvent::Failed(ShippingFailed { order_id, reason: LOST.to_owned() }),
        _ => ShippingEvent::Delivered(ShippingDelivered { shipment_id, order_id, delivered_at: at }),
    }
}

fn recall(shipment_id: ShipmentId, order_id: OrderId) -> ShippingEvent {
    ShippingEvent::RecallOpened(ShippingRecallOpened { shipment_id, order_id })
}

#[cfg(test)]
mod tests;
