//! A move over HTTP.
//!
//! | route | answers |
//! |---|---|
//! | `POST /factum/v1/move` with `{"to": "…"}` | 202: it is begun, or goes on |
//! | `GET /factum/v1/move` | how far it is |
//! | `DELETE /factum/v1/move` | it is given up, and what had arrived is removed |
//!
//! No answer holds a password.

use axum::{Json, Router, extract::State, http::StatusCode, routing::get};
use serde::Deserialize;

use super::{MoveError, MoveProgress};
use crate::{
    App, Location,
    http::{Body, Problem},
};

pub(crate) fn routes() -> Router<App> {
    Router::new().route("/factum/v1/move", get(show).post(begin).delete(give_up))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// As text, so that no error can show what is in it.
    to: String,
}

async fn begin(State(app): State<App>, body: Body<Wanted>) -> Result<(StatusCode, Json<MoveProgress>), Problem> {
    let to: Location = body.data.to.parse().map_err(|error| problem(MoveError::Store(error)))?;
    app.move_to(to).map_err(problem)?;
    Ok((StatusCode::ACCEPTED, Json(app.move_progress())))
}

async fn show(State(app): State<App>) -> Json<MoveProgress> {
    Json(app.move_progress())
}

async fn give_up(State(app): State<App>) -> Result<Json<MoveProgress>, Problem> {
    app.give_up_move().await.map_err(problem)?;
    Ok(Json(app.move_progress()))
}

fn problem(error: MoveError) -> Problem {
    let said = error.to_string();
    match error {
        MoveError::NotNow(_) => Problem::new(StatusCode::CONFLICT, "cannot_move_now", said),
        MoveError::Store(_) => Problem::invalid("cannot_move", said),
    }
}
