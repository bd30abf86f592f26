//! A carrier with a book of its own: each parcel's way, and the news of it, which come late, twice and out of order.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use factum::{
    chaos::{Outcome, Recorder, Rng, Tally, drawn},
    prelude::*,
};
use serde_json::{Value, json};

use super::provider::{Said, key, say};

/// One parcel in so many is lost on its way.
const LOST: u8 = 20;
/// The faults of these names in the tally.
const OUT_OF_ORDER: &str = "news out of order";
const TWICE: &str = "news twice";
const HERE: &str = "carrier's news";

/// Where a parcel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the variants say what they are")]
pub enum Way {
    /// It was to be dropped before there was a label.
    Unwanted,
    Labelled,
    Collected,
    Delivered(Timestamp),
    Lost,
    Cancelled,
}

/// A parcel, as the carrier has it.
#[derive(Debug)]
#[allow(missing_docs, reason = "the fields say what they are")]
pub struct Parcel {
    pub pieces: i64,
    pub labels: u32,
    pub way: Way,
    /// When something happens to it next.
    pub ends: Option<Timestamp>,
}

impl Parcel {
    /// One that the carrier has just heard of.
    pub fn new(pieces: i64, way: Way) -> Self {
        Self { pieces, labels: 0, way, ends: None }
    }

    /// Drops it; what is on its way is brought back.
    ///
    /// # Errors
    /// It was brought before.
    pub fn cancel(&mut self) -> Said {
        match self.way {
            Way::Delivered(_) => return Err("delivered".to_owned()),
            Way::Labelled | Way::Collected => self.way = Way::Cancelled,
            Way::Unwanted | Way::Lost | Way::Cancelled => {}
        }
        Ok(json!({}))
    }
}

/// Something that happened to a parcel.
#[derive(Clone, Debug)]
pub struct News {
    shipment: String,
    state: &'static str,
    at: Timestamp,
}

impl News {
    /// As the shop is told.
    pub fn body(&self) -> String {
        json!({ "shipmentId": self.shipment, "state": self.state, "at": self.at }).to_string()
    }
}

/// Its book.
pub struct Carrier {
    seed: u64,
    tally: Tally,
    /// By shipment.
    pub parcels: BTreeMap<String, Parcel>,
    /// Each effect once.
    pub recorder: Recorder<Said>,
    news: BTreeMap<Timestamp, Vec<News>>,
    /// What the shop has heard of each parcel.
    heard: BTreeMap<String, Vec<&'static str>>,
    /// News that are being told.
    telling: usize,
}

/// The book, open to those who ask.
pub type Desk = Arc<Mutex<Carrier>>;

/// Opens the book.
pub fn open(desk: &Desk) -> MutexGuard<'_, Carrier> {
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Carrier {
    /// A carrier without a parcel.
    pub fn new(seed: u64, tally: &Tally) -> Desk {
        let (parcels, recorder, news, heard) = Default::default();
        let tally = tally.clone();
        Arc::new(Mutex::new(Self { seed, tally, parcels, recorder, news, heard, telling: 0 }))
    }

    fn draw(&self, shipment: &str, of: &str) -> Rng {
        drawn(self.seed, &[shipment, of])
    }

    fn ask(&mut self, shipment: &str, act: &str, key: &str, body: &Value) -> Said {
        let pieces = body["pieces"].as_i64().unwrap_or_default();
        let collected = Timestamp::now() + Duration::from_millis(self.draw(shipment, "collected").u64(20..400));
        let parcels = &mut self.parcels;
        self.recorder.ask(key, &format!("{act} {shipment} {body}"), || match act {
            "label" => {
                let parcel = parcels.entry(shipment.to_owned()).or_insert_with(|| Parcel::new(pieces, Way::Labelled));
                if parcel.way == Way::Unwanted {
                    return Outcome::Refused(Err("cancelled".to_owned()));
                }
                (parcel.labels, parcel.ends) = (parcel.labels + 1, Some(collected));
                let answer = json!({
                    "carrier": "Snail Mail", "trackingNumber": format!("SM-{shipment}"),
                    "estimatedDelivery": collected, "labelRef": format!("labels/{shipment}.pdf"),
                });
                Outcome::Done(format!("label {shipment}"), Ok(answer))
            }
            _ => {
                let parcel = parcels.entry(shipment.to_owned()).or_insert_with(|| Parcel::new(0, Way::Unwanted));
                let before = parcel.way;
                match parcel.cancel() {
                    Ok(said) if parcel.way != before => Outcome::Done(format!("cancel {shipment}"), Ok(said)),
                    said => Outcome::Refused(said),
                }
            }
        })
    }

    /// Collects and brings what is due; answers the news that are to be told now.
    pub fn drive(&mut self, now: Timestamp) -> Vec<News> {
        let is_due = |parcel: &Parcel| {
            matches!(parcel.way, Way::Labelled | Way::Collected) && parcel.ends.is_some_and(|ends| ends <= now)
        };
        let due: Vec<String> =
            self.parcels.iter().filter(|(_, parcel)| is_due(parcel)).map(|(id, _)| id.clone()).collect();
        for shipment in due {
            let mut random = self.draw(&shipment, "end");
            let brought = now + Duration::from_millis(random.u64(10..400));
            let lost = random.u8(..LOST) == 0;
            let Some(parcel) = self.parcels.get_mut(&shipment) else { continue };
            let (way, state) = match parcel.way {
                Way::Labelled => (Way::Collected, "dispatched"),
                _ if lost => (Way::Lost, "failed"),
                _ => (Way::Delivered(now), "delivered"),
            };
            (parcel.way, parcel.ends) = (way, Some(brought));
            self.tell(News { shipment, state, at: now });
        }
        let later = self.news.split_off(&(now + Duration::from_micros(1)));
        let told: Vec<News> = std::mem::replace(&mut self.news, later).into_values().flatten().collect();
        self.telling += told.len();
        told
    }

    /// Tells it once or twice, so late that it may come after later news.
    fn tell(&mut self, news: News) {
        let mut random = self.draw(&news.shipment, news.state);
        let late = random.u64(0..600);
        let again = (random.u8(..4) == 0).then(|| late + random.u64(0..600));
        for late in [Some(late), again].into_iter().flatten() {
            self.news.entry(news.at + Duration::from_millis(late)).or_default().push(news.clone());
        }
    }

    /// The shop has heard it.
    pub fn was_heard(&mut self, news: &News) {
        self.telling -= 1;
        let heard = self.heard.entry(news.shipment.clone()).or_default();
        if heard.contains(&news.state) {
            self.tally.met(TWICE, HERE);
        } else if news.state == "dispatched" && !heard.is_empty() {
            self.tally.met(OUT_OF_ORDER, HERE);
        }
        heard.push(news.state);
    }

    /// Nothing is on its way, and everything is told.
    pub fn is_done(&self) -> bool {
        let under_way = |parcel: &Parcel| matches!(parcel.way, Way::Labelled | Way::Collected);
        self.telling == 0 && self.news.is_empty() && !self.parcels.values().any(under_way)
    }
}

/// Its routes, as [`Carrier::Http`](crate::shipping::gateway::Carrier::Http) wants them.
pub fn router(desk: Desk) -> Router {
    Router::new()
        .route("/shipments/{shipment}", post(label))
        .route("/shipments/{shipment}/cancel", post(cancel))
        .with_state(desk)
}

async fn label(desk: State<Desk>, Path(shipment): Path<String>, headers: HeaderMap, body: Json<Value>) -> Response {
    act(&desk, &shipment, "label", &headers, &body)
}

async fn cancel(desk: State<Desk>, Path(shipment): Path<String>, headers: HeaderMap, body: Json<Value>) -> Response {
    act(&desk, &shipment, "cancel", &headers, &body)
}

fn act(desk: &Desk, shipment: &str, act: &str, headers: &HeaderMap, body: &Value) -> Response {
    match key(headers) {
        Some(key) => say(open(desk).ask(shipment, act, key, body)),
        None => StatusCode::BAD_REQUEST.into_response(),
    }
}
