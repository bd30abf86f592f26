//! Bookings over HTTP.

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::IntoResponse,
    routing::{get, post},
};
use factum::{
    http::{After, Body, IdempotencyKey, Key, Problem, position},
    prelude::*,
};
use serde::Deserialize;
use serde_json::json;

use crate::booking::{BookingRow, OpenBooking};

/// What a guest sends.
#[derive(Deserialize)]
struct Wish {
    room: String,
    night: String,
    guests: Vec<String>,
}

/// The bookings' routes; the app mounts them beside the platform's.
pub fn routes() -> Router<App> {
    Router::new().route("/bookings", post(request)).route("/bookings/{id}", get(read))
}

/// The booking's id derives from the key, so that a request that is sent again finds its booking.
async fn request(
    State(app): State<App>,
    key: Option<IdempotencyKey>,
    Body { data, raw }: Body<Wish>,
) -> Result<impl IntoResponse, Problem> {
    let key = key.ok_or_else(|| Problem::bad("no_key", "send an Idempotency-Key, so that you can ask again"))?;
    let booking_id = MessageId::derived(&["booking", key.as_str()]).to_string();
    let Wish { room, night, guests } = data;
    let command = OpenBooking { booking_id: booking_id.clone(), room, night, guests };
    let receipt = app.execute(command).id(key.as_str()).body(&raw).or_busy().await?;
    let answer = Json(json!({ "bookingId": booking_id }));
    Ok((StatusCode::ACCEPTED, position(app.lineage(), receipt.position), answer))
}

/// Whoever gives the position of what it did reads its own write.
async fn read(
    State(app): State<App>,
    Key(id): Key<String>,
    After(after): After,
) -> Result<Json<serde_json::Value>, Problem> {
    let row = app.rows::<BookingRow>().after(after).get(&id).await?;
    let row = row.ok_or_else(|| Problem::missing("not_found", format!("there is no booking {id}")))?;
    Ok(Json(json!({ "bookingId": row.booking_id, "room": row.room, "night": row.night, "status": row.status })))
}
