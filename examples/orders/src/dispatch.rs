//! The unit beside it: packs a parcel for each order, and shows which there are.

use factum::prelude::*;

use crate::OrderPlaced;

/// Asks for a parcel.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("parcel.pack")]
pub struct PackParcel {
    /// The order.
    pub order_id: String,
}

/// Published when a parcel is packed.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("parcel.packed")]
pub struct ParcelPacked {
    /// The order.
    pub order_id: String,
}

/// A parcel: packed once.
#[derive(Clone, Debug, Default)]
pub struct Parcel {
    packed: bool,
}

impl Decider for Parcel {
    const CATEGORY: &'static str = "parcel";
    type Id = String;
    type Command = PackParcel;
    type Event = ParcelPacked;
    type Rejection = Never;

    fn address(command: &PackParcel, _: &Envelope) -> String {
        command.order_id.clone()
    }

    fn decide(&self, id: &String, _: PackParcel, _: &Context) -> Result<Vec<ParcelPacked>, Never> {
        Ok(if self.packed { Vec::new() } else { vec![ParcelPacked { order_id: id.clone() }] })
    }

    fn evolve(&mut self, _: &ParcelPacked) {
        self.packed = true;
    }
}

/// An order as it is seen here.
#[derive(Row, Clone, Debug, PartialEq)]
#[row("orders")]
pub struct OrderRow {
    /// The order.
    #[key]
    pub order_id: String,
    /// What is wanted.
    pub sku: String,
    /// How much of it.
    pub quantity: i32,
}

/// A parcel as it is seen.
#[derive(Row, Clone, Debug, PartialEq)]
#[row("parcels")]
pub struct ParcelRow {
    /// The order that it is for.
    #[key]
    pub order_id: String,
    /// How often it was packed.
    pub packed: u32,
}

fn pack(placed: &Recorded<'_, OrderPlaced>, fx: &mut Effects) {
    fx.send(PackParcel { order_id: placed.order_id.clone() });
}

fn orders(rows: &mut Rows<'_, OrderRow>, placed: &Recorded<'_, OrderPlaced>) {
    let OrderPlaced { order_id, sku, quantity } = placed.data.clone();
    rows.put(OrderRow { order_id, sku, quantity });
}

fn parcels(rows: &mut Rows<'_, ParcelRow>, packed: &Recorded<'_, ParcelPacked>) {
    let order_id = packed.order_id.clone();
    let before = rows.get(&order_id).map_or(0, |row| row.packed);
    rows.put(ParcelRow { order_id, packed: before + 1 });
}

/// The service.
pub fn service() -> Service {
    Service::new("dispatch").decider::<Parcel>().react("pack", pack).view(1, orders).view(1, parcels)
}
