//! The inventory room: what lies in the warehouses, and for whom it is kept.

pub mod decider;
pub mod http;
pub mod reactions;
pub mod views;

use factum::prelude::*;

use crate::contracts::{
    inventory::{InventoryReleased, InventoryReserved, ReleaseStock, ReservationFailed, ReserveStock},
    process::Process,
};

/// The inventory service.
pub fn service(process: Process) -> Service {
    let service = Service::new("inventory")
        .source("inventory-service")
        .decider_with_snapshots::<decider::Warehouse>(2)
        .answers(
            Replies::to::<ReserveStock>()
                .done::<InventoryReserved>()
                .refused::<ReservationFailed>(|e| e.reason.clone())
                .undone_by::<ReleaseStock>(),
        )
        .answers(Replies::to::<ReleaseStock>().done::<InventoryReleased>().nothing_to_undo())
        .react("follow-orders", reactions::follow_orders)
        .reaction(reactions::reordering())
        .owns("reorder")
        .view(1, views::stock)
        .routes(http::routes());
    match process {
        Process::Orchestrated => service,
        Process::Choreographed => service.folding(reactions::keeping()),
    }
}
