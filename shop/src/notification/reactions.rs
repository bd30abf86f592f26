//! What the notification service does when something happens: it writes to whom it concerns, and hands over what is written.

use std::{
    borrow::Cow,
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use factum::prelude::*;
use serde::{Deserialize, Serialize};

use super::{
    gateway::{self, Letter},
    templates::{self, TextRejection, Values},
};
use crate::contracts::{
    cart::{CartAbandoned, TIMED_OUT},
    customer::{CustomerEvent, CustomerUpdated},
    ids::{CreditId, CustomerId, NotificationId, OrderId},
    inventory::LowStockDetected,
    notification::{Channel, NotificationOpened, OpenNotification, SendNotification},
    order::*,
    payment::{PaymentFailed, PaymentRefunded},
    shapes::Contact,
};

/// An order that is over is forgotten after so long, so that not all that ever were ordered are kept: what is given back for it
/// later is given back without a letter.
const REMEMBERED: Duration = Duration::from_secs(90 * 86_400);

/// Whom an order, or a credit, concerns, and how they are reached.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Addressees {
    contacts: BTreeMap<CustomerId, Contact>,
    orders: BTreeMap<OrderId, Concerned>,
    credits: BTreeMap<CreditId, CustomerId>,
    over: VecDeque<(Timestamp, Over)>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Concerned {
    customer: CustomerId,
    /// Who brings it, once that is known.
    carrier: Option<String>,
    /// When it was over last.
    over: Option<Timestamp>,
}

#[derive(Clone, Serialize, Deserialize)]
enum Over {
    Order(OrderId),
    Credit(CreditId),
}

/// What tells how far an order is, and whom a credit concerns.
#[derive(Event)]
#[allow(missing_docs, reason = "each variant holds the type that its name says")]
pub enum Concerns {
    Shipped(OrderShipped),
    Delivered(OrderDelivered),
    Rejected(OrderRejected),
    Cancelled(OrderCancelled),
    Returned(OrderReturned),
    Credited(OrderCredited),
}

/// What customers and staff are told.
#[derive(Event)]
#[allow(missing_docs, reason = "each variant holds the type that its name says")]
pub enum Worth {
    Created(OrderHead),
    Rejected(OrderRejected),
    Paid(OrderPaid),
    Shipped(OrderShipped),
    Delivered(OrderDelivered),
    Cancelled(OrderCancelled),
    Failed(PaymentFailed),
    Refunded(PaymentRefunded),
    LowStock(LowStockDetected),
    Abandoned(CartAbandoned),
    Changed(CustomerUpdated),
}

/// Writes to whom it concerns. The staff is told at an address of its own.
pub fn telling(staff: String) -> Folding<Addressees> {
    Folding::new("telling", 1)
        .fold(known)
        .fold(placed)
        .fold(concerned)
        .react(move |addressees: &Addressees, event: &Recorded<Worth>, fx: &mut Effects| {
            addressees.tell(event, &staff, fx);
        })
        .answer(Addressees::send)
        .snapshots()
}

fn known(addressees: &mut Addressees, event: &Recorded<CustomerEvent>) {
    match &event.data {
        CustomerEvent::Registered(e) => {
            if e.name.is_some() || e.email.is_some() || e.phone.is_some() {
                let contact = Contact { name: e.name.clone(), email: e.email.clone(), phone: e.phone.clone() };
                addressees.contacts.insert(e.customer_id.clone(), contact);
            }
        }
        CustomerEvent::Updated(e) => {
            let contact = addressees.contacts.entry(e.customer_id.clone()).or_default();
            let named = |field: &str| e.fields.iter().any(|name| name == field);
            for (field, known, new) in [
                ("name", &mut contact.name, &e.name),
                ("email", &mut contact.email, &e.email),
                ("phone", &mut contact.phone, &e.phone),
            ] {
                if named(field) {
                    known.clone_from(new);
                }
            }
        }
    }
}

fn placed(addressees: &mut Addressees, event: &Recorded<OrderHead>) {
    addressees.forget(event.at());
    if let Some(customer) = event.customer_id.clone() {
        let concerned = Concerned { customer, carrier: None, over: None };
        addressees.orders.insert(event.order_id.clone(), concerned);
    }
}

fn concerned(addressees: &mut Addressees, event: &Recorded<Concerns>) {
    let at = event.at();
    addressees.forget(at);
    match &event.data {
        Concerns::Shipped(e) => {
            if let Some(order) = addressees.orders.get_mut(&e.order_id) {
                order.carrier = Some(e.carrier.clone());
            }
        }
        Concerns::Delivered(OrderDelivered { order_id, .. })
        | Concerns::Rejected(OrderRejected { order_id, .. })
        | Concerns::Cancelled(OrderCancelled { order_id, .. })
        | Concerns::Returned(OrderReturned { order_id, .. }) => {
            if let Some(order) = addressees.orders.get_mut(order_id) {
                order.over = Some(at);
                addressees.over.push_back((at, Over::Order(order_id.clone())));
            }
        }
        Concerns::Credited(e) => {
            if let Some(customer) = &e.customer_id {
                addressees.credits.insert(e.credit_id.clone(), customer.clone());
                addressees.over.push_back((at, Over::Credit(e.credit_id.clone())));
            }
        }
    }
}

/// Whom something is about.
#[derive(Clone, Copy)]
struct About<'a> {
    customer: &'a CustomerId,
    order: Option<&'a OrderId>,
}

impl Addressees {
    /// Lets go of what has been over for long.
    fn forget(&mut self, now: Timestamp) {
        let long = |at: Timestamp| Duration::try_from(now.duration_since(at)).is_ok_and(|since| since > REMEMBERED);
        while self.over.front().is_some_and(|(at, _)| long(*at)) {
            match self.over.pop_front() {
                Some((_, Over::Credit(credit))) => _ = self.credits.remove(&credit),
                // Something came back since, and is over later.
                Some((at, Over::Order(order))) if self.orders.get(&order).is_some_and(|it| it.over == Some(at)) => {
                    self.orders.remove(&order);
                }
                _ => {}
            }
        }
    }

    fn of<'a>(&'a self, order: &'a OrderId) -> Option<About<'a>> {
        let concerned = self.orders.get(order)?;
        Some(About { customer: &concerned.customer, order: Some(order) })
    }

    fn tell(&self, event: &Recorded<Worth>, staff: &str, fx: &mut Effects) {
        let cause = event.envelope().id.to_string();
        let text = |text: &'static str| Cow::Borrowed(text);
        let (about, template, values) = match &event.data {
            Worth::Created(e) => {
                let about = e.customer_id.as_ref().map(|customer| About { customer, order: Some(&e.order_id) });
                (about, "order_created", vec![("total", money(e.total))])
            }
            Worth::Rejected(e) => {
                let items = e.invalid_items.iter().map(|item| item.sku.as_str());
                let values = vec![("reason", words(&e.reason)), ("items", Cow::Owned(some(items)))];
                (self.of(&e.order_id), "order_rejected", values)
            }
            Worth::Paid(e) => (self.of(&e.order_id), "order_paid", vec![("amount", money(e.amount))]),
            Worth::Shipped(e) => {
                let values = vec![("carrier", plain(&e.carrier)), ("tracking", plain(&e.tracking_number))];
                (self.of(&e.order_id), "order_shipped", values)
            }
            Worth::Delivered(e) => {
                let carrier = self.orders.get(&e.order_id).and_then(|order| order.carrier.as_deref());
                let carrier = carrier.map_or(text("The carrier"), plain);
                (self.of(&e.order_id), "order_delivered", vec![("carrier", carrier)])
            }
            Worth::Cancelled(e) => (self.of(&e.order_id), "order_cancelled", vec![("reason", words(&e.reason))]),
            Worth::Failed(e) => (self.of(&e.order_id), "payment_failed", vec![("reason", words(&e.reason))]),
            Worth::Refunded(e) => {
                let of_credit = || {
                    let customer = e.credit_id.as_ref().and_then(|credit| self.credits.get(credit))?;
                    Some(About { customer, order: None })
                };
                let about = e.order_id.as_ref().and_then(|order| self.of(order)).or_else(of_credit);
                (about, "payment_refunded", vec![("amount", money(e.amount)), ("reason", words(&e.reason))])
            }
            Worth::Abandoned(e) => {
                // Who gives a cart up knows of it, and an empty one is nothing to come back for.
                let reminded = e.reason == TIMED_OUT && !e.items.is_empty();
                let about = e.customer_id.as_ref().filter(|_| reminded);
                let items = Cow::Owned(some(e.items.iter().map(|item| item.name.as_str())));
                (about.map(|customer| About { customer, order: None }), "cart_abandoned", vec![("items", items)])
            }
            Worth::Changed(e) => {
                let fields = Cow::Owned(some(e.fields.iter().map(String::as_str)));
                (Some(About { customer: &e.customer_id, order: None }), "customer_updated", vec![("fields", fields)])
            }
            Worth::LowStock(e) => return tell_staff(e, &cause, staff, fx),
        };
        let Some(about) = about else { return };
        let values: Values<'_> = values.into_iter().collect();
        for channel in templates::channels(template) {
            // Who has left no number is not texted; that there is no address for mail is worth one note an order.
            let is_noted = channel == Channel::Email && (about.order.is_none() || template == "order_created");
            if !is_noted && self.address(about.customer, channel).is_none() {
                continue;
            }
            if let Ok(open) = self.write(about, template, channel, values.clone(), &cause) {
                fx.send(open);
            }
        }
    }

    /// Where a channel reaches a customer.
    fn address(&self, customer: &CustomerId, channel: Channel) -> Option<String> {
        let contact = self.contacts.get(customer)?;
        match channel {
            Channel::Email => contact.email.clone(),
            Channel::Sms => contact.phone.clone(),
            // Devices are found by the customer's id. Who has left nothing but that has none.
            Channel::Push => contact.email.as_ref().or(contact.phone.as_ref()).map(|_| customer.as_str().to_owned()),
        }
    }

    /// What is to be sent by a channel.
    fn write(
        &self,
        about: About<'_>,
        template: &str,
        channel: Channel,
        values: Values<'_>,
        cause: &str,
    ) -> Result<OpenNotification, TextRejection> {
        let contact = self.contacts.get(about.customer);
        let to = self.address(about.customer, channel);
        let mut values = values;
        let name = contact.and_then(|contact| contact.name.as_deref()).unwrap_or("customer");
        values.entry("name").or_insert(Cow::Borrowed(name));
        if let Some(order) = about.order {
            values.entry("orderId").or_insert(Cow::Borrowed(order.as_str()));
        }
        let text = templates::write(template, channel, &values)?;
        // What goes nowhere needs no text.
        let (subject, body) = if to.is_some() { (text.subject, text.body) } else { Default::default() };
        Ok(OpenNotification {
            notification_id: NotificationId::of(cause, channel.word()),
            channel,
            template: template.to_owned(),
            customer_id: Some(about.customer.clone()),
            order_id: about.order.cloned(),
            cause_id: cause.to_owned(),
            to,
            subject,
            body,
        })
    }

    /// Another service's wish, by a channel that it names.
    fn send(&self, asked: &SendNotification, context: &Context, fx: &mut Effects) -> Result<(), TextRejection> {
        let about = About { customer: &asked.customer_id, order: asked.order_id.as_ref() };
        let values = asked.values.iter().map(|(name, value)| (name.as_str(), Cow::Borrowed(value.as_str()))).collect();
        let cause = context.message_id.to_string();
        fx.send(self.write(about, &asked.template, asked.channel, values, &cause)?);
        Ok(())
    }
}

fn tell_staff(low: &LowStockDetected, cause: &str, staff: &str, fx: &mut Effects) {
    let values: Values<'_> = [
        ("sku", Cow::Borrowed(low.sku.as_str())),
        ("quantity", Cow::Owned(low.current_quantity.to_string())),
        ("threshold", Cow::Owned(low.threshold.to_string())),
    ]
    .into();
    let template = "low_stock";
    for channel in templates::channels(template) {
        let Ok(text) = templates::write(template, channel, &values) else { continue };
        fx.send(OpenNotification {
            notification_id: NotificationId::of(cause, channel.word()),
            channel,
            template: template.to_owned(),
            customer_id: None,
            order_id: None,
            cause_id: cause.to_owned(),
            to: Some(staff.to_owned()),
            subject: text.subject,
            body: text.body,
        });
    }
}

fn plain(text: &str) -> Cow<'_, str> {
    Cow::Borrowed(text)
}

/// `out_of_stock` as people read it.
fn words(word: &str) -> Cow<'_, str> {
    if word.contains('_') { Cow::Owned(word.replace('_', " ")) } else { Cow::Borrowed(word) }
}

fn money(amount: Money) -> Cow<'static, str> {
    Cow::Owned(amount.to_string())
}

/// The first of them.
fn some<'a>(items: impl Iterator<Item = &'a str>) -> String {
    const SHOWN: usize = 5;
    let all: Vec<&str> = items.collect();
    let shown = all[..all.len().min(SHOWN)].join(", ");
    if all.len() > SHOWN { format!("{shown} and {} more", all.len() - SHOWN) } else { shown }
}

/// Hands over to its channel what is written.
pub fn handing_over() -> Reaction {
    Reaction::new("hand-over", hand_over).calls(gateway::MAIL).calls(gateway::SMS).calls(gateway::PUSH)
}

fn hand_over(event: &Recorded<NotificationOpened>, fx: &mut Effects) {
    let NotificationOpened { notification_id, channel, to, subject, body, .. } = event.data.clone();
    let call = match channel {
        Channel::Email => gateway::MAIL,
        Channel::Sms => gateway::SMS,
        Channel::Push => gateway::PUSH,
    };
    fx.call(call, Letter { notification_id, to, subject, body });
}

#[cfg(test)]
mod tests;
