//! Shipments over HTTP: reading them, the carrier's news, and what it did not drop and a person wants asked again. What else
//! changes them comes from orders.

use std::time::Duration;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{FromRequest, OptionalFromRequestParts, Request, State},
    http::{StatusCode, request::Parts},
    response::IntoResponse,
    routing::{get, post},
};
use factum::{
    RowsOf,
    http::{Body, IdempotencyKey, Key, Problem, encoded, extract::MAX_BODY_BYTES, position},
    prelude::*,
};
use serde::Deserialize;
use serde_json::json;

use super::{
    gateway,
    signature::{HEADER, Secret},
    views::{RecallStatus, ShipmentRow},
};
use crate::{
    contracts::{
        ids::{OrderId, ShipmentId},
        shipping::{RecallShipment, ShipmentState},
    },
    http::{Asked, Filter, Nothing, Only, carry_out, check_id_field, list, missing, one},
};

/// How far two clocks may differ.
const CLOCKS_DIFFER: Duration = Duration::from_secs(3_600);

/// The routes of the shipments; that of the carrier's news only if there is a carrier who signs them.
pub fn routes(signs: Option<Secret>) -> Router<App> {
    let routes = Router::new()
        .route("/shipments", get(list::<ShipmentRow, Which>))
        .route("/shipments/{id}", get(read))
        .route("/shipments/{id}/retry", post(retry));
    let Some(secret) = signs else { return routes };
    routes.route(
        "/carrier/news",
        post(move |State(app): State<App>, request: Request| hear(app, secret.clone(), request)),
    )
}

/// Which shipments.
#[derive(Deserialize)]
struct Which {
    order: Option<OrderId>,
    recall: Option<RecallStatus>,
}

impl Filter<ShipmentRow> for Which {
    fn of(&self, rows: RowsOf<ShipmentRow>) -> RowsOf<ShipmentRow> {
        rows.equal_if("orderId", self.order.as_ref()).equal_if("recall", self.recall.as_ref())
    }
}

async fn read(
    State(app): State<App>,
    Key(id): Key<ShipmentId>,
    Asked { after, .. }: Asked,
) -> Result<impl IntoResponse, Problem> {
    one(app.rows::<ShipmentRow>().after(after), "shipment", id).await
}

/// Nothing is said: the shipment stands in the path.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Retried {}

/// The carrier is asked once more to drop a parcel, under a new key.
async fn retry(
    State(app): State<App>,
    Key(id): Key<ShipmentId>,
    Only(Nothing {}): Only,
    key: Option<IdempotencyKey>,
    Body { data: Retried {}, raw }: Body<Retried>,
) -> Result<impl IntoResponse, Problem> {
    let receipt = carry_out(&app, RecallShipment { shipment_id: id }, key.as_ref(), &[&raw]).await?;
    Ok((StatusCode::ACCEPTED, position(app.lineage(), receipt.position)))
}

/// What the carrier tells of a parcel; it may tell more, for others.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct News {
    shipment_id: ShipmentId,
    state: NewsState,
    at: Timestamp,
}

/// How far a parcel is; what came before, the carrier has said in its answer.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum NewsState {
    Dispatched,
    Delivered,
    Failed,
}

/// News may come late, twice and in any order: what is known already changes nothing.
async fn hear(app: App, secret: Secret, request: Request) -> Result<impl IntoResponse, Problem> {
    let (parts, key, raw) = signed(request, &secret).await?;
    let Body { data, raw } = Body::<News>::from_request(Request::from_parts(parts, raw.into()), &app).await?;
    check_id_field("shipmentId", data.shipment_id.as_str())?;
    // The carrier may be faster than the view: a shipment that it was asked about must not be unknown here.
    let now = app.position();
    let known = app.rows::<ShipmentRow>().after(now).get(&data.shipment_id).await?;
    let shipment = known.ok_or_else(|| missing("shipment", &data.shipment_id))?;
    check_time(data.at, shipment.opened_at, app.now())?;
    let shipment = shipment.shipment_id;
    let state = match data.state {
        NewsState::Dispatched => ShipmentState::Dispatched,
        NewsState::Delivered => ShipmentState::Delivered,
        NewsState::Failed => ShipmentState::Failed,
    };
    let receipt = carry_out(&app, gateway::record(&shipment, data.at, state), key.as_ref(), &[&raw]).await?;
    let body = json!({ "shipmentId": shipment, "links": { "self": format!("/shipments/{}", encoded(&shipment)) } });
    Ok((StatusCode::ACCEPTED, position(app.lineage(), receipt.position), Json(body)))
}

/// The request, if its body is signed; nothing of it is looked at before.
async fn signed(request: Request, secret: &Secret) -> Result<(Parts, Option<IdempotencyKey>, Bytes), Problem> {
    let refuse = |detail: &str| Problem::new(StatusCode::UNAUTHORIZED, "not_signed", detail);
    let (mut parts, body) = request.into_parts();
    let raw = axum::body::to_bytes(body, MAX_BODY_BYTES).await;
    let raw = raw.map_err(|_| refuse(&format!("the body could not be read, or has over {MAX_BODY_BYTES} bytes")))?;
    let header = parts.headers.get(HEADER).map(|value| value.as_bytes().to_vec());
    let header = header.ok_or_else(|| refuse("news are signed: send Carrier-Signature: sha256=<hex>"))?;
    if !secret.signed(&header, &raw) {
        return Err(refuse("Carrier-Signature is not the HMAC-SHA256 of the body under the shared secret"));
    }
    let key = <IdempotencyKey as OptionalFromRequestParts<()>>::from_request_parts(&mut parts, &()).await?;
    Ok((parts, key, raw))
}

/// Refuses a time that cannot be: ahead of now, or before there was a parcel.
fn check_time(at: Timestamp, opened_at: Option<Timestamp>, now: Timestamp) -> Result<(), Problem> {
    let refuse = |detail: String| Err(Problem::invalid("bad_time", detail).with("field", "at"));
    // So far from now that there is no such time: nothing lies behind it.
    let latest = now.checked_add(CLOCKS_DIFFER).unwrap_or(Timestamp::MAX);
    if at > latest {
        return refuse(format!("`at` is {at}, and it is {now} here: send the time at which it happened"));
    }
    let earliest = opened_at.and_then(|opened| opened.checked_sub(CLOCKS_DIFFER).ok());
    match (earliest, opened_at) {
        (Some(earliest), Some(opened)) if at < earliest => {
            refuse(format!("`at` is {at}, and the parcel was ordered at {opened}: send the time at which it happened"))
        }
        _ => Ok(()),
    }
}
