//! The figures over HTTP, for reading.

use axum::{Json, Router, extract::State, response::IntoResponse, routing::get};
use factum::{
    http::{Key, Problem},
    prelude::*,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::views::{
    ALL, ArticleRow, CountryRow, CustomerTotalsRow, FulfilmentRow, FunnelRow, HourRow, Times, UP_TO_SECS, hour_of,
};
use crate::{
    contracts::ids::{CustomerId, Sku},
    http::{Asked, Listed, one},
};

/// Hours that one answer may span: 31 days.
const MAX_HOURS: i64 = 744;
const HOUR_SECS: i64 = 3_600;

/// The routes of the figures.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/analytics/hours", get(hours))
        .route("/analytics/countries", get(countries))
        .route("/analytics/articles", get(articles))
        .route("/analytics/funnel", get(funnel))
        .route("/analytics/fulfilment", get(fulfilment))
        .route("/analytics/customers/{id}", get(customer))
}

/// Which hours: those that begin from `from` on and before `to`; the day up to now, if it is not said.
#[derive(Deserialize)]
struct Span {
    from: Option<Timestamp>,
    to: Option<Timestamp>,
}

#[derive(Serialize)]
struct Hours {
    from: Timestamp,
    to: Timestamp,
    /// Only those in which something happened.
    hours: Vec<HourRow>,
}

async fn hours(
    State(app): State<App>,
    Asked { after, filter: span }: Asked<Span>,
) -> Result<impl IntoResponse, Problem> {
    let to = span.to.unwrap_or_else(|| app.now());
    let from = span.from.unwrap_or_else(|| earlier(to, 24 * HOUR_SECS - 1));
    let (first, last) = (hour_of(from), hour_of(earlier(to, 1)));
    let count = (last.as_second() - first.as_second()) / HOUR_SECS + 1;
    if to <= from || count > MAX_HOURS {
        let detail = format!("from {from} to {to} is no span of at most {MAX_HOURS} hours: ask for one");
        return Err(Problem::bad("bad_query", detail));
    }
    let keys = (0..count).filter_map(|hour| Timestamp::from_second(first.as_second() + hour * HOUR_SECS).ok());
    let rows = app.rows::<HourRow>().after(after).many(keys).await?;
    Ok(Json(Hours { from: first, to, hours: rows.into_iter().flatten().collect() }))
}

fn earlier(at: Timestamp, secs: i64) -> Timestamp {
    at.checked_sub(jiff::SignedDuration::from_secs(secs)).unwrap_or(Timestamp::MIN)
}

#[derive(Serialize)]
struct Country {
    country: String,
    orders: u64,
    revenue: Money,
}

async fn countries(State(app): State<App>, Listed { after, paging, .. }: Listed) -> Result<impl IntoResponse, Problem> {
    let rows = app.rows::<CountryRow>().after(after).order_by("revenue").descending();
    let page = paging.of(rows).page().await?;
    let country = |row: CountryRow| Country {
        country: row.country,
        orders: row.orders,
        revenue: Money::new(row.revenue, row.currency),
    };
    Ok(paging.list(page.rows.into_iter().map(country).collect(), page.total))
}

/// By what articles are sorted, the most first.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Sort {
    #[default]
    Revenue,
    Units,
}

#[derive(Deserialize)]
struct Sorted {
    #[serde(default)]
    sort: Sort,
}

#[derive(Serialize)]
struct Article {
    sku: Sku,
    ordered: i64,
    revenue: Money,
    units: i64,
    returned: i64,
}

async fn articles(
    State(app): State<App>,
    Listed { after, filter: sorted, paging }: Listed<Sorted>,
) -> Result<impl IntoResponse, Problem> {
    let by = match sorted.sort {
        Sort::Revenue => "revenue",
        Sort::Units => "units",
    };
    let page = paging.of(app.rows::<ArticleRow>().after(after).order_by(by).descending()).page().await?;
    let article = |row: ArticleRow| Article {
        sku: row.sku,
        ordered: row.ordered,
        revenue: Money::new(row.revenue, row.currency),
        units: row.units,
        returned: row.returned,
    };
    Ok(paging.list(page.rows.into_iter().map(article).collect(), page.total))
}

async fn funnel(State(app): State<App>, Asked { after, .. }: Asked) -> Result<impl IntoResponse, Problem> {
    let row = app.rows::<FunnelRow>().after(after).get(ALL).await?.unwrap_or_default();
    let FunnelRow { created, validated, paid, shipped, delivered, rejected, cancelled, .. } = row;
    Ok(Json(json!({ "created": created, "validated": validated, "paid": paid, "shipped": shipped,
        "delivered": delivered, "rejected": rejected, "cancelled": cancelled })))
}

async fn fulfilment(State(app): State<App>, Asked { after, .. }: Asked) -> Result<impl IntoResponse, Problem> {
    let row = app.rows::<FulfilmentRow>().after(after).get(ALL).await?.unwrap_or_default();
    Ok(Json(json!({ "createdToShipped": times(&row.created_to_shipped),
        "shippedToDelivered": times(&row.shipped_to_delivered) })))
}

/// How long something took. A percentile is the upper end of its bucket, in seconds; absent if that has none.
fn times(times: &Times) -> Value {
    let ends = UP_TO_SECS.iter().map(|secs| json!(secs)).chain([Value::Null]);
    let buckets: Vec<Value> =
        ends.zip(&times.buckets).map(|(end, count)| json!({ "upToSecs": end, "count": count })).collect();
    json!({ "count": times.count, "sumMs": times.sum_ms, "p50Secs": times.percentile(50),
        "p90Secs": times.percentile(90), "p99Secs": times.percentile(99), "buckets": buckets })
}

async fn customer(
    State(app): State<App>,
    Key(id): Key<CustomerId>,
    Asked { after, .. }: Asked,
) -> Result<impl IntoResponse, Problem> {
    one(app.rows::<CustomerTotalsRow>().after(after), "totals of customer", id).await
}
