//! What may happen to a notification, rule by rule.

use factum_testing::scenario::{Given, given, given_nothing};

use super::*;
use crate::contracts::notification::{Channel, RecordNotification};

fn open(to: Option<&str>) -> NotificationCommand {
    NotificationCommand::Open(OpenNotification {
        notification_id: "n-1".into(),
        channel: Channel::Email,
        template: "order_paid".to_owned(),
        customer_id: Some("c".into()),
        order_id: Some("1".into()),
        cause_id: "e-1".to_owned(),
        to: to.map(str::to_owned),
        subject: "Paid".to_owned(),
        body: "It is paid.".to_owned(),
    })
}

fn opened() -> NotificationEvent {
    NotificationEvent::Opened(NotificationOpened {
        notification_id: "n-1".into(),
        channel: Channel::Email,
        template: "order_paid".to_owned(),
        customer_id: Some("c".into()),
        order_id: Some("1".into()),
        cause_id: "e-1".to_owned(),
        to: "ann@b".to_owned(),
        subject: "Paid".to_owned(),
        body: "It is paid.".to_owned(),
    })
}

fn sent() -> NotificationEvent {
    NotificationEvent::Sent(NotificationSent {
        notification_id: "n-1".into(),
        channel: Channel::Email,
        template: "order_paid".to_owned(),
        customer_id: Some("c".into()),
        order_id: Some("1".into()),
        cause_id: "e-1".to_owned(),
    })
}

fn failed(reason: &str) -> NotificationEvent {
    NotificationEvent::Failed(NotificationFailed {
        notification_id: "n-1".into(),
        channel: Channel::Email,
        template: "order_paid".to_owned(),
        customer_id: Some("c".into()),
        order_id: Some("1".into()),
        cause_id: "e-1".to_owned(),
        reason: reason.to_owned(),
    })
}

fn record(failed: Option<&str>) -> NotificationCommand {
    NotificationCommand::Record(RecordNotification { notification_id: "n-1".into(), failed: failed.map(str::to_owned) })
}

fn written() -> Given<Notification> {
    given([opened()])
}

#[test]
fn a_notification_is_opened_once_and_never_again_after_its_end() {
    given_nothing::<Notification>().when(open(Some("ann@b"))).then([opened()]).again_changes_nothing();
    for end in [sent(), failed("smtp_550")] {
        given::<Notification>([opened(), end]).when(open(Some("ann@b"))).then_nothing();
    }
}

#[test]
fn without_an_address_it_fails_and_stays_so_when_one_becomes_known() {
    given_nothing::<Notification>()
        .when(open(None))
        .then([failed("no_address")])
        .again_changes_nothing()
        .when(open(Some("ann@b")))
        .then_nothing();
}

#[test]
fn the_channels_first_answer_counts() {
    written().when(record(None)).then([sent()]).again_changes_nothing().when(record(Some("late"))).then_nothing();
    written().when(record(Some("smtp_550"))).then([failed("smtp_550")]).when(record(None)).then_nothing();
    given_nothing::<Notification>().when(record(None)).then_rejected("unknown_notification");
}
