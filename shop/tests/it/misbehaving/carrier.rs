//! The carrier's own book: each parcel's way, and the news of it that are still to be told.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::HeaderMap,
    response::Response,
    routing::post,
};
use factum::prelude::*;
use serde_json::{Value, json};
use shop::chaos::carrier::{Parcel, Way};

use super::desk::{Asked, Book, Desk, drawn};

/// Something that happened to a parcel.
#[derive(Clone, Debug)]
pub struct News {
    pub shipment: String,
    pub state: &'static str,
    pub at: Timestamp,
}

pub struct Carrier {
    seed: u64,
    pub parcels: BTreeMap<String, Parcel>,
    /// What is to be told, by the time to tell it.
    news: BTreeMap<Timestamp, Vec<News>>,
}

impl Carrier {
    pub fn new(seed: u64) -> Self {
        Self { seed, parcels: BTreeMap::new(), news: BTreeMap::new() }
    }

    fn draw(&self, shipment: &str, of: &str) -> fastrand::Rng {
        drawn(self.seed, &[shipment, of])
    }

    /// Such a parcel is taken along with the label, before the shop says that it is ready.
    fn is_eager(&self, shipment: &str) -> bool {
        self.draw(shipment, "eager").u8(..16) == 0
    }

    fn collect(&mut self, shipment: &str, now: Timestamp, soon: bool) {
        let mut random = self.draw(shipment, "way");
        let takes = if soon { random.u64(0..7_200) } else { random.u64(40_000..400_000) };
        let parcel = self.parcels.get_mut(shipment).unwrap();
        parcel.way = Way::Collected;
        parcel.ends = Some(now + Duration::from_secs(takes));
        // So late that it may come after the news of the end.
        let late = if soon { 0 } else { random.u64(0..200_000) };
        self.tell(&News { shipment: shipment.to_owned(), state: "dispatched", at: now }, late);
    }

    /// Tells it later, once or twice.
    fn tell(&mut self, news: &News, late: u64) {
        let mut random = self.draw(&news.shipment, news.state);
        let again = (random.u8(..4) == 0).then(|| late + random.u64(0..90_000));
        for late in [Some(late), again].into_iter().flatten() {
            self.tell_at(news.at + Duration::from_secs(late), news.clone());
        }
    }

    pub fn tell_at(&mut self, at: Timestamp, news: News) {
        self.news.entry(at).or_default().push(news);
    }

    /// Collects what is ready, and brings what is due.
    pub fn drive(&mut self, ready: &[String], now: Timestamp) {
        for shipment in ready {
            if self.parcels.get(shipment).is_some_and(|parcel| parcel.way == Way::Labelled) {
                self.collect(shipment, now, false);
            }
        }
        let is_due = |parcel: &Parcel| parcel.way == Way::Collected && parcel.ends.is_some_and(|ends| ends <= now);
        let due: Vec<String> =
            self.parcels.iter().filter(|(_, parcel)| is_due(parcel)).map(|(id, _)| id.clone()).collect();
        for shipment in due {
            let mut random = self.draw(&shipment, "end");
            let (lost, late) = (random.u8(..20) == 0, random.u64(0..90_000));
            let late = if self.is_eager(&shipment) { 0 } else { late };
            let parcel = self.parcels.get_mut(&shipment).unwrap();
            parcel.way = if lost { Way::Lost } else { Way::Delivered(now) };
            self.tell(&News { shipment, state: if lost { "failed" } else { "delivered" }, at: now }, late);
        }
    }

    /// The news that are told by now.
    pub fn told(&mut self, now: Timestamp) -> Vec<News> {
        let later = self.news.split_off(&(now + Duration::from_micros(1)));
        std::mem::replace(&mut self.news, later).into_values().flatten().collect()
    }

    /// Nothing is on its way, and everything is told.
    pub fn is_done(&self) -> bool {
        self.news.is_empty() && self.parcels.values().all(|parcel| parcel.way != Way::Collected)
    }
}

impl Book for Carrier {
    fn carry_out(&mut self, asked: &Asked, now: Timestamp) -> Result<Value, String> {
        let (shipment, pieces) = (&asked.of, asked.body["pieces"].as_i64().unwrap_or_default());
        match asked.act.as_str() {
            "label" => {
                let parcel = self.parcels.entry(shipment.clone()).or_insert_with(|| Parcel::new(pieces, Way::Labelled));
                if parcel.way == Way::Unwanted {
                    return Err("cancelled".to_owned());
                }
                parcel.labels += 1;
                if self.is_eager(shipment) {
                    self.collect(shipment, now, true);
                }
                Ok(json!({
                    "carrier": "Snail Mail", "trackingNumber": format!("SM-{shipment}"),
                    "estimatedDelivery": now + Duration::from_secs(300_000), "labelRef": format!("labels/{shipment}.pdf"),
                }))
            }
            _ => self.parcels.entry(shipment.clone()).or_insert_with(|| Parcel::new(pieces, Way::Unwanted)).cancel(),
        }
    }

    fn refuses(act: &str) -> f64 {
        if act == "label" { 0.04 } else { 0.1 }
    }
}

pub fn router(desk: Arc<Desk<Carrier>>) -> Router {
    Router::new()
        .route("/shipments/{shipment}", post(label))
        .route("/shipments/{shipment}/cancel", post(cancel))
        .with_state(desk)
}

async fn label(
    State(desk): State<Arc<Desk<Carrier>>>,
    Path(shipment): Path<String>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    desk.meet(Asked::new("label", shipment, &headers, body)).await
}

async fn cancel(
    State(desk): State<Arc<Desk<Carrier>>>,
    Path(shipment): Path<String>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    desk.meet(Asked::new("cancel", shipment, &headers, body)).await
}
