//! The notification room: what customers and the shop's staff are told, by e-mail, text and push. Nothing waits for it.

pub mod decider;
pub mod gateway;
pub mod http;
pub mod reactions;
pub mod templates;
pub mod views;

use factum::prelude::*;

/// The notification service, over its channels.
pub fn service(channels: gateway::Channels) -> Service {
    let gateway::Channels { mail, sms, push, staff } = channels;
    Service::new("notification")
        .source("notification-service")
        .decider::<decider::Notification>()
        .folding(reactions::telling(staff))
        .reaction(reactions::handing_over())
        .call(gateway::mail(mail))
        .call(gateway::sms(sms))
        .call(gateway::push(push))
        .view(1, views::notifications)
        .routes(http::routes())
}
