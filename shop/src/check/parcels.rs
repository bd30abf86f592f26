//! Parcels against the orders that they are of: none is lost sight of when its order is given up, and no order is shipped
//! without one.

use std::collections::BTreeMap;

use factum::{Archive, UnderWay, prelude::*};

use super::Findings;
use crate::contracts::{
    ids::{OrderId, ShipmentId},
    order::{OrderCancelled, OrderShipped},
    shipping::*,
};

/// What became of a shipment.
#[derive(Default)]
struct Parcel {
    order: Option<OrderId>,
    /// The carrier has it in its books.
    labelled: bool,
    dispatched: bool,
    /// It was brought, or lost on its way.
    ended: bool,
    recall: Recall,
}

/// What the carrier was asked to drop.
#[derive(Default)]
enum Recall {
    #[default]
    None,
    Open,
    Done,
    Failed(String),
}

#[derive(Default)]
struct Books {
    parcels: BTreeMap<ShipmentId, Parcel>,
    /// By order: whether it was shipped, whether it was cancelled.
    orders: BTreeMap<OrderId, (bool, bool)>,
}

#[derive(Event)]
enum Told {
    Shipped(OrderShipped),
    Cancelled(OrderCancelled),
}

/// Checks the parcels. While anything is unread or asked, all may still be well.
pub(super) fn check(archive: &Archive, findings: &mut Findings, under_way: &UnderWay) -> Result<(), HandlerError> {
    if !under_way.is_quiet() {
        return Ok(());
    }
    let books = archive.fold::<Told, Books>(Books::default(), of_orders)?;
    let books = archive.fold::<ShippingEvent, Books>(books, of_parcels)?;
    for (id, parcel) in &books.parcels {
        let order = parcel.order.as_ref();
        let (_, cancelled) = order.and_then(|order| books.orders.get(order)).copied().unwrap_or_default();
        match &parcel.recall {
            _ if parcel.ended => {}
            Recall::Open => {
                findings.problem(format!("shipment {id}: the carrier is to drop it, and nobody asks for that"));
            }
            Recall::Failed(reason) => findings
                .problem(format!("shipment {id}: the carrier has not dropped it ({reason}); a person must see to it")),
            Recall::None if cancelled && parcel.labelled => findings
                .problem(format!("shipment {id}: its order was cancelled, and it was neither dropped nor delivered")),
            Recall::None | Recall::Done => {}
        }
    }
    for (id, (shipped, _)) in books.orders {
        let parcel = books.parcels.get(&ShipmentId::of(&id));
        if shipped && !parcel.is_some_and(|parcel| parcel.dispatched) {
            findings.problem(format!("order {id} was shipped, and no parcel was handed over"));
        }
    }
    Ok(())
}

fn of_orders(books: &mut Books, event: &Recorded<Told>) {
    match &event.data {
        Told::Shipped(e) => books.orders.entry(e.order_id.clone()).or_default().0 = true,
        Told::Cancelled(e) => books.orders.entry(e.order_id.clone()).or_default().1 = true,
    }
}

fn of_parcels(books: &mut Books, event: &Recorded<ShippingEvent>) {
    use ShippingEvent as E;
    let mut of = |id: &ShipmentId, change: &dyn Fn(&mut Parcel)| change(books.parcels.entry(id.clone()).or_default());
    match &event.data {
        E::Opened(e) => of(&e.shipment_id, &|parcel| parcel.order = Some(e.order_id.clone())),
        E::Created(e) => of(&e.shipment_id, &|parcel| parcel.labelled = true),
        E::Dispatched(e) => of(&e.shipment_id, &|parcel| parcel.dispatched = true),
        E::Delivered(e) => of(&e.shipment_id, &|parcel| parcel.ended = true),
        // Lost on its way, or refused before there was a label; of one that nobody knows of a recall follows.
        E::Failed(e) => of(&ShipmentId::of(&e.order_id), &|parcel| parcel.ended = parcel.dispatched),
        E::NewsKept(e) if e.state == ShipmentState::Delivered => of(&e.shipment_id, &|parcel| parcel.ended = true),
        E::NewsKept(_) | E::Cancelled(_) => {}
        E::RecallOpened(e) => of(&e.shipment_id, &|parcel| parcel.recall = Recall::Open),
        E::Recalled(e) => of(&e.shipment_id, &|parcel| parcel.recall = Recall::Done),
        E::RecallFailed(e) => of(&e.shipment_id, &|parcel| parcel.recall = Recall::Failed(e.reason.clone())),
    }
}
