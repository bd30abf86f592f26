//! What may happen to a notification: `– ─► opened ─► sent | failed`, or failed at once, without an address. The channel is
//! asked in between.

use factum::prelude::*;

use crate::contracts::{
    ids::NotificationId,
    notification::{
        NotificationCommand, NotificationEvent, NotificationFailed, NotificationOpened, NotificationSent,
        OpenNotification,
    },
};

/// Why a notification failed that nobody knows an address for.
const NO_ADDRESS: &str = "no_address";

/// A notification.
#[derive(Default)]
pub struct Notification {
    state: State,
}

#[derive(Default)]
enum State {
    #[default]
    None,
    Opened(Box<NotificationOpened>),
    Ended,
}

/// Why the notification service says no.
#[derive(Debug, Rejection)]
#[allow(missing_docs, reason = "each variant says itself what it is")]
pub enum NotificationRejection {
    #[rejection("unknown_notification", "there is no notification {id}", missing)]
    Unknown { id: NotificationId },
}

impl Decider for Notification {
    const CATEGORY: &'static str = "notification";
    type Id = NotificationId;
    type Command = NotificationCommand;
    type Event = NotificationEvent;
    type Rejection = NotificationRejection;

    fn address(command: &NotificationCommand, _: &Envelope) -> NotificationId {
        match command {
            NotificationCommand::Open(open) => open.notification_id.clone(),
            NotificationCommand::Record(record) => record.notification_id.clone(),
        }
    }

    fn decide(
        &self,
        id: &NotificationId,
        command: NotificationCommand,
        _: &Context,
    ) -> Result<Vec<NotificationEvent>, NotificationRejection> {
        match (command, &self.state) {
            (NotificationCommand::Open(open), State::None) => Ok(vec![opened(open)]),
            (NotificationCommand::Record(record), State::Opened(opened)) => Ok(vec![ended(opened, record.failed)]),
            (NotificationCommand::Record(_), State::None) => Err(NotificationRejection::Unknown { id: id.clone() }),
            // It is told once.
            _ => Ok(vec![]),
        }
    }

    fn evolve(&mut self, event: &NotificationEvent) {
        self.state = match event {
            // What it says is not needed any more.
            NotificationEvent::Opened(e) => {
                State::Opened(Box::new(NotificationOpened { subject: String::new(), body: String::new(), ..e.clone() }))
            }
            NotificationEvent::Sent(_) | NotificationEvent::Failed(_) => State::Ended,
        };
    }
}

fn opened(open: OpenNotification) -> NotificationEvent {
    let OpenNotification { notification_id, channel, template, customer_id, order_id, cause_id, to, subject, body } =
        open;
    match to {
        Some(to) => NotificationEvent::Opened(NotificationOpened {
            notification_id,
            channel,
            template,
            customer_id,
            order_id,
            cause_id,
            to,
            subject,
            body,
        }),
        None => {
            let reason = NO_ADDRESS.to_owned();
            NotificationEvent::Failed(NotificationFailed {
                notification_id,
                channel,
                template,
                customer_id,
                order_id,
                cause_id,
                reason,
            })
        }
    }
}

fn ended(opened: &NotificationOpened, failed: Option<String>) -> NotificationEvent {
    let NotificationOpened { notification_id, channel, template, customer_id, order_id, cause_id, .. } = opened.clone();
    match failed {
        None => NotificationEvent::Sent(NotificationSent {
            notification_id,
            channel,
            template,
            customer_id,
            order_id,
            cause_id,
        }),
        Some(reason) => NotificationEvent::Failed(NotificationFailed {
            notification_id,
            channel,
            template,
            customer_id,
            order_id,
            cause_id,
            reason,
        }),
    }
}

#[cfg(test)]
mod tests;
