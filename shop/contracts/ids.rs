//! Ids: opaque strings, each of a type of its own, so that an order's id cannot stand where a payment's belongs.
//!
//! An id is shared, not copied: cloning one costs a counter. Reading never refuses an id, because what is stored must
//! stay readable; the edges check with [`str::parse`], deciders with `valid()`.

use factum::id::{MessageId, unseen};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{borrow::Cow, fmt, marker::PhantomData, str::FromStr, sync::Arc};
use unicode_normalization::UnicodeNormalization;

/// Most bytes in an id: a stream's key has 128, and ids that follow from others put up to seven in front.
pub const LONGEST: usize = 120;

/// A text that cannot be an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidId {
    /// The character that it must not hold; `None` if its length is wrong, or it holds a control character.
    pub unseen: Option<char>,
}

impl fmt::Display for InvalidId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.unseen {
            Some(char) => {
                write!(f, "it holds U+{:04X}, which nobody can see or tell from a space: leave it out", char as u32)
            }
            None => write!(f, "an id has 1 to {LONGEST} bytes and no control characters among them"),
        }
    }
}

impl std::error::Error for InvalidId {}

/// A type that is a text on the wire; `$normal` turns what was written into what is kept, `$unseen` says which characters
/// it must not hold besides control characters.
macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $normal:path, $unseen:path) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Whether it can be an id.
            ///
            /// # Errors
            /// [`InvalidId`] that says why not.
            pub fn check(&self) -> Result<(), InvalidId> {
                check(&self.0, $unseen)
            }

            /// Whether it can be an id: 1 to 120 bytes, no control characters among them.
            pub fn valid(&self) -> bool {
                self.check().is_ok()
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self($normal(text))
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self($normal(&text))
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let id = Self::from(text);
                id.check()?;
                Ok(id)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(Text(PhantomData))
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "minLength": 1, "maxLength": LONGEST })
            }
        }
    };
}

text!(
    /// A cart.
    CartId,
    as_written,
    none
);
text!(
    /// An order.
    OrderId,
    as_written,
    none
);
text!(
    /// A customer.
    CustomerId,
    as_written,
    none
);
text!(
    /// A payment: one per order, and one per credit that has no order.
    PaymentId,
    as_written,
    none
);
text!(
    /// A shipment: one per order.
    ShipmentId,
    as_written,
    none
);
text!(
    /// A credit.
    CreditId,
    as_written,
    none
);
text!(
    /// A refund; a payment can have several.
    RefundId,
    as_written,
    none
);
text!(
    /// The reservation of one article for one order.
    ReservationId,
    as_written,
    none
);
text!(
    /// A warehouse.
    WarehouseId,
    as_written,
    none
);
text!(
    /// A notification: one of each event and channel.
    NotificationId,
    as_written,
    none
);
text!(
    /// An article's number. What people read as the same is one article: it is kept in upper case, in Unicode's composed
    /// form (NFC) and without outer spaces, and holds nothing that cannot be seen.
    Sku,
    article,
    unseen
);
text!(
    /// How somebody pays: `card`, `invoice`, `paypal` and whatever else the provider knows.
    PaymentMethod,
    as_written,
    none
);

// Ids that follow from others: a pure decider makes none at random, and a repeated command meets the same stream.

impl CartId {
    /// The cart of a request under this key: one that is sent again is for the same cart.
    pub fn of_key(key: &str) -> Self {
        Self::from(MessageId::derived(&["cart", key]).to_string())
    }
}

impl OrderId {
    /// The order of a request under this key: one that is sent again is for the same order.
    pub fn of_key(key: &str) -> Self {
        Self::from(MessageId::derived(&["order", key]).to_string())
    }

    /// The order that a cart becomes when it is checked out.
    pub fn of_cart(cart: &CartId) -> Self {
        Self::from(format!("cart-{cart}"))
    }
}

impl NotificationId {
    /// What tells of a message on a channel: however often the message comes, it is one.
    pub fn of(cause: &str, channel: &str) -> Self {
        Self::from(MessageId::derived(&["notification", cause, channel]).to_string())
    }
}

impl PaymentId {
    /// The payment of an order.
    pub fn of(order: &OrderId) -> Self {
        Self::from(format!("pay-{order}"))
    }

    /// The payment that pays out a credit.
    pub fn of_credit(credit: &CreditId) -> Self {
        Self::from(format!("credit-{credit}"))
    }
}

impl ShipmentId {
    /// The shipment of an order.
    pub fn of(order: &OrderId) -> Self {
        Self::from(format!("ship-{order}"))
    }
}

fn as_written(text: &str) -> Arc<str> {
    text.into()
}

fn article(text: &str) -> Arc<str> {
    // Nearly all are written so already, and every line of every order is read many times.
    let stays = text.bytes().all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_lowercase());
    if stays {
        return text.into();
    }
    // Taken apart first, so that both ways to write an accent meet the same upper case.
    let outer = |char: char| char.is_whitespace() && !char.is_control();
    text.trim_matches(outer).nfd().flat_map(char::to_uppercase).nfc().collect::<String>().into()
}

fn none(_: char) -> bool {
    false
}

fn check(text: &str, unseen: fn(char) -> bool) -> Result<(), InvalidId> {
    if !(1..=LONGEST).contains(&text.len()) || text.chars().any(char::is_control) {
        return Err(InvalidId { unseen: None });
    }
    match text.chars().find(|char| unseen(*char)) {
        None => Ok(()),
        unseen => Err(InvalidId { unseen }),
    }
}

struct Text<T>(PhantomData<T>);

impl<T: for<'a> From<&'a str>> de::Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        Ok(T::from(text))
    }
}
