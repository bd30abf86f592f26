//! A client who trusts no line: it sends a request again, under its key, until somebody answers.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use reqwest::{Client as Http, Method, RequestBuilder, StatusCode, header::CONTENT_TYPE, retry};
use serde_json::Value;
use tokio::time::sleep;

/// The first wait before a request is sent again; each is twice as long, up to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(20);
const LONGEST_WAIT: Duration = Duration::from_millis(500);

/// See the module.
#[derive(Debug)]
pub struct Client {
    url: String,
    http: Http,
    timeout: Duration,
    limit: Duration,
    /// How often each status came, those of answers that were not taken for one too.
    seen: Mutex<BTreeMap<u16, u64>>,
}

/// What somebody was answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The status; none of 429 and 5xx.
    pub status: u16,
    /// What is sent back, as the header `Factum-Position` or as `?after=`, to read what was written; empty if nothing was.
    pub position: String,
    /// The body; `null` if it is no JSON.
    pub body: Value,
}

impl Client {
    /// A client of the program at `url`, who waits `timeout` for an answer, and sends a request again for `limit`.
    #[must_use]
    pub fn new(url: &str, timeout: Duration, limit: Duration) -> Self {
        let http = Http::builder().no_proxy().retry(retry::never()).build().unwrap_or_default();
        Self { url: url.trim_end_matches('/').to_owned(), http, timeout, limit, seen: Mutex::default() }
    }

    /// Sends a body under a key until it is answered; with further headers, if there are any.
    ///
    /// # Errors
    /// A sentence: nobody has answered within the limit.
    pub async fn post(&self, path: &str, key: &str, headers: &[(&str, &str)], body: &str) -> Result<Answer, String> {
        self.until_answered(Method::POST, path, |request| {
            let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
            request.header("idempotency-key", key).header(CONTENT_TYPE, "application/json").body(body.to_owned())
        })
        .await
    }

    /// The same with PUT.
    ///
    /// # Errors
    /// As [`Client::post`].
    pub async fn put(&self, path: &str, body: &str) -> Result<Answer, String> {
        let with = |request: RequestBuilder| request.header(CONTENT_TYPE, "application/json").body(body.to_owned());
        self.until_answered(Method::PUT, path, with).await
    }

    /// Asks until it is answered.
    ///
    /// # Errors
    /// As [`Client::post`].
    pub async fn get(&self, path: &str) -> Result<Answer, String> {
        self.until_answered(Method::GET, path, |request| request).await
    }

    /// Sends bytes once; nothing if nobody answers, or the program cannot now (429, 502 to 599).
    pub async fn once(&self, path: &str, body: Vec<u8>) -> Option<Answer> {
        let request = self.request(Method::POST, path).header(CONTENT_TYPE, "application/json").body(body);
        self.send(request).await.ok().filter(|answer| answer.status == 500 || !is_later(answer.status))
    }

    /// How often a status came.
    pub fn seen(&self, status: u16) -> u64 {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).get(&status).copied().unwrap_or_default()
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url)).timeout(self.timeout)
    }

    async fn until_answered(
        &self,
        method: Method,
        path: &str,
        with: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Answer, String> {
        let (begun, mut wait) = (Instant::now(), FIRST_WAIT);
        loop {
            let last = match self.send(with(self.request(method.clone(), path))).await {
                Ok(answer) if !is_later(answer.status) => return Ok(answer),
                Ok(Answer { status, body, .. }) => format!("{status} {body}"),
                Err(error) => error.without_url().to_string(),
            };
            if begun.elapsed() > self.limit {
                return Err(format!("{method} {path} is not answered after {:?}: {last}", self.limit));
            }
            sleep(wait).await;
            wait = (2 * wait).min(LONGEST_WAIT);
        }
    }

    async fn send(&self, request: RequestBuilder) -> reqwest::Result<Answer> {
        let response = request.send().await?;
        let status = response.status().as_u16();
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner).entry(status).or_default() += 1;
        let position = response.headers().get("factum-position").and_then(|value| value.to_str().ok());
        let position = position.unwrap_or_default().to_owned();
        let body = response.bytes().await?;
        Ok(Answer { status, position, body: serde_json::from_slice(&body).unwrap_or_default() })
    }
}

/// Whether such an answer says that another may come later.
fn is_later(status: u16) -> bool {
    status >= 500 || status == StatusCode::TOO_MANY_REQUESTS.as_u16()
}
