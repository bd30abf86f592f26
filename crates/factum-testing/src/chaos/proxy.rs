//! An HTTP proxy on this machine between two who trust the line: what goes wrong on it is drawn by a seed, and counted where
//! it happens.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{
        HeaderMap, Method, StatusCode,
        header::{CONNECTION, CONTENT_LENGTH, HOST, RETRY_AFTER, TRANSFER_ENCODING},
    },
    response::{IntoResponse, Response},
};
use reqwest::{Client, redirect, retry};
use tokio::{net::TcpListener, task::AbortHandle, time::sleep};

use super::{
    faults::{Fault, Faults},
    tally::Tally,
};

/// Bytes that a body may have, either way.
const MAX_BODY_BYTES: usize = 16 << 20;
/// Nobody needs longer for an answer.
const LONGEST: Duration = Duration::from_secs(60);
/// The header that says which request it is.
const KEY: &str = "idempotency-key";

/// A line with faults, as long as it is not dropped. See the module.
pub struct Proxy {
    address: SocketAddr,
    line: Arc<Line>,
    server: AbortHandle,
}

struct Line {
    name: String,
    to: String,
    faults: Faults,
    tally: Tally,
    client: Client,
    calm: AtomicBool,
    /// How often each request came.
    asked: Mutex<HashMap<String, u32>>,
}

impl Proxy {
    /// A line to `to`, such as `http://127.0.0.1:9000`, that has this name in the tally. Must be called in a runtime of tokio.
    ///
    /// # Errors
    /// There is no address for it.
    pub async fn start(name: &str, to: &str, faults: Faults, tally: &Tally) -> io::Result<Self> {
        let client =
            Client::builder().redirect(redirect::Policy::none()).retry(retry::never()).no_proxy().timeout(LONGEST);
        let client = client.build().map_err(io::Error::other)?;
        let (name, to, tally) = (name.to_owned(), to.trim_end_matches('/').to_owned(), tally.clone());
        let (calm, asked) = Default::default();
        let line = Arc::new(Line { name, to, faults, tally, client, calm, asked });
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let router = Router::new().fallback(pass).with_state(line.clone());
        let server = tokio::spawn(async move { axum::serve(listener, router).await }).abort_handle();
        Ok(Self { address, line, server })
    }

    /// What the caller is given in place of the other side's address.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on everything arrives.
    pub fn calm(&self) {
        self.line.calm.store(true, Ordering::Relaxed);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A request, whole.
struct Asked {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Asked {
    async fn read(request: Request) -> Option<Self> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
        let body = to_bytes(body, MAX_BODY_BYTES).await.ok()?;
        Some(Self { method: parts.method, path, headers: end_to_end(parts.headers), body })
    }

    /// The same whenever it is sent again.
    fn name(&self) -> String {
        let key = self.headers.get(KEY).and_then(|key| key.to_str().ok()).unwrap_or_default();
        format!("{} {} {key}", self.method, self.path)
    }
}

/// Without what belongs to one connection only.
fn end_to_end(mut headers: HeaderMap) -> HeaderMap {
    for name in [CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING] {
        headers.remove(name);
    }
    headers
}

/// Counts a fault when it is over, also if the caller has gone meanwhile: a silence is met by leaving.
struct Happens<'a>(&'a Line, Fault);

impl Drop for Happens<'_> {
    fn drop(&mut self) {
        self.0.happened(self.1);
    }
}

async fn pass(State(line): State<Arc<Line>>, request: Request) -> Response {
    let Some(asked) = Asked::read(request).await else { return StatusCode::BAD_REQUEST.into_response() };
    let (fault, mut rng) = line.meet(&asked);
    match fault {
        None => line.forward(&asked).await.unwrap_or_else(away),
        Some(fault @ Fault::Silent) => {
            if rng.bool() {
                drop(line.forward(&asked).await);
            }
            let _happens = Happens(&line, fault);
            sleep(line.faults.silence).await;
            broken()
        }
        Some(fault @ Fault::AnswerLost) => match line.forward(&asked).await {
            Some(_) => {
                line.happened(fault);
                broken()
            }
            None => away(),
        },
        Some(fault @ Fault::RequestLost) => {
            line.happened(fault);
            broken()
        }
        Some(fault @ Fault::Twice) => {
            let (first, second) = tokio::join!(line.forward(&asked), line.forward(&asked));
            if first.is_some() && second.is_some() {
                line.happened(fault);
            }
            first.or(second).unwrap_or_else(away)
        }
        Some(fault @ Fault::SentAway) => {
            line.happened(fault);
            match rng.u8(..3) {
                0 => StatusCode::TOO_MANY_REQUESTS.into_response(),
                seconds => {
                    (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, (seconds - 1).to_string())]).into_response()
                }
            }
        }
        Some(fault @ Fault::Late) => {
            sleep(line.faults.silence.mul_f64(rng.f64() / 4.0)).await;
            let answer = line.forward(&asked).await;
            if answer.is_some() {
                line.happened(fault);
            }
            answer.unwrap_or_else(away)
        }
    }
}

/// The other side cannot be reached.
fn away() -> Response {
    StatusCode::BAD_GATEWAY.into_response()
}

/// The connection breaks in the middle of an answer.
fn broken() -> Response {
    let cut = Err::<Bytes, _>(io::Error::other("the line is cut"));
    Body::from_stream(futures_util::stream::iter([cut])).into_response()
}

impl Line {
    fn meet(&self, asked: &Asked) -> (Option<Fault>, fastrand::Rng) {
        let name = asked.name();
        let nth = {
            let mut all = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            let nth = all.entry(name.clone()).or_default();
            *nth += 1;
            *nth - 1
        };
        let (fault, rng) = self.faults.meet(&name, nth);
        let fault = fault.filter(|_| !self.calm.load(Ordering::Relaxed));
        if let Some(fault) = fault {
            self.tally.ordered(fault.name(), &self.name);
        }
        (fault, rng)
    }

    fn happened(&self, fault: Fault) {
        self.tally.happened(fault.name(), &self.name);
    }

    /// The other side's answer; nothing if it gives none.
    async fn forward(&self, asked: &Asked) -> Option<Response> {
        let Asked { method, path, headers, body } = asked;
        let request = self.client.request(method.clone(), format!("{}{path}", self.to));
        let response = request.headers(headers.clone()).body(body.clone()).send().await.ok()?;
        let (status, headers) = (response.status(), end_to_end(response.headers().clone()));
        let body = response.bytes().await.ok()?;
        Some((status, headers, body).into_response())
    }
}
