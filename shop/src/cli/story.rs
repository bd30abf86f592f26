//! An order's story: its stream, what followed in all services, and what it was at a time.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use anyhow::bail;
use factum::{
    Archive,
    envelope::{Kind, Stored},
    id::MessageId,
    prelude::*,
    stream::StreamId,
};
use serde_json::Value;
use shop::{
    contracts::{
        ids::{OrderId, PaymentId, ShipmentId},
        loyalty::PointsAwarded,
        notification::NotificationOpened,
        order::{OrderEvent, OrderStatus},
    },
    order::{decider::word, views::OrderRow},
    plain::plain,
};

use super::summary::money;

/// The whole history of an order.
pub fn history(archive: &Archive, order: &str, json: bool) -> anyhow::Result<String> {
    let stream = stream_of(archive, order)?;
    // What a person has asked again for its payment or its parcel began as something of its own.
    let id = OrderId::from(order);
    let payment = archive.stream(&StreamId::new("payment", PaymentId::of(&id).as_str())?)?;
    let shipment = archive.stream(&StreamId::new("shipment", ShipmentId::of(&id).as_str())?)?;
    let own = stream.iter().chain(&payment).chain(&shipment);
    let ids: BTreeSet<MessageId> = own.map(|stored| stored.envelope().correlation_id.clone()).collect();
    let messages = archive.correlated(&ids)?;
    let mut text = String::new();
    if json {
        for stored in &messages {
            let _ = writeln!(text, "{}", serde_json::to_string(stored)?);
        }
        return Ok(text);
    }
    let _ = writeln!(text, "Order {}, its own stream:", plain(order));
    for stored in &stream {
        let _ = writeln!(text, "  {:>3}  {}  {}", stored.version.0, time(stored), stored.type_name());
    }
    let count = messages.len();
    let _ = writeln!(
        text,
        "\nEverything that followed, in all services ({count} messages; ▸ command, ⇢ call, ✗ rejection):"
    );
    tree(&mut text, &messages);
    Ok(text)
}

/// The stories of two orders: one that was undone, and one that went well, with what its customer was told.
pub fn two(archive: &Archive) -> anyhow::Result<String> {
    let wanted = |name: &str| matches!(name, "order.cancelled" | "loyalty.points_awarded");
    let (mut undone, mut delivered) = (None, None);
    archive.each::<anyhow::Error>(Some(&wanted), |stored| {
        if stored.envelope().kind != Kind::Event {
            return Ok(());
        }
        if stored.type_name() == "order.cancelled" {
            undone.get_or_insert_with(|| stored.stream.key().to_owned());
        } else {
            delivered.get_or_insert(stored.decode::<PointsAwarded>()?.order_id.to_string());
        }
        Ok(())
    })?;
    let mut text = String::new();
    for (what, order) in [("was undone", undone), ("went well", delivered.clone())] {
        if let Some(order) = order {
            let story = history(archive, &order, false)?;
            let _ = writeln!(text, "An order that {what} (shop history {}):\n{story}", plain(&order));
        }
    }
    if let Some(order) = delivered {
        told(&mut text, archive, &order)?;
    }
    Ok(text)
}

/// What an order's customer was told.
fn told(text: &mut String, archive: &Archive, order: &str) -> anyhow::Result<()> {
    let mut first = true;
    archive.each::<anyhow::Error>(Some(&|name| name == "notification.opened"), |stored| {
        let note: NotificationOpened = stored.decode()?;
        if note.order_id.as_ref().is_some_and(|id| id.as_str() == order) {
            if std::mem::take(&mut first) {
                let _ =
                    writeln!(text, "What its customer was told (simulated; `shop serve --mail smtp://…` sends it):");
            }
            let _ = writeln!(text, "  {}  to {}: {}", time(stored), plain(&note.to), plain(&note.subject));
            let lines = note.body.lines().filter(|line| !line.trim().is_empty());
            lines.for_each(|line| _ = writeln!(text, "                       {}", plain(line)));
        }
        Ok(())
    })?;
    if !first {
        text.push('\n');
    }
    Ok(())
}

/// An order as it was at a time.
pub fn at(archive: &Archive, order: &str, time: Timestamp) -> anyhow::Result<String> {
    let stream = stream_of(archive, order)?;
    let mut row: Option<OrderRow> = None;
    let mut version = 0;
    for stored in stream.iter().filter(|stored| stored.envelope().kind == Kind::Event) {
        if stored.envelope().timestamp > time {
            break;
        }
        version = stored.version.0;
        match (&mut row, stored.decode::<OrderEvent>()?) {
            (None, OrderEvent::Created(created)) => row = Some(OrderRow::of(&created, stored.envelope().timestamp)),
            (Some(row), event) => row.take(&event),
            (None, _) => {}
        }
    }
    let Some(row) = row else {
        let first = stream.first().map(|stored| stored.envelope().timestamp.to_string()).unwrap_or_default();
        bail!("order {order} did not exist at {time}: it was placed at {first}");
    };
    let mut text = format!("Order {} at {time} (version {version} of its stream):\n", plain(order));
    let _ = writeln!(text, "  status      {}", word(row.status));
    let _ = writeln!(text, "  placed      {}", row.created_at);
    let _ = writeln!(
        text,
        "  customer    {}",
        row.customer_id.as_ref().map_or_else(|| "a guest".to_owned(), |id| plain(id.as_str()))
    );
    let _ = writeln!(text, "  pieces      {}", row.item_count);
    let _ = writeln!(text, "  total       {}", money(row.total_amount.amount));
    let lines = [
        ("country", row.country.clone()),
        ("payment", row.payment_id.as_ref().map(ToString::to_string)),
        ("carrier", row.carrier.clone()),
        ("tracking", row.tracking_number.clone()),
        ("expected", row.estimated_delivery.map(|at| at.to_string()).filter(|_| row.status == OrderStatus::Shipped)),
        ("delivered", row.delivered_at.map(|at| at.to_string())),
        ("reason", row.reason.clone()),
        ("given back", row.returned_amount.map(|amount| money(amount.amount))),
    ];
    for (name, value) in lines {
        if let Some(value) = value {
            let _ = writeln!(text, "  {name:<11} {}", plain(&value));
        }
    }
    Ok(text)
}

fn stream_of(archive: &Archive, order: &str) -> anyhow::Result<Vec<Stored>> {
    let stream = archive.stream(&StreamId::new("order", order)?)?;
    if stream.is_empty() {
        bail!("there is no order {order} in this directory");
    }
    Ok(stream)
}

fn tree(text: &mut String, messages: &[Stored]) {
    let known: BTreeSet<&MessageId> = messages.iter().map(|stored| &stored.envelope().id).collect();
    let mut children: BTreeMap<Option<&MessageId>, Vec<&Stored>> = BTreeMap::new();
    for stored in messages {
        let cause = stored.envelope().causation_id.as_ref().filter(|cause| known.contains(cause));
        children.entry(cause).or_default().push(stored);
    }
    for root in children.get(&None).into_iter().flatten() {
        branch(text, root, &children, "", "");
    }
}

fn branch(
    text: &mut String,
    stored: &Stored,
    children: &BTreeMap<Option<&MessageId>, Vec<&Stored>>,
    lead: &str,
    below: &str,
) {
    let mark = match stored.envelope().kind {
        Kind::Event => "",
        Kind::Command => "▸",
        Kind::Call => "⇢ ",
        Kind::Rejection => "✗ ",
        Kind::Receipt => "✓ ",
    };
    let what = format!("{lead}{mark}{}", stored.type_name());
    let _ = writeln!(text, "  {}  {what:<58} {}{}", time(stored), plain(stored.stream.as_str()), detail(stored));
    let followers = children.get(&Some(&stored.envelope().id)).map_or(&[][..], Vec::as_slice);
    for (index, follower) in followers.iter().enumerate() {
        // A single line of causes is not indented: only a fork is.
        let (lead, below) = match (followers.len(), index + 1 == followers.len()) {
            (1, _) => (below.to_owned(), below.to_owned()),
            (_, true) => (format!("{below}└─ "), format!("{below}   ")),
            (_, false) => (format!("{below}├─ "), format!("{below}│  ")),
        };
        branch(text, follower, children, &lead, &below);
    }
}

/// What a reader wants to see of the data: why, how it ended, and which step.
fn detail(stored: &Stored) -> String {
    let Ok(Value::Object(data)) = serde_json::from_slice::<Value>(&stored.message.data) else { return String::new() };
    let mut text = String::new();
    for field in
        ["step", "sent", "verdict", "isValid", "act", "reason", "message", "channel", "template", "deliveredAt"]
    {
        match data.get(field) {
            Some(Value::String(value)) => _ = write!(text, " {field}={}", plain(value)),
            Some(Value::Array(values)) if !values.is_empty() => {
                let words: Vec<&str> = values.iter().filter_map(Value::as_str).collect();
                let _ = write!(text, " {field}={}", plain(&words.join(",")));
            }
            Some(Value::Bool(value)) => _ = write!(text, " {field}={value}"),
            _ => {}
        }
    }
    for field in ["points", "balance", "orderCount"] {
        if let Some(Value::Number(value)) = data.get(field) {
            let _ = write!(text, " {field}={value}");
        }
    }
    text
}

fn time(stored: &Stored) -> String {
    stored.envelope().timestamp.strftime("%Y-%m-%d %H:%M:%S").to_string()
}
