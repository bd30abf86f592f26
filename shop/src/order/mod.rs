//! The order room: orders from the first click to the last return, and the process that fulfils them.

pub mod choreography;
pub mod decider;
pub mod http;
pub mod pieces;
pub mod pricing;
pub mod reactions;
pub mod saga;
pub mod upcasters;
pub mod views;

use std::time::Duration;

use factum::prelude::*;

use crate::contracts::{order::*, process::Process};

/// The order service. An order waits so long for a provider and a carrier.
pub fn service(process: Process, patience: Duration) -> Service {
    let names = views::customer_names();
    let service = Service::new("order")
        .source("order-service")
        .decider::<decider::Order>()
        .decider::<decider::Credit>()
        .answers(
            Replies::to::<CreateOrder>()
                .done::<OrderCreated>()
                .undone_by::<CancelOrder>()
                .error("order_creation_failed"),
        )
        .answers(Replies::to::<CancelOrder>().done::<OrderCancelled>().nothing_to_undo())
        .answers(Replies::to::<MarkPaid>().done::<OrderPaid>().nothing_to_undo())
        .folding(reactions::contacts())
        .react("carts", reactions::order_cart)
        .view(2, views::orders)
        .view(1, views::order_lines)
        .view(1, views::prices)
        .view(1, views::order_customers)
        .view(2, views::order_payments)
        .cache(names.follow(views::called))
        .routes(http::routes(names))
        .upcast("order.created", "0.9.0", "1.0.0", upcasters::total)
        .upcast("order.created", "1.0.0", "1.1.0", upcasters::channel);
    match process {
        Process::Orchestrated => service.saga(saga::fulfilment(patience)),
        Process::Choreographed => service.folding(choreography::choreography()),
    }
}
