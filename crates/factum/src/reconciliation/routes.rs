//! Reconciliations over HTTP: how they stand, on what the sources differ, and one more comparison.

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    Extension, Json, Router,
    extract::State,
    http::StatusCode,
    response::IntoResponse,
    routing::{get, post},
};
use factum_core::id::check_id;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Compare, EndComparison, MOST, MismatchRow, ReconciliationRow};
use crate::{
    App,
    http::{Body, Key, Problem},
};

/// Rows on a page: all that are open.
const PAGE: u64 = MOST as u64;

/// The names of those that the program declares.
type Names = Arc<BTreeSet<String>>;

pub(super) fn routes(names: BTreeSet<String>) -> Router<App> {
    Router::new()
        .route("/factum/v1/reconciliations", get(list))
        .route("/factum/v1/reconciliations/{name}", get(show))
        .route("/factum/v1/reconciliations/{name}/run", post(run))
        .route("/factum/v1/reconciliations/{name}/end", post(end))
        .layer(Extension(Arc::new(names)))
}

#[derive(Serialize)]
struct List {
    reconciliations: Vec<Listed>,
}

#[derive(Serialize)]
struct Listed {
    /// Whether the program still has it.
    declared: bool,
    #[serde(flatten)]
    row: ReconciliationRow,
}

async fn list(State(app): State<App>, Extension(names): Extension<Names>) -> Result<Json<List>, Problem> {
    let mut rows = app.rows::<ReconciliationRow>().slice(0, PAGE).page().await?.rows;
    let never: Vec<&String> = names.iter().filter(|name| rows.iter().all(|row| row.name != **name)).collect();
    rows.extend(never.into_iter().map(|name| ReconciliationRow::blank(name)));
    rows.sort_by(|one, other| one.name.cmp(&other.name));
    let listed = rows.into_iter().map(|row| Listed { declared: names.contains(&row.name), row });
    Ok(Json(List { reconciliations: listed.collect() }))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    #[serde(flatten)]
    row: ReconciliationRow,
    /// Those that are open.
    open: Vec<MismatchRow>,
    open_in_all: u64,
}

fn unknown(name: &str) -> Problem {
    Problem::missing(
        "no_reconciliation",
        format!("there is no reconciliation {name}: GET /factum/v1/reconciliations lists them"),
    )
}

async fn show(
    State(app): State<App>,
    Extension(names): Extension<Names>,
    Key(name): Key<String>,
) -> Result<Json<Shown>, Problem> {
    let row = app.rows::<ReconciliationRow>().get(&name).await?;
    let row = row.or_else(|| names.contains(&name).then(|| ReconciliationRow::blank(&name)));
    let row = row.ok_or_else(|| unknown(&name))?;
    let open = app.rows::<MismatchRow>().equal("reconciliation", &name).slice(0, PAGE).page().await?;
    Ok(Json(Shown { row, open: open.rows, open_in_all: open.total }))
}

async fn run(
    State(app): State<App>,
    Extension(names): Extension<Names>,
    Key(name): Key<String>,
) -> Result<impl IntoResponse, Problem> {
    if !names.contains(&name) {
        return Err(unknown(&name));
    }
    let receipt = app.execute(Compare { reconciliation: name }).await?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "position": receipt.position }))))
}

/// Who ends a comparison, and why.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Signed {
    by: String,
    #[serde(default)]
    why: String,
}

/// A person does not wait for the comparison under way any more.
async fn end(State(app): State<App>, Key(name): Key<String>, body: Body<Signed>) -> Result<impl IntoResponse, Problem> {
    let Signed { by, why } = body.data;
    check_id("by", &by).map_err(|error| Problem::bad("bad_by", format!("{error}: say who does it")))?;
    let row = app.rows::<ReconciliationRow>().after(app.position()).get(&name).await?.ok_or_else(|| unknown(&name))?;
    let mut ending = app.execute(EndComparison { reconciliation: name, by, why });
    // In the comparison's own business transaction: so its schedule hears of it too.
    if let Some(id) = row.correlation_id {
        ending = ending.correlation(&id);
    }
    Ok(Json(json!({ "position": ending.await?.position })))
}
