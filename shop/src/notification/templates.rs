//! What is said: one text of each happening and channel. A happening goes by the channels that it has a text for.

use std::{borrow::Cow, collections::BTreeMap};

use factum::prelude::*;

use crate::contracts::notification::Channel;

/// Bytes of one value that a text shows.
const MAX_VALUE_BYTES: usize = 512;

/// What the names in a text stand for.
pub type Values<'a> = BTreeMap<&'a str, Cow<'a, str>>;

/// A text with its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// What stands above it.
    pub subject: String,
    /// What it says.
    pub body: String,
}

/// Why a text cannot be written.
#[derive(Debug, PartialEq, Eq, Rejection)]
#[allow(missing_docs, reason = "each variant says itself what it is")]
pub enum TextRejection {
    #[rejection("unknown_template", "there is no template `{template}` for {channel}", invalid)]
    Unknown { template: String, channel: &'static str },
    #[rejection("missing_value", "the template `{template}` needs a value for `{name}`: send it", invalid)]
    Missing { template: String, name: &'static str },
}

struct Template {
    name: &'static str,
    channel: Channel,
    subject: &'static str,
    body: &'static str,
}

const fn of(channel: Channel, name: &'static str, subject: &'static str, body: &'static str) -> Template {
    Template { name, channel, subject, body }
}

use Channel::{Email, Push, Sms};

/// All of them. In a text `{name}` stands for a value; what a value is missing for is not written.
const TEMPLATES: [Template; 17] = [
    of(
        Email,
        "order_created",
        "We have your order {orderId}",
        "Dear {name},\n\nthank you for your order {orderId}. It comes to {total}; we check it now.\n",
    ),
    of(
        Email,
        "order_rejected",
        "We cannot take your order {orderId}",
        "Dear {name},\n\nyour order {orderId} cannot be carried out ({reason}): {items}. You pay nothing for it.\n",
    ),
    of(
        Email,
        "order_paid",
        "Your order {orderId} is paid",
        "Dear {name},\n\nwe have received {amount} for your order {orderId}. It leaves our warehouse next.\n",
    ),
    of(
        Email,
        "order_shipped",
        "Your order {orderId} is on its way",
        "Dear {name},\n\n{carrier} brings your order {orderId}. Its tracking number is {tracking}.\n",
    ),
    of(Sms, "order_shipped", "", "Your order {orderId} is on its way with {carrier}, tracking number {tracking}."),
    of(
        Email,
        "order_delivered",
        "Your order {orderId} has arrived",
        "Dear {name},\n\n{carrier} has delivered your order {orderId}. If something is wrong with it, send it back to us.\n",
    ),
    of(Push, "order_delivered", "Your order has arrived", "Order {orderId} was delivered."),
    of(
        Email,
        "order_cancelled",
        "Your order {orderId} is cancelled",
        "Dear {name},\n\nyour order {orderId} is cancelled ({reason}). What you have paid for it goes back to you.\n",
    ),
    of(Sms, "order_cancelled", "", "Your order {orderId} is cancelled ({reason})."),
    of(
        Email,
        "payment_failed",
        "Your payment for order {orderId} has failed",
        "Dear {name},\n\nthe payment for your order {orderId} was not possible ({reason}).\n",
    ),
    of(
        Push,
        "payment_failed",
        "Your payment has failed",
        "The payment for order {orderId} was not possible ({reason}).",
    ),
    of(
        Email,
        "payment_refunded",
        "You get {amount} back",
        "Dear {name},\n\nwe have sent {amount} back to you ({reason}).\n",
    ),
    of(
        Email,
        "cart_abandoned",
        "Your cart is still here",
        "Dear {name},\n\nyou have left {items} in your cart. Put them into a new one when you like; prices may change.\n",
    ),
    of(Push, "cart_abandoned", "Your cart is still here", "You have left {items} in your cart."),
    of(
        Email,
        "customer_updated",
        "Your data has changed",
        "Dear {name},\n\nthis has changed in what we know of you: {fields}. If it was not you, tell us.\n",
    ),
    of(
        Email,
        "low_stock",
        "{sku} runs short",
        "Of {sku} there are {quantity} left; it is ordered again at {threshold}.\n",
    ),
    of(Push, "low_stock", "{sku} runs short", "{quantity} left."),
];

/// The channels that a happening goes by.
pub fn channels(template: &str) -> impl Iterator<Item = Channel> {
    TEMPLATES.iter().filter(move |it| it.name == template).map(|it| it.channel)
}

/// Writes the text of a happening for a channel.
///
/// # Errors
/// [`TextRejection`] if there is none, or a value is missing.
pub fn write(template: &str, channel: Channel, values: &Values<'_>) -> Result<Text, TextRejection> {
    let unknown = || TextRejection::Unknown { template: template.to_owned(), channel: channel.word() };
    let found = TEMPLATES.iter().find(|it| it.name == template && it.channel == channel).ok_or_else(unknown)?;
    let missing = |name| TextRejection::Missing { template: template.to_owned(), name };
    Ok(Text {
        subject: filled(found.subject, values).map_err(missing)?,
        body: filled(found.body, values).map_err(missing)?,
    })
}

/// The text with its values, or the name that has none. A value is text and nothing else: what is in it is not looked at again.
fn filled(text: &'static str, values: &Values<'_>) -> Result<String, &'static str> {
    let mut out = String::with_capacity(text.len() + 64);
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').unwrap_or((after, ""));
        out.push_str(before);
        let value = values.get(name).ok_or(name)?;
        let end = (0..=MAX_VALUE_BYTES.min(value.len())).rev().find(|end| value.is_char_boundary(*end));
        // A line of a customer's must not become a line of ours.
        out.extend(value[..end.unwrap_or_default()].chars().map(|char| if char.is_control() { ' ' } else { char }));
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values<'a>(pairs: &[(&'a str, &'a str)]) -> Values<'a> {
        pairs.iter().map(|(name, value)| (*name, Cow::from(*value))).collect()
    }

    #[test]
    fn a_text_holds_its_values_as_they_are_in_one_line() {
        let odd = format!("{{carrier}}\r\nBcc: x{}", "ü".repeat(400));
        let text =
            write("order_shipped", Sms, &values(&[("orderId", &odd), ("carrier", "P"), ("tracking", "T")])).unwrap();
        assert!(
            text.body.starts_with("Your order {carrier}  Bcc: xüü") && text.body.ends_with("number T."),
            "{text:?}"
        );
        assert!(text.body.len() < 2 * MAX_VALUE_BYTES && text.subject.is_empty());
    }

    #[test]
    fn what_is_missing_is_named() {
        let known = values(&[("orderId", "1")]);
        let missing = TextRejection::Missing { template: "order_shipped".to_owned(), name: "carrier" };
        assert_eq!(write("order_shipped", Sms, &known), Err(missing));
        let unknown = |template: &str, channel| TextRejection::Unknown { template: template.to_owned(), channel };
        assert_eq!(write("order_shipped", Push, &known), Err(unknown("order_shipped", "push")));
        assert_eq!(write("gift", Email, &known), Err(unknown("gift", "email")));
    }

    #[test]
    fn each_happening_has_one_text_of_a_channel_and_all_of_them_can_be_filled() {
        let mut seen: Vec<_> = TEMPLATES.iter().map(|it| (it.name, it.channel)).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), TEMPLATES.len());
        for it in &TEMPLATES {
            for text in [it.subject, it.body] {
                assert_eq!(text.matches('{').count(), text.matches('}').count(), "{text}");
            }
            assert_eq!(it.subject.is_empty(), it.channel == Sms, "a text message has no subject, the others have");
        }
    }
}
