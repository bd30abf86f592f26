//! The desk of a partner that misbehaves by seed: how each request is met, what is under way, what a key was answered.

use std::{
    collections::BTreeMap,
    io,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use axum::{
    Json, Router,
    body::Body,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use factum::{http::client::Remote, prelude::*};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// How long the shop waits for an answer.
pub const TIMEOUT: Duration = Duration::from_millis(250);
/// Requests about a stubborn payment or parcel that go wrong, of each kind.
const STUBBORN: u32 = 24;

/// How a request is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Whim {
    Behaves,
    /// It is done, and takes a while.
    Slow,
    /// It is not done, and the connection falls silent.
    Hangs,
    /// It is done, and the connection falls silent.
    HangsDone,
    /// The connection breaks; it is done minutes later, and under way until then.
    Late,
    /// The connection breaks; it is done.
    AnswerLost,
    /// The connection breaks; it is not done.
    RequestLost,
    /// 409; it is not done.
    UnderWay,
    /// 5xx; it is not done.
    Fails,
    /// 5xx; it is done.
    FailsDone,
    /// 5xx, as everything in that hour.
    Away,
    /// 429, or 503 with a time to come again; it is not done.
    ComeLater,
    /// 200 with no JSON in it; it is done.
    Garbage,
    /// 204 without a body; it is done.
    Empty,
    /// 402 or 422, for good.
    Refuses,
    /// 404 to a question about a key, known or not.
    Forgets,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Asked {
    pub act: String,
    /// The payment or shipment.
    pub of: String,
    pub key: String,
    pub body: Value,
}

impl Asked {
    pub fn new(act: &str, of: String, headers: &HeaderMap, body: Value) -> Self {
        let key = headers.get("idempotency-key").unwrap().to_str().unwrap().to_owned();
        Self { act: act.to_owned(), of, key, body }
    }

    /// What the draw goes by: the same in each run of a seed.
    fn what(&self) -> String {
        format!("{}/{}/{}", self.act, self.of, self.body["refundId"].as_str().unwrap_or_default())
    }
}

/// What a partner does about requests, once for each key, and writes down.
pub trait Book: Send + 'static {
    /// Does it, or says why it is not to be done.
    fn carry_out(&mut self, asked: &Asked, now: Timestamp) -> Result<Value, String>;

    /// The share of such requests that are refused for no reason that can be seen.
    fn refuses(act: &str) -> f64;
}

/// What became of a key.
enum Known {
    UnderWay,
    Answered(Result<Value, String>),
}

pub struct Desk<B> {
    seed: u64,
    away: Vec<Range<Timestamp>>,
    inner: Mutex<Inner<B>>,
}

pub struct Inner<B> {
    pub book: B,
    /// Whose time it is.
    pub app: Option<App>,
    known: BTreeMap<String, Known>,
    bodies: BTreeMap<String, String>,
    late: BTreeMap<Timestamp, Vec<Asked>>,
    asked: BTreeMap<String, u32>,
    /// How often each was met.
    pub met: BTreeMap<Whim, u64>,
    /// What no partner would have us do.
    pub problems: Vec<String>,
}

/// Chance that depends on a seed and on words only.
pub fn drawn(seed: u64, words: &[&str]) -> fastrand::Rng {
    fastrand::Rng::with_seed(xxhash_rust::xxh3::xxh3_64_with_seed(words.join("\u{1f}").as_bytes(), seed))
}

impl<B: Book> Desk<B> {
    /// A partner who is away for some hours of those that begin at a time.
    pub fn new(seed: u64, name: &str, book: B, begin: Timestamp, hours: u32) -> Arc<Self> {
        let mut random = drawn(seed, &[name, "away"]);
        let spell = |_| {
            let from = begin + Duration::from_secs(random.u64(0..u64::from(hours) * 3_600));
            from..from + Duration::from_secs(3_600)
        };
        let away = (0..3).map(spell).collect();
        let (known, bodies, late, asked, met) = Default::default();
        let inner = Inner { book, app: None, known, bodies, late, asked, met, problems: Vec::new() };
        Arc::new(Self { seed, away, inner: Mutex::new(inner) })
    }

    pub fn open(&self) -> MutexGuard<'_, Inner<B>> {
        self.inner.lock().unwrap()
    }

    fn whim(&self, asked: &Asked, nth: u32, now: Timestamp) -> Whim {
        let mut random = drawn(self.seed, &[&asked.what(), &nth.to_string()]);
        if self.away.iter().any(|spell| spell.contains(&now)) {
            return if random.u8(..10) == 0 { Whim::FailsDone } else { Whim::Away };
        }
        if nth < STUBBORN && drawn(self.seed, &["stubborn", &asked.of]).u8(..50) == 0 {
            return [Whim::AnswerLost, Whim::RequestLost, Whim::Fails, Whim::FailsDone][random.usize(..4)];
        }
        match random.u32(..1_000) {
            0..6 => Whim::Hangs,
            6..12 => Whim::HangsDone,
            12..42 => Whim::Slow,
            42..82 => Whim::Late,
            82..132 => Whim::AnswerLost,
            132..162 => Whim::RequestLost,
            162..192 => Whim::UnderWay,
            192..222 => Whim::Fails,
            222..242 => Whim::FailsDone,
            242..262 => Whim::ComeLater,
            262..282 => Whim::Garbage,
            282..292 => Whim::Empty,
            _ if random.f64() < B::refuses(&asked.act) => Whim::Refuses,
            _ => Whim::Behaves,
        }
    }

    /// Meets a request.
    pub async fn meet(&self, asked: Asked) -> Response {
        let (whim, told, odd) = {
            let mut inner = self.open();
            let now = inner.now();
            inner.catch_up(now);
            let nth = inner.counted(asked.what());
            let whim = self.whim(&asked, nth, now);
            *inner.met.entry(whim).or_default() += 1;
            let odd = drawn(self.seed, &[&asked.what(), &nth.to_string(), "odd"]).u32(..);
            (whim, inner.deal(asked, whim, now + Duration::from_secs(1 + u64::from(odd % 600))), odd)
        };
        self.say(whim, told, odd).await
    }

    /// Answers what became of a key.
    pub async fn look_up(&self, of: String, key: &str) -> Response {
        let (whim, told, odd) = {
            let mut inner = self.open();
            let now = inner.now();
            inner.catch_up(now);
            let asked = Asked { act: "calls".to_owned(), of, key: key.to_owned(), body: Value::Null };
            let nth = inner.counted(asked.what());
            let odd = drawn(self.seed, &[&asked.what(), &nth.to_string(), "odd"]).u32(..);
            let told = inner.known.get(key).map(|known| match known {
                Known::Answered(answer) => Some(answer.clone()),
                Known::UnderWay => None,
            });
            let whim = match self.whim(&asked, nth, now) {
                Whim::Late | Whim::Refuses => Whim::Forgets,
                Whim::Behaves | Whim::Slow | Whim::Garbage | Whim::Empty if told.is_none() => Whim::Forgets,
                whim => whim,
            };
            *inner.met.entry(whim).or_default() += 1;
            let told = told.flatten();
            (whim, told, odd)
        };
        self.say(whim, told, odd).await
    }

    async fn say(&self, whim: Whim, told: Option<Result<Value, String>>, odd: u32) -> Response {
        let broken = || Body::from_stream(futures_util::stream::iter([Err::<Vec<u8>, _>(io::Error::other("cut"))]));
        let fails = [500, 502, 503, 504][odd as usize % 4];
        match whim {
            Whim::Hangs | Whim::HangsDone => {
                tokio::time::sleep(TIMEOUT * 3).await;
                broken().into_response()
            }
            Whim::Late | Whim::AnswerLost | Whim::RequestLost => broken().into_response(),
            Whim::Fails | Whim::FailsDone | Whim::Away => StatusCode::from_u16(fails).unwrap().into_response(),
            Whim::ComeLater if odd.is_multiple_of(2) => StatusCode::TOO_MANY_REQUESTS.into_response(),
            Whim::ComeLater => {
                (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", (odd % 90).to_string())]).into_response()
            }
            Whim::Garbage => "<html>thank you</html>".into_response(),
            Whim::Empty => StatusCode::NO_CONTENT.into_response(),
            Whim::Forgets => StatusCode::NOT_FOUND.into_response(),
            Whim::UnderWay => StatusCode::CONFLICT.into_response(),
            Whim::Slow | Whim::Behaves | Whim::Refuses => {
                if whim == Whim::Slow {
                    tokio::time::sleep(TIMEOUT / 5).await;
                }
                match told {
                    None => StatusCode::CONFLICT.into_response(),
                    Some(Ok(answer)) => Json(answer).into_response(),
                    Some(Err(reason)) => {
                        let status = [StatusCode::PAYMENT_REQUIRED, StatusCode::UNPROCESSABLE_ENTITY][odd as usize % 2];
                        (status, Json(json!({ "reason": reason }))).into_response()
                    }
                }
            }
        }
    }
}

impl<B: Book> Inner<B> {
    pub fn now(&self) -> Timestamp {
        self.app.as_ref().unwrap().now()
    }

    /// Does what is late and due by now. Whether there is nothing late any more.
    pub fn catch_up(&mut self, now: Timestamp) -> bool {
        let later = self.late.split_off(&(now + Duration::from_micros(1)));
        for asked in std::mem::replace(&mut self.late, later).into_values().flatten() {
            let answer = self.book.carry_out(&asked, now);
            self.known.insert(asked.key, Known::Answered(answer));
        }
        self.late.is_empty()
    }

    fn counted(&mut self, what: String) -> u32 {
        let asked = self.asked.entry(what).or_default();
        *asked += 1;
        *asked - 1
    }

    /// What there is to be told; nothing if it is not done, or still under way.
    fn deal(&mut self, asked: Asked, whim: Whim, later: Timestamp) -> Option<Result<Value, String>> {
        let said = format!("{} {}", asked.what(), asked.body);
        let before = self.bodies.entry(asked.key.clone()).or_insert_with(|| said.clone());
        if *before != said {
            self.problems.push(format!("key {} stood for `{before}`, and now for `{said}`", asked.key));
        }
        match (whim, self.known.get(&asked.key)) {
            (Whim::Hangs | Whim::Fails | Whim::Away | Whim::RequestLost | Whim::ComeLater | Whim::UnderWay, _) => None,
            (_, Some(Known::UnderWay)) => None,
            // It answers a second time, in other words.
            (_, Some(Known::Answered(answer))) => {
                let mut answer = answer.clone();
                if let Some(transaction) = answer.as_mut().ok().and_then(|answer| answer.get_mut("transactionId")) {
                    *transaction = format!("{}-again", transaction.as_str().unwrap()).into();
                }
                Some(answer)
            }
            (Whim::Late, None) => {
                self.known.insert(asked.key.clone(), Known::UnderWay);
                self.late.entry(later).or_default().push(asked);
                None
            }
            (_, None) => {
                let answer = match whim {
                    Whim::Refuses => Err("not_today".to_owned()),
                    _ => self.book.carry_out(&asked, self.now()),
                };
                self.known.insert(asked.key, Known::Answered(answer.clone()));
                Some(answer)
            }
        }
    }
}

/// Serves a partner at an address of its own.
pub async fn serve(router: Router) -> Remote {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
    url
}
