//! What stands behind the question mark. What a route does not know is refused: whoever sends it means something by it.

use axum::{
    extract::{FromRequestParts, Query},
    http::{Uri, request::Parts},
};
use factum::{
    App,
    http::{self, After, Problem},
    stream::Position,
};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Visitor, value::Error},
    forward_to_deserialize_any,
};

use super::list::Paging;

/// No parameters of its own.
#[derive(Debug, Deserialize)]
pub struct Nothing {}

/// The query of a route that reads: `after`, and what `F` takes.
#[derive(Debug)]
pub struct Asked<F = Nothing> {
    /// What the answer has to stand for at least.
    pub after: Position,
    /// The rest.
    pub filter: F,
}

/// The query of a route that lists: `after`, `page`, `size`, and what `F` takes.
#[derive(Debug)]
pub struct Listed<F = Nothing> {
    /// What the answer has to stand for at least.
    pub after: Position,
    /// The rest.
    pub filter: F,
    /// Which page.
    pub paging: Paging,
}

/// The query of a route that reads nothing first: what `F` takes.
#[derive(Debug)]
pub struct Only<F = Nothing>(
    /// What it says.
    pub F,
);

#[derive(Deserialize)]
struct Page {
    page: Option<u64>,
    size: Option<u64>,
}

impl<F: DeserializeOwned> FromRequestParts<App> for Asked<F> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let After(after) = After::from_request_parts(parts, app).await?;
        let (filter, _) = read::<F>(&parts.uri, &["after"])?;
        Ok(Self { after, filter })
    }
}

impl<F: DeserializeOwned> FromRequestParts<App> for Listed<F> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let After(after) = After::from_request_parts(parts, app).await?;
        let http::Query(Page { page, size }) = http::Query::from_request_parts(parts, app).await?;
        let (filter, others) = read::<F>(&parts.uri, &["after", "page", "size"])?;
        let paging = Paging::new(page, size, parts.uri.path(), &others)?;
        Ok(Self { after, filter, paging })
    }
}

impl<F: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Only<F> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self(read(&parts.uri, &[])?.0))
    }
}

/// What `F` takes of a query, and as it was sent; `others` may stand there too.
fn read<F: DeserializeOwned>(uri: &Uri, others: &[&str]) -> Result<(F, Vec<(String, String)>), Problem> {
    let own = names::<F>();
    let Query(mut sent) =
        Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(|error| unfit(&error.body_text()))?;
    if let Some((name, _)) = sent.iter().find(|(name, _)| ![own, others].concat().contains(&name.as_str())) {
        let known: Vec<String> = own.iter().chain(others).map(|name| format!("`{name}`")).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let detail = format!("there is no parameter `{name}` here; there are: {known}");
        return Err(Problem::bad("unknown_parameter", detail).with("parameter", name));
    }
    sent.retain(|(name, _)| own.contains(&name.as_str()));
    let Query(filter) = Query::<F>::try_from_uri(uri).map_err(|error| unfit(&error.body_text()))?;
    Ok((filter, sent))
}

fn unfit(detail: &str) -> Problem {
    let cause = detail.strip_prefix("Failed to deserialize query string: ").unwrap_or(detail);
    Problem::bad("bad_query", format!("the query does not fit: {cause}"))
}

/// The names of the fields that a struct is read from.
fn names<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut names: &'static [&'static str] = &[];
    // It ends as soon as it has told them.
    let _ = T::deserialize(Names(&mut names));
    names
}

/// Hears which fields are asked for, and gives none.
struct Names<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Names<'_> {
    type Error = Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Error> {
        *self.0 = fields;
        Err(serde::de::Error::custom("that was all"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(serde::de::Error::custom("only structs have names"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
