//! What the rooms' routes share: bodies, ids, receipts; `query.rs` what stands behind the question mark, `list.rs` pages.

mod list;
mod query;

use std::{fmt::Display, str::FromStr};

use axum::{
    Json,
    extract::{FromRequestParts, Path},
    http::request::Parts,
};
use factum::{
    RowsOf,
    http::{IdempotencyKey, Problem},
    id::check_id,
    money::Currency,
    payload::Command,
    prelude::*,
    row::Row,
};
use serde::Deserialize;
use serde_json::Value;

use crate::{contracts::shapes::Address, money::CURRENCY, partners::SIMULATED};

pub use list::{Filter, List, PageLinks, Paging, list, page};
pub use query::{Asked, Listed, Nothing, Only};

/// Units that one line, receipt or adjustment may have, so that sums of them never overflow.
pub const MAX_UNITS: i64 = 1_000_000_000;
/// Bytes that a free text, such as a name or a reason, may have. What is made of a request must fit into a message, with
/// everything that follows from it.
pub const MAX_TEXT_BYTES: usize = 1_024;

/// Carries out a request's command; under its key, if it has one, only once. `sent` is what the client sent: the body,
/// and what of the path the command's stream does not tell. It is what makes two requests the same, not the command,
/// which may hold prices of the moment.
///
/// # Errors
/// [`Problem`]; nothing was stored.
pub async fn carry_out<C: Command>(
    app: &App,
    command: C,
    key: Option<&IdempotencyKey>,
    sent: &[&[u8]],
) -> Result<Receipt, Problem> {
    let execution = app.execute(command).body(&sent.join(&0)).or_busy();
    let execution = match key {
        Some(key) => execution.id(key.as_str()),
        None => execution,
    };
    Ok(execution.await?)
}

/// Two ids from the path, each decoded and checked as [`factum::http::Key`] does with one.
#[derive(Clone, Debug)]
pub struct Keys<A, B>(pub A, pub B);

impl<A, B, S> FromRequestParts<S> for Keys<A, B>
where
    A: FromStr<Err: Display> + Display,
    B: FromStr<Err: Display> + Display,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path((first, second)) = Path::<(String, String)>::from_request_parts(parts, state)
            .await
            .map_err(|error| bad_path(error.body_text()))?;
        Ok(Self(path_id(&first)?, path_id(&second)?))
    }
}

fn path_id<T: FromStr<Err: Display> + Display>(text: &str) -> Result<T, Problem> {
    check_id("id", text).map_err(bad_path)?;
    let id: T = text.parse().map_err(bad_path)?;
    // An id may be brought into a normal form that is longer than what was sent.
    check_id("id", &id.to_string()).map_err(bad_path)?;
    Ok(id)
}

fn bad_path(cause: impl Display) -> Problem {
    Problem::bad("bad_id", format!("an id in the path does not fit: {cause}"))
}

/// Who of the shop's partners is only played: nobody holds the money, or brings the parcel.
pub fn simulated(app: &App) -> Vec<&'static str> {
    let played = |partner: &&str| app.about(partner) == Some(SIMULATED);
    ["provider", "carrier"].into_iter().filter(played).collect()
}

/// One row as it is, or that there is none.
///
/// # Errors
/// [`Problem`] if there is none, or it cannot be read.
pub async fn one<R: Row>(rows: RowsOf<R>, what: &str, key: impl std::fmt::Display) -> Result<Json<R>, Problem> {
    let row = rows.get(&key).await?;
    row.map(Json).ok_or_else(|| missing(what, key))
}

/// There is none of that id.
pub fn missing(what: &str, key: impl std::fmt::Display) -> Problem {
    Problem::missing("not_found", format!("there is no {what} {key}"))
}

/// A number of units as it was sent.
///
/// # Errors
/// What is wrong with it, as the end of a sentence.
pub fn units(sent: &Value, least: i64) -> Result<i64, String> {
    let fits = |units: &i64| (least..=MAX_UNITS).contains(units);
    sent.as_i64().filter(fits).ok_or_else(|| {
        let found = match sent {
            Value::Null => "missing".to_owned(),
            Value::Number(number) => number.to_string(),
            Value::String(_) => "a text".to_owned(),
            _ => "no number".to_owned(),
        };
        format!("is {found}: send a whole number from {least} to {MAX_UNITS}")
    })
}

/// Refuses a free text that is too long.
///
/// # Errors
/// [`Problem`] that names the field.
pub fn check_text(field: &str, text: Option<&str>) -> Result<(), Problem> {
    match text {
        Some(text) if text.len() > MAX_TEXT_BYTES => {
            let detail = format!("`{field}` has {} bytes; {MAX_TEXT_BYTES} are allowed: shorten it", text.len());
            Err(Problem::invalid("text_too_long", detail).with("field", field))
        }
        _ => Ok(()),
    }
}

/// Refuses an id in a body that is empty, too long or not printable.
///
/// # Errors
/// [`Problem`] that names the field.
pub fn check_id_field(field: &'static str, id: &str) -> Result<(), Problem> {
    check_id(field, id).map_err(|error| Problem::invalid("bad_id", error.to_string()).with("field", field))
}

/// An address in a body.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SentAddress {
    country: String,
    name: Option<String>,
    street: Option<String>,
    city: Option<String>,
    region: Option<String>,
    postcode: Option<String>,
}

/// An address as it was sent.
///
/// # Errors
/// [`Problem`] that names the text which is too long.
pub fn address(field: &str, sent: Option<SentAddress>) -> Result<Option<Address>, Problem> {
    let Some(SentAddress { country, name, street, city, region, postcode }) = sent else { return Ok(None) };
    let parts = [
        ("country", Some(&country)),
        ("name", name.as_ref()),
        ("street", street.as_ref()),
        ("city", city.as_ref()),
        ("region", region.as_ref()),
        ("postcode", postcode.as_ref()),
    ];
    parts.iter().try_for_each(|(part, text)| check_text(&format!("{field}.{part}"), text.map(String::as_str)))?;
    Ok(Some(Address { country, name, street, city, region, postcode }))
}

/// An amount in a body.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SentMoney {
    amount: i64,
    currency: Currency,
}

/// An amount as it was sent.
///
/// # Errors
/// [`Problem`] that names the field, if it is in another currency than the shop's.
pub fn amount(field: &str, sent: Option<SentMoney>) -> Result<Option<Money>, Problem> {
    let Some(SentMoney { amount, currency }) = sent else { return Ok(None) };
    check_currency(&format!("{field}.currency"), Some(currency))?;
    Ok(Some(Money::new(amount, currency)))
}

/// Refuses what is meant in another currency than the shop's: it must not silently become pence.
///
/// # Errors
/// [`Problem`] that names the field.
pub fn check_currency(field: &str, sent: Option<Currency>) -> Result<(), Problem> {
    match sent {
        Some(other) if other != CURRENCY => {
            let detail =
                format!("`{field}` is {other}, and this shop counts in {CURRENCY}: send amounts in {CURRENCY}");
            Err(Problem::invalid("foreign_currency", detail).with("field", field))
        }
        _ => Ok(()),
    }
}
