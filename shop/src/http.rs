//! What the rooms' routes share.

use std::{fmt::Display, str::FromStr};

use axum::{
    Json,
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Request},
    http::request::Parts,
};
use factum::{
    RowsOf,
    http::{self, IdempotencyKey, Problem, Query, encoded},
    id::check_id,
    payload::Command,
    prelude::*,
    row::Row,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{currency, partners::SIMULATED};

/// Units that one line, receipt or adjustment may have, so that sums of them never overflow.
pub const MAX_UNITS: i64 = 1_000_000_000;
/// Bytes that a free text, such as a name or a reason, may have. What is made of a request must fit into a message, with
/// everything that follows from it.
pub const MAX_TEXT_BYTES: usize = 1_024;
/// Rows on a page at most.
pub const MAX_SIZE: u64 = 200;
/// Rows on a page if the request does not say.
const SIZE: u64 = 50;
/// The last page that can be asked for.
const MAX_PAGE: u64 = 1_000_000_000;

/// A JSON body, as [`http::Body`] takes it, that names no currency but the shop's.
#[derive(Clone, Debug)]
pub struct Body<T> {
    /// What it says.
    pub data: T,
    /// What was sent, byte by byte.
    pub raw: Bytes,
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let http::Body { data, raw } = http::Body::from_request(request, state).await?;
        currency::check(&raw)?;
        Ok(Self { data, raw })
    }
}

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

/// Two ids from the path, each decoded and checked as [`http::Key`] does with one.
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

/// Which page of a list is asked for: `?page=` from 1, `?size=` up to 200, 50 if not said.
#[derive(Clone, Debug)]
pub struct Paging {
    page: u64,
    size: u64,
    /// The list's path with its other parameters, ready for one more.
    list: String,
}

#[derive(Deserialize)]
struct PagingParameters {
    page: Option<u64>,
    size: Option<u64>,
}

impl<S: Send + Sync> FromRequestParts<S> for Paging {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Query(asked) = Query::<PagingParameters>::from_request_parts(parts, state).await?;
        let (page, size) = (asked.page.unwrap_or(1), asked.size.unwrap_or(SIZE));
        if !(1..=MAX_PAGE).contains(&page) {
            return Err(Problem::bad("bad_query", format!("page is {page}: pages count from 1 to {MAX_PAGE}")));
        }
        if !(1..=MAX_SIZE).contains(&size) {
            return Err(Problem::bad("bad_query", format!("size is {size}: a page has 1 to {MAX_SIZE} rows")));
        }
        let Query(all) = Query::<Vec<(String, String)>>::from_request_parts(parts, state).await?;
        let mut list = format!("{}?", parts.uri.path());
        for (name, value) in all.iter().filter(|(name, _)| !["page", "size", "after"].contains(&name.as_str())) {
            list.push_str(&format!("{}={}&", encoded(name), encoded(value)));
        }
        Ok(Self { page, size, list })
    }
}

impl Paging {
    /// The rows of this page.
    pub fn of<R: Row>(&self, rows: RowsOf<R>) -> RowsOf<R> {
        rows.slice((self.page - 1) * self.size, self.size)
    }

    /// The answer.
    pub fn list<T>(&self, items: Vec<T>, total: u64) -> Json<List<T>> {
        let Self { page, size, list } = self;
        let link = |page: u64| format!("{list}page={page}&size={size}");
        let last = total.div_ceil(*size).max(1);
        let links = PageLinks {
            this: link(*page),
            next: (*page < last).then(|| link(page + 1)),
            prev: (*page > 1).then(|| link(last.min(page - 1))),
        };
        Json(List { items, total, page: *page, size: *size, links })
    }
}

/// A page of a list.
#[derive(Debug, Serialize)]
pub struct List<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Rows on all pages.
    pub total: u64,
    /// Its number, from 1.
    pub page: u64,
    /// Rows on a page at most.
    pub size: u64,
    /// Itself and its neighbours.
    pub links: PageLinks,
}

/// The pages around a page.
#[derive(Debug, Serialize)]
pub struct PageLinks {
    /// The page itself.
    #[serde(rename = "self")]
    pub this: String,
    /// The one behind it, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The one before it, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prev: Option<String>,
}

/// A page of rows as they are.
///
/// # Errors
/// [`Problem`] if the rows cannot be read.
pub async fn page<R: Row>(rows: RowsOf<R>, paging: &Paging) -> Result<Json<List<R>>, Problem> {
    let answer = paging.of(rows).page().await?;
    Ok(paging.list(answer.rows, answer.total))
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

/// Refuses an address with a text that is too long.
///
/// # Errors
/// [`Problem`] that names the field.
pub fn check_address(field: &str, address: Option<&crate::contracts::shapes::Address>) -> Result<(), Problem> {
    let Some(address) = address else { return Ok(()) };
    let parts = [
        ("country", Some(&address.country)),
        ("name", address.name.as_ref()),
        ("street", address.street.as_ref()),
        ("city", address.city.as_ref()),
        ("region", address.region.as_ref()),
        ("postcode", address.postcode.as_ref()),
    ];
    parts.iter().try_for_each(|(part, text)| check_text(&format!("{field}.{part}"), text.map(String::as_str)))
}
