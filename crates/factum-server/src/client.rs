//! The client for calls over HTTP: one request to another system, and how it ended.
//!
//! | what came back | a request ([`Remote::post`]) | a question ([`Remote::find`]) |
//! |---|---|---|
//! | 2xx, a body that can be read | done | done |
//! | 2xx, any other body | unknown | unknown |
//! | 402, 422 | refused | refused |
//! | 409 | unknown: under our own key it is still under way | the same |
//! | 404 | again | again: it does not know the key |
//! | 429, or 503 with `Retry-After` | again, not before the time it names | unknown |
//! | any other 5xx | unknown | unknown |
//! | any other status | again | unknown |
//! | no connection, so that nothing was sent | again | unknown |
//! | a connection that broke or fell silent | unknown | unknown |
//!
//! It never tries twice by itself, follows no redirects and uses no proxy: retries belong to the outward loop.

use std::{fmt, str::FromStr, time::Duration};

use factum_core::call::Answer;
use jiff::fmt::rfc2822;
use reqwest::{
    Client, Method, Response, StatusCode, Url,
    header::{CONTENT_TYPE, DATE, HeaderMap, HeaderName, RETRY_AFTER},
    redirect, retry,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::extract::IDEMPOTENCY_KEY;

/// Bytes that an answer may have.
pub const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// Bytes that are kept of the other side's reason.
pub const MAX_REASON_BYTES: usize = 256;
/// No `Retry-After` is honoured for longer.
pub const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// The longest time until a connection stands.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Another system, by the address under which its paths stand. Clones share their connections.
#[derive(Clone)]
pub struct Remote {
    base: Url,
    client: Client,
}

/// Why a text is no address of another system.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` cannot be called: {why}")]
pub struct RemoteError {
    text: String,
    why: String,
}

impl FromStr for Remote {
    type Err = RemoteError;

    fn from_str(text: &str) -> Result<Self, RemoteError> {
        let refuse = |why: String| RemoteError { text: text.to_owned(), why };
        let base = Url::parse(text)
            .map_err(|error| refuse(format!("{error}; use a URL such as http://127.0.0.1:9000/api")))?;
        if base.scheme() == "https" {
            let why = "only plain http is spoken; let a proxy on this machine speak TLS, and give its http URL";
            return Err(refuse(why.to_owned()));
        }
        if base.scheme() != "http" || base.cannot_be_a_base() {
            return Err(refuse("use a URL that starts with http://".to_owned()));
        }
        if !base.username().is_empty() || base.password().is_some() {
            // Not repeated: it may hold a password, and the sentence goes to a terminal or a log.
            let why = "a URL with a name or a password in it is not used; leave them out".to_owned();
            return Err(RemoteError { text: "the URL".to_owned(), why });
        }
        if base.query().is_some() || base.fragment().is_some() {
            return Err(refuse("paths are appended to it, so leave out what follows `?` or `#`".to_owned()));
        }
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .no_proxy()
            .build()
            .map_err(|error| refuse(format!("the client could not be made: {error}")))?;
        Ok(Self { base, client })
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.base.fmt(f)
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Remote({})", self.base)
    }
}

/// How a request ended: see the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending<T> {
    /// It was done; this is what the other side says about it.
    Done(T),
    /// The other side will not do it, for this reason; final.
    Refused(String),
    /// It may or may not have happened.
    Unknown(String),
    /// It has not happened and may succeed later, not before the given time if the other side named one.
    Again(String, Option<Duration>),
}

impl<T> Ending<T> {
    /// The answer of a call: `done` says what is wrong if the other side's words tell too little, and then its outcome
    /// is unknown.
    pub fn answer<C>(self, done: impl FnOnce(T) -> Result<C, String>, refused: impl FnOnce(String) -> C) -> Answer<C> {
        match self {
            Self::Done(data) => done(data).map_or_else(Answer::Unknown, Answer::Done),
            Self::Refused(reason) => Answer::Refused(refused(reason)),
            Self::Unknown(reason) => Answer::Unknown(reason),
            Self::Again(reason, wait) => Answer::Again(reason, wait),
        }
    }
}

impl Remote {
    /// Asks for something to be done, under the key by which the other side does it once. Each of the path's segments
    /// may be any text.
    pub async fn post<B: Serialize, T: DeserializeOwned>(&self, path: &[&str], key: &str, body: &B) -> Ending<T> {
        let body = match serde_json::to_vec(body) {
            Ok(body) => body,
            Err(error) => return Ending::Again(format!("the request has no JSON form: {error}"), None),
        };
        let request = self.client.request(Method::POST, self.url(path)).header(IDEMPOTENCY_KEY, key);
        match request.header(CONTENT_TYPE, "application/json").body(body).send().await {
            Ok(response) => read(response).await,
            Err(error) if error.is_connect() || error.is_builder() => Ending::Again(told(error), None),
            Err(error) => Ending::Unknown(told(error)),
        }
    }

    /// Asks what became of something. `Again` means that the other side does not know it, and nothing else does.
    pub async fn find<T: DeserializeOwned>(&self, path: &[&str]) -> Ending<T> {
        let ending = match self.client.request(Method::GET, self.url(path)).send().await {
            Ok(response) if response.status() == StatusCode::NOT_FOUND => {
                return Ending::Again("the other side does not know the request".to_owned(), None);
            }
            Ok(response) => read(response).await,
            Err(error) => Ending::Unknown(told(error)),
        };
        match ending {
            Ending::Again(reason, _) => Ending::Unknown(reason),
            ending => ending,
        }
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }
}

/// Without the address, which may hold the name of somebody's order.
fn told(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

async fn read<T: DeserializeOwned>(mut response: Response) -> Ending<T> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= MAX_ANSWER_BYTES => body.extend_from_slice(&chunk),
            Ok(Some(_)) => return Ending::Unknown(format!("the answer has more than {MAX_ANSWER_BYTES} bytes")),
            Ok(None) => break,
            Err(error) => return Ending::Unknown(format!("the answer broke off: {}", told(error))),
        }
    }
    ending(response.status(), response.headers(), &body)
}

/// Why the other side refuses.
#[derive(Deserialize)]
struct Refusal {
    reason: String,
}

fn ending<T: DeserializeOwned>(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Ending<T> {
    let answered = || format!("answered {}", status.as_u16());
    match status.as_u16() {
        200..=299 => match serde_json::from_slice(body) {
            Ok(data) => Ending::Done(data),
            Err(error) => Ending::Unknown(format!("{} with a body that cannot be read: {error}", answered())),
        },
        402 | 422 => Ending::Refused(match serde_json::from_slice::<Refusal>(body) {
            Ok(refusal) => shortened(refusal.reason),
            Err(_) => format!("http_{}", status.as_u16()),
        }),
        // Under our own key: the first request is still under way (draft-ietf-httpapi-idempotency-key-header).
        409 => Ending::Unknown("answered 409: it is under way".to_owned()),
        429 => Ending::Again(answered(), wait(headers)),
        503 if headers.contains_key(RETRY_AFTER) => Ending::Again(answered(), wait(headers)),
        500..=599 => Ending::Unknown(answered()),
        _ => Ending::Again(answered(), None),
    }
}

fn shortened(mut reason: String) -> String {
    let end = (0..=MAX_REASON_BYTES.min(reason.len())).rev().find(|end| reason.is_char_boundary(*end));
    reason.truncate(end.unwrap_or_default());
    reason
}

/// What `Retry-After` asks for, as seconds or as a date. A date is taken from the answer's own `Date`, so that the
/// clocks of the two sides need not agree.
fn wait(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let after = text(RETRY_AFTER)?;
    let wait = match after.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = |text: &str| rfc2822::parse(text).ok().map(|date| date.timestamp());
            let span = date(after)?.duration_since(date(text(DATE)?)?);
            Duration::try_from(span).unwrap_or_default()
        }
    };
    Some(wait.min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;
    use serde_json::{Value, json};

    fn ended(status: u16, headers: &[(HeaderName, &'static str)], body: &str) -> Ending<Value> {
        let pairs = headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
        ending(StatusCode::from_u16(status).unwrap(), &pairs.collect(), body.as_bytes())
    }

    fn again(status: u16, headers: &[(HeaderName, &'static str)]) -> Option<Duration> {
        match ended(status, headers, "") {
            Ending::Again(_, wait) => wait,
            other => panic!("{status} ended as {other:?}"),
        }
    }

    #[test]
    fn every_status_has_its_ending() {
        for status in [200, 201, 202] {
            assert_eq!(ended(status, &[], r#"{"a":1}"#), Ending::Done(json!({ "a": 1 })));
            assert!(matches!(ended(status, &[], "thanks"), Ending::Unknown(_)));
        }
        for status in [402, 422] {
            assert_eq!(
                ended(status, &[], r#"{"reason":"card_declined"}"#),
                Ending::Refused("card_declined".to_owned())
            );
            assert_eq!(ended(status, &[], "no"), Ending::Refused(format!("http_{status}")));
        }
        for status in [500, 502, 503, 504] {
            assert!(matches!(ended(status, &[], ""), Ending::Unknown(_)), "{status}");
        }
        for status in [301, 400, 401, 403, 404, 405, 429] {
            assert_eq!(again(status, &[]), None, "{status}");
        }
    }

    #[test]
    fn retry_after_is_read_as_seconds_and_as_a_date_and_is_bounded() {
        let (date, secs) = ((DATE, "Sun, 06 Nov 1994 08:49:37 GMT"), |secs| Some(Duration::from_secs(secs)));
        for status in [429, 503] {
            assert_eq!(again(status, &[(RETRY_AFTER, "7")]), secs(7));
            assert_eq!(again(status, &[(RETRY_AFTER, "86400")]), Some(LONGEST_WAIT));
            let at = (RETRY_AFTER, "Sun, 06 Nov 1994 08:49:49 GMT");
            assert_eq!(again(status, &[at.clone(), date.clone()]), secs(12));
            assert_eq!(again(status, &[at]), None);
            assert_eq!(again(status, &[(RETRY_AFTER, "Sun, 06 Nov 1994 08:49:00 GMT"), date.clone()]), secs(0));
            assert_eq!(again(status, &[(RETRY_AFTER, "soon")]), None);
        }
    }

    #[test]
    fn a_long_reason_is_cut_between_two_characters() {
        let reason = shortened(format!("x{}", "ü".repeat(MAX_REASON_BYTES)));
        assert_eq!(reason.len(), MAX_REASON_BYTES - 1);
        assert_eq!(shortened("short".to_owned()), "short");
    }

    #[test]
    fn an_address_that_cannot_be_called_is_refused_in_a_sentence() {
        for (text, says) in [
            ("provider", "such as http://"),
            ("https://pay.example", "speak TLS"),
            ("ftp://pay.example", "starts with http://"),
            ("mailto:pay@example", "starts with http://"),
            ("http://", "such as http://"),
            ("http://pay.example/?key=1", "leave out"),
            ("http://pay.example/#x", "leave out"),
        ] {
            let error = Remote::from_str(text).unwrap_err().to_string();
            assert!(error.contains(says) && error.contains(text), "{error}");
        }
        let error = Remote::from_str("http://me:secret@pay.example").unwrap_err().to_string();
        assert!(!error.contains("secret") && error.contains("leave them out"), "{error}");
    }

    #[test]
    fn a_path_stands_under_the_address_and_holds_any_text() {
        for base in ["http://pay.example/api", "http://pay.example/api/"] {
            let url = Remote::from_str(base).unwrap().url(&["payments", "a/b ?"]);
            assert_eq!(url.as_str(), "http://pay.example/api/payments/a%2Fb%20%3F");
        }
    }

    #[tokio::test]
    async fn where_nobody_listens_a_request_was_not_made_and_a_question_tells_nothing() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let remote: Remote = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        drop(listener);
        assert!(matches!(remote.post::<_, Value>(&["x"], "k", &json!({})).await, Ending::Again(_, None)));
        assert!(matches!(remote.find::<Value>(&["x"]).await, Ending::Unknown(_)));
    }
}
