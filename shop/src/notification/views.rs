//! What can be asked about notifications.

use factum::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contracts::{
    ids::{CustomerId, NotificationId, OrderId},
    notification::{Channel, NotificationEvent, NotificationFailed},
};

/// How far a notification is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NotificationStatus {
    /// Its channel has not taken it yet.
    Open,
    /// Its channel has it.
    Sent,
    /// Nobody is told.
    Failed,
}

/// A notification, as it was sent or, where the channel is only simulated, as it would have been.
#[derive(Clone, Debug, Row)]
#[row("notifications")]
#[allow(missing_docs, reason = "the fields are those of the contract")]
pub struct NotificationRow {
    #[key]
    pub notification_id: NotificationId,
    pub channel: Channel,
    pub template: String,
    #[index]
    pub status: NotificationStatus,
    #[index]
    pub customer_id: Option<CustomerId>,
    #[index]
    pub order_id: Option<OrderId>,
    pub cause_id: String,
    pub to: Option<String>,
    pub subject: Option<String>,
    pub body: Option<String>,
    /// Why it failed.
    pub reason: Option<String>,
    #[index]
    pub opened_at: Timestamp,
    /// When it was sent, or failed.
    pub ended_at: Option<Timestamp>,
}

/// Follows the notifications.
pub fn notifications(rows: &mut Rows<NotificationRow>, event: &Recorded<NotificationEvent>) {
    match &event.data {
        NotificationEvent::Opened(e) => rows.put(NotificationRow {
            notification_id: e.notification_id.clone(),
            channel: e.channel,
            template: e.template.clone(),
            status: NotificationStatus::Open,
            customer_id: e.customer_id.clone(),
            order_id: e.order_id.clone(),
            cause_id: e.cause_id.clone(),
            to: Some(e.to.clone()),
            subject: Some(e.subject.clone()),
            body: Some(e.body.clone()),
            reason: None,
            opened_at: event.at(),
            ended_at: None,
        }),
        NotificationEvent::Sent(e) => {
            rows.update(&e.notification_id, |row| {
                row.status = NotificationStatus::Sent;
                row.ended_at = Some(event.at());
            });
        }
        NotificationEvent::Failed(e) => {
            let known = rows.update(&e.notification_id, |row| {
                row.status = NotificationStatus::Failed;
                row.reason = Some(e.reason.clone());
                row.ended_at = Some(event.at());
            });
            if !known {
                rows.put(unsent(e, event.at()));
            }
        }
    }
}

/// One that failed before it was opened.
fn unsent(failed: &NotificationFailed, at: Timestamp) -> NotificationRow {
    NotificationRow {
        notification_id: failed.notification_id.clone(),
        channel: failed.channel,
        template: failed.template.clone(),
        status: NotificationStatus::Failed,
        customer_id: failed.customer_id.clone(),
        order_id: failed.order_id.clone(),
        cause_id: failed.cause_id.clone(),
        to: None,
        subject: None,
        body: None,
        reason: Some(failed.reason.clone()),
        opened_at: at,
        ended_at: Some(at),
    }
}
