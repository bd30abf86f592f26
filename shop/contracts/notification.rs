//! notification-service: what customers and the shop's staff are told, by e-mail, text and push. Stream
//! `notification-<notificationId>`.

use super::ids::{CustomerId, NotificationId, OrderId};
use factum::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How somebody is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// By mail to the address of the customer.
    Email,
    /// By a text to the customer's number.
    Sms,
    /// By a message on the customer's devices.
    Push,
}

impl Channel {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Sms => "sms",
            Self::Push => "push",
        }
    }
}

/// Own. Published when a notification is written and its channel is to be asked to bring it.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("notification.opened", own)]
pub struct NotificationOpened {
    /// The notification.
    pub notification_id: NotificationId,
    /// How it goes.
    pub channel: Channel,
    /// What it says: the template's name, such as `order_shipped`.
    pub template: String,
    /// Whom it tells; absent for the shop's staff.
    pub customer_id: Option<CustomerId>,
    /// The order that it is about, if there is one.
    pub order_id: Option<OrderId>,
    /// The message that it tells of.
    pub cause_id: String,
    /// Where it goes: an address of mail, a number, or whose devices.
    #[personal(subject = customer_id)]
    pub to: String,
    /// What stands above it.
    #[personal(subject = customer_id)]
    pub subject: String,
    /// Its text.
    #[personal(subject = customer_id)]
    pub body: String,
}

/// Published when a notification was handed to its channel. Consumers count it; whether it was read nobody knows.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("notification.sent")]
pub struct NotificationSent {
    /// The notification.
    pub notification_id: NotificationId,
    /// How it went.
    pub channel: Channel,
    /// What it said: the template's name.
    pub template: String,
    /// Whom it told; absent for the shop's staff.
    pub customer_id: Option<CustomerId>,
    /// The order that it was about, if there was one.
    pub order_id: Option<OrderId>,
    /// The message that it told of.
    pub cause_id: String,
}

/// Published when a notification is given up: nobody is told by it. Consumers count it; nothing else waits for it.
#[derive(Event, Clone, Debug, PartialEq)]
#[event("notification.failed")]
pub struct NotificationFailed {
    /// The notification.
    pub notification_id: NotificationId,
    /// How it was to go.
    pub channel: Channel,
    /// What it was to say: the template's name.
    pub template: String,
    /// Whom it was to tell; absent for the shop's staff.
    pub customer_id: Option<CustomerId>,
    /// The order that it was about, if there was one.
    pub order_id: Option<OrderId>,
    /// The message that it was to tell of.
    pub cause_id: String,
    /// `no_address` if nobody knows where it should go; else why the channel did not take it.
    pub reason: String,
}

/// Asks the notification service to tell a customer something; answered by `notification.sent` or `notification.failed`. The
/// same command tells it once.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("notification.send")]
pub struct SendNotification {
    /// How.
    pub channel: Channel,
    /// What: the name of a template that has a text for this channel.
    pub template: String,
    /// Whom.
    pub customer_id: CustomerId,
    /// The order that it is about, if there is one.
    pub order_id: Option<OrderId>,
    /// What the template's names stand for; `name`, and `orderId` if there is an order, are known.
    #[serde(default)]
    pub values: BTreeMap<String, String>,
}

/// Own. Takes up a notification that is written; answered by `notification.opened`, by `notification.failed` if there is no
/// address, and by nothing if it was taken up before.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("notification.open", own)]
pub struct OpenNotification {
    /// The notification.
    pub notification_id: NotificationId,
    /// How it goes.
    pub channel: Channel,
    /// What it says: the template's name.
    pub template: String,
    /// Whom it tells; absent for the shop's staff.
    pub customer_id: Option<CustomerId>,
    /// The order that it is about, if there is one.
    pub order_id: Option<OrderId>,
    /// The message that it tells of.
    pub cause_id: String,
    /// Where it goes; absent if nobody knows.
    #[personal(subject = customer_id)]
    pub to: Option<String>,
    /// What stands above it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[personal(subject = customer_id)]
    pub subject: String,
    /// Its text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[personal(subject = customer_id)]
    pub body: String,
}

/// Own. Records what came of asking a channel; answered by `notification.sent` or `notification.failed`.
#[derive(Command, Clone, Debug, PartialEq)]
#[command("notification.record", own)]
pub struct RecordNotification {
    /// The notification.
    pub notification_id: NotificationId,
    /// Why it was not sent; absent if it was.
    pub failed: Option<String>,
}

/// What can happen to a notification.
#[derive(Event, Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each variant holds the type that its name says")]
pub enum NotificationEvent {
    Opened(NotificationOpened),
    Sent(NotificationSent),
    Failed(NotificationFailed),
}

/// What a notification can be asked.
#[derive(Command, Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each variant holds the type that its name says")]
pub enum NotificationCommand {
    Open(OpenNotification),
    Record(RecordNotification),
}

/// What the notification service can be asked by others.
#[derive(Command, Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each variant holds the type that its name says")]
pub enum MessengerCommand {
    Send(SendNotification),
}
