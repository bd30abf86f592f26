//! What is under way in a directory and came with no file: it lives in the present, and an import would carry it out ahead
//! of its time.

use std::collections::BTreeSet;

use anyhow::bail;
use factum::prelude::*;

use super::{
    journal::{InvoiceImported, InvoiceKind},
    settle,
};
use crate::{
    contracts::{
        cart::{CartAbandoned, CartCheckedOut, CartCreated},
        ids::{CartId, OrderId},
        order::{OrderCancelled, OrderCreated, OrderDelivered, OrderRejected, OrderReturned},
    },
    data::Data,
    plural::counted,
    services::archive_if_any,
};

/// What has begun and not ended.
#[derive(Default)]
struct Open {
    orders: BTreeSet<OrderId>,
    carts: BTreeSet<CartId>,
}

#[derive(Event)]
#[allow(clippy::large_enum_variant, reason = "one at a time, never kept")]
enum Told {
    Created(OrderCreated),
    Imported(InvoiceImported),
    Rejected(OrderRejected),
    Cancelled(OrderCancelled),
    Delivered(OrderDelivered),
    Returned(OrderReturned),
    Opened(CartCreated),
    CheckedOut(CartCheckedOut),
    Abandoned(CartAbandoned),
}

impl Open {
    fn hear(&mut self, event: &Recorded<Told>) {
        match &event.data {
            Told::Created(e) => _ = self.orders.insert(e.order_id.clone()),
            // The journal's entry stands in the commit of its order: no other order has that number.
            Told::Imported(e) if e.kind == InvoiceKind::Order => self.end(&OrderId::from(e.invoice.as_str())),
            Told::Imported(_) => {}
            Told::Rejected(e) => self.end(&e.order_id),
            Told::Cancelled(e) => self.end(&e.order_id),
            Told::Delivered(e) => self.end(&e.order_id),
            Told::Returned(e) => self.end(&e.order_id),
            Told::Opened(e) => _ = self.carts.insert(e.cart_id.clone()),
            Told::CheckedOut(e) => _ = self.carts.remove(&e.cart_id),
            Told::Abandoned(e) => _ = self.carts.remove(&e.cart_id),
        }
    }

    fn end(&mut self, order: &OrderId) {
        self.orders.remove(order);
    }
}

/// Refuses to import into a directory in which something is under way that no file brought.
///
/// # Errors
/// A sentence that says what to do; or the log cannot be read.
pub(super) fn refuse(data: &Data) -> anyhow::Result<()> {
    let Some(archive) = archive_if_any(data)? else { return Ok(()) };
    let Open { orders, carts } = archive.fold::<Told, Open>(Open::default(), Open::hear)?;
    // Calls of an import that was cut off are its own: it goes on with them.
    let calls = if settle::unfinished(&archive)?.is_empty() { archive.under_way()?.calls } else { 0 };
    let counts = [(orders.len(), "order"), (carts.len(), "cart"), (calls, "open call")].into_iter();
    let open: Vec<_> =
        counts.filter(|(count, _)| *count > 0).map(|(count, what)| counted(count as u64, what)).collect();
    if open.is_empty() {
        return Ok(());
    }
    bail!(
        "in {} not all that came over HTTP is over ({}), and an import runs on its file's time: it would carry that out \
         ahead of its own. Nothing was stored. Let `shop serve` run there until the orders are delivered or cancelled, the \
         carts checked out or abandoned and the calls answered, stop it in order and import then; or import into another \
         directory",
        data,
        open.join(", ")
    )
}
