//! The payment room: money that is held, taken and given back.

pub mod decider;
pub mod gateway;
pub mod http;
pub mod reactions;
pub mod views;

use factum::prelude::*;

use crate::contracts::{payment::*, process::Process};

/// The payment service, over a provider.
pub fn service(provider: gateway::Provider, process: Process) -> Service {
    let service = Service::new("payment")
        .source("payment-service")
        .decider::<decider::Payment>()
        .answers(held::<AuthorizePayment, PaymentAuthorized>().undone_by::<VoidPayment>())
        .answers(held::<CapturePayment, PaymentCaptured>().undone_by::<RefundPayment>())
        .answers(held::<ProcessPayment, PaymentCaptured>().undone_by::<RefundPayment>())
        .answers(Replies::to::<VoidPayment>().done::<PaymentVoided>().nothing_to_undo())
        .answers(Replies::to::<RefundPayment>().done::<PaymentRefunded>().done::<PaymentVoided>().nothing_to_undo())
        .reaction(reactions::asking())
        .react("give-back", reactions::give_back)
        .call(gateway::call(provider))
        .view(4, views::payments)
        .needs_person::<views::PaymentRow>("refused", "the provider has refused it: `shop payments --open`")
        .routes(http::routes());
    match process {
        Process::Orchestrated => service,
        Process::Choreographed => service.folding(reactions::paying()),
    }
}

/// The provider says yes, or it says no.
fn held<C: factum::payload::Command, E: factum::payload::Event>() -> Replies {
    Replies::to::<C>().done::<E>().refused::<PaymentFailed>(|e| e.reason.clone())
}
