//! Lists, a page at a time.

use axum::{Json, extract::State};
use factum::{
    RowsOf,
    http::{Problem, encoded},
    prelude::*,
    row::Row,
};
use serde::{Serialize, de::DeserializeOwned};

use super::query::{Listed, Nothing};

/// Rows on a page at most.
const MAX_SIZE: u64 = 200;
/// Rows on a page if the request does not say.
const SIZE: u64 = 50;
/// The last page that can be asked for.
const MAX_PAGE: u64 = 1_000_000_000;

/// Which rows a list is asked for.
pub trait Filter<R: Row>: DeserializeOwned + Send {
    /// Of all rows these, in the list's order.
    fn of(&self, rows: RowsOf<R>) -> RowsOf<R>;
}

impl<R: Row> Filter<R> for Nothing {
    fn of(&self, rows: RowsOf<R>) -> RowsOf<R> {
        rows
    }
}

/// Answers a list of rows as they are.
///
/// # Errors
/// [`Problem`] if the rows cannot be read.
pub async fn list<R: Row, F: Filter<R>>(
    State(app): State<App>,
    Listed { after, filter, paging }: Listed<F>,
) -> Result<Json<List<R>>, Problem> {
    page(filter.of(app.rows::<R>().after(after)), &paging).await
}

/// Which page of a list is asked for: `?page=` from 1, `?size=` up to 200, 50 if not said.
#[derive(Clone, Debug)]
pub struct Paging {
    page: u64,
    size: u64,
    /// The list's path with its other parameters, ready for one more.
    list: String,
}

impl Paging {
    pub(super) fn new(
        page: Option<u64>,
        size: Option<u64>,
        path: &str,
        others: &[(String, String)],
    ) -> Result<Self, Problem> {
        let (page, size) = (page.unwrap_or(1), size.unwrap_or(SIZE));
        if !(1..=MAX_PAGE).contains(&page) {
            return Err(Problem::bad("bad_query", format!("page is {page}: pages count from 1 to {MAX_PAGE}")));
        }
        if !(1..=MAX_SIZE).contains(&size) {
            return Err(Problem::bad("bad_query", format!("size is {size}: a page has 1 to {MAX_SIZE} rows")));
        }
        let mut list = format!("{path}?");
        for (name, value) in others {
            list.push_str(&format!("{}={}&", encoded(name), encoded(value)));
        }
        Ok(Self { page, size, list })
    }

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
