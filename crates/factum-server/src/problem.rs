//! Refusals as problem details (RFC 9457), and the one mapping of errors to statuses.
//!
//! | error | status | `code` |
//! |---|---|---|
//! | rejection: conflict, invalid, missing | 409, 422, 404 | the rejection's own |
//! | id used before with another body | 409 | `id_reused` |
//! | changed by somebody else meanwhile | 409 | `conflict` |
//! | position from before the log was restored | 409 | `another_epoch` |
//! | inbox full | 503, `Retry-After: 1` | `busy` |
//! | engine stopped | 503 | `stopped` |
//! | view not there yet | 503, `Retry-After: 1` | `late` |
//! | view stopped, rows cannot be read now | 503 | `view_stopped`, `rows` |
//! | rows of another shape, or another log's | 500 | `rows` |
//! | no service for the command | 500 | `no_handler` |
//! | handler said that a name or value does not fit | 422 | `invalid` |
//! | handler panicked, data of our own does not fit | 500 | `handler` |
//! | message or commit over its limit | 413 | `too_large` |
//! | name of a user or the like over its limit | 422 | `name_too_long` |
//! | store full | 507 | `store_full` |
//! | store: outcome unknown | 500 | `outcome_unknown` |
//! | store: passing, damaged, closed | 503 | `store` |
//! | no letter, no plan, no consumer, no saga of that name | 404 | `no_letter`, `no_plan`, `no_such_consumer`, `no_such_saga` |
//! | no service of this program has the letter's consumer; not as things stand | 409 | `no_consumer`, `not_now` |
//! | no group of that name, a lease that is not the worker's any more | 404, 409 | `no_group`, `stale_lease` |
//! | who or why of an act do not fit | 400 | `bad_by`, `bad_why` |
//! | another site's page, a name that is not this machine's | 403, 421 | `foreign_origin`, `foreign_host` |
//! | body: not UTF-8, no JSON, too deep, wrong fields, fields that nobody knows | 400, 400, 400, 422, 400 | `not_utf8`, `bad_json`, `too_deep`, `bad_field`, `unknown_field` |
//! | a foreign message: owned by a service here, of another kind, nobody's command | 409, 422, 404 | `owned_here`, `wrong_kind`, `no_addressee` |
//! | a foreign message: its time lies ahead | 422 | `bad_time` |
//! | a foreign message: a name that means nothing, another major version, gone round | 422 | `unknown_name`, `other_version`, `too_long_a_chain` |
//! | more messages than a request may hold | 413 | `too_many` |
//! | body too large, no JSON by its type | 413, 415 | `body_too_large`, `not_json` |
//! | query, header, id in the path | 400 | `bad_query`, `bad_header`, `bad_id` |
//! | unknown path, other method | 404, 405 | `no_such_path`, `no_such_method` |
//! | a panic, a request over its time | 500, 503 | `panicked`, `timed_out` |

use std::borrow::Cow;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use factum_core::{
    error::{CommitError, HandlerError, Refusal, StoreError},
    id::unseen,
    rejection::RejectionKind,
};
use factum_runtime::{acts::ActError, inbox::ExecuteError};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// The media type of a problem.
pub const MEDIA_TYPE: &str = "application/problem+json";
/// Bytes of a problem's sentence at most; what is longer is left out in the middle.
pub const MAX_DETAIL_BYTES: usize = 1_024;
/// Bytes of the text of another member at most, such as a field's path.
pub const MAX_MEMBER_BYTES: usize = 256;

/// Why a request is refused, for programs (`status`, `code`) and for people (`detail`).
///
/// What of it the client sent is written out where a terminal would obey it or nobody could see it, and is left out
/// where it is long. Its `type` is `about:blank`, so the title is the status' own name, and `code` is the word that programs compare.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    status: StatusCode,
    code: Cow<'static, str>,
    detail: String,
    retry_after_s: Option<u32>,
    members: Map<String, Value>,
}

impl Problem {
    /// A refusal: the code is a stable word in lower snake case, the detail a sentence that says what to do.
    pub fn new(status: StatusCode, code: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Self {
        Self { status, code: code.into(), detail: detail.into(), retry_after_s: None, members: Map::new() }
    }

    /// The request is malformed: 400.
    pub fn bad(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// The request is understood, but wrong: 422.
    pub fn invalid(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
    }

    /// What is asked for does not exist: 404.
    pub fn missing(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, detail)
    }

    /// Not now: 503.
    pub fn unavailable(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail)
    }

    /// Our own failure: 500.
    pub fn internal(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, code, detail)
    }

    /// Adds a member of its own, such as the line that is wrong.
    #[must_use]
    pub fn with(mut self, member: &str, value: impl Serialize) -> Self {
        self.members.insert(member.to_owned(), json!(value));
        self
    }

    /// Says after how many seconds to try again.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The same of one of several things: which of them, in words and by its place.
    #[must_use]
    pub(crate) fn about(self, what: impl std::fmt::Display, at: usize) -> Self {
        let detail = format!("{what}: {}", self.detail);
        Self { detail, ..self }.with("at", at)
    }

    /// The sentence.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// The word for programs.
    pub fn code(&self) -> &str {
        &self.code
    }
}

/// A text as a person may see it: what was sent may stand in it, and a terminal would obey that, or nobody could see it.
/// What is too long is left out in the middle, because the end says what to do.
pub(crate) fn plain(text: &str, most: usize) -> String {
    let mut plain = String::with_capacity(text.len());
    for char in text.chars() {
        match char.is_control() || unseen(char) {
            true => plain.extend(char.escape_default()),
            false => plain.push(char),
        }
    }
    if plain.len() > most {
        let (from, to) = (plain.floor_char_boundary(most / 2), plain.ceil_char_boundary(plain.len() - most / 2));
        plain.replace_range(from..to, " … ");
    }
    plain
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut members = self.members;
        for member in members.values_mut() {
            if let Value::String(text) = member {
                *text = plain(text, MAX_MEMBER_BYTES);
            }
        }
        let title = self.status.canonical_reason().unwrap_or("Refused");
        members.insert("type".to_owned(), json!("about:blank"));
        members.insert("title".to_owned(), json!(title));
        members.insert("status".to_owned(), json!(self.status.as_u16()));
        members.insert("detail".to_owned(), json!(plain(&self.detail, MAX_DETAIL_BYTES)));
        members.insert("code".to_owned(), json!(self.code));
        let body = Value::Object(members).to_string();
        let mut response =
            (self.status, [(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE))], body).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// What is said of a failure of our own code.
const INSIDE: &str = "this could not be handled, and nothing of it was stored: the log of the program says why";

impl From<ExecuteError> for Problem {
    fn from(error: ExecuteError) -> Self {
        let detail = error.to_string();
        let problem = match error {
            ExecuteError::Rejected(refused) => {
                let status = match refused.kind {
                    RejectionKind::Conflict => StatusCode::CONFLICT,
                    RejectionKind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
                    RejectionKind::Missing => StatusCode::NOT_FOUND,
                };
                Self::new(status, refused.code, refused.message)
            }
            ExecuteError::IdReused(_) => Self::new(StatusCode::CONFLICT, "id_reused", detail),
            ExecuteError::Busy => Self::unavailable("busy", detail).retry_after(1),
            ExecuteError::Stopped(_) => Self::unavailable("stopped", detail),
            ExecuteError::NoHandler(_) => Self::internal("no_handler", detail),
            ExecuteError::Handler(error) => error.into(),
            ExecuteError::Commit(error) => error.into(),
        };
        if problem.status.is_server_error() && problem.retry_after_s.is_none() {
            tracing::error!(code = %problem.code, detail = problem.detail, "a command could not be carried out");
        }
        if problem.code == "handler" {
            // What failed inside is none of a stranger's business.
            return Self { detail: INSIDE.to_owned(), ..problem };
        }
        problem
    }
}

impl From<ActError> for Problem {
    fn from(error: ActError) -> Self {
        let detail = error.to_string();
        match error {
            ActError::NoPlan(_) => Self::missing("no_plan", detail),
            ActError::NoInstance(_) => Self::missing("no_such_saga", detail),
            ActError::NoLetter(_) => Self::missing("no_letter", detail),
            ActError::NoConsumer(_) => Self::new(StatusCode::CONFLICT, "no_consumer", detail),
            ActError::NotNow(_) => Self::new(StatusCode::CONFLICT, "not_now", detail),
            ActError::Name(_) => Self::bad("bad_by", detail),
            ActError::NoReason => Self::bad("bad_why", detail),
            // There is no key to send it again under, and none is needed: an act on what has ended does nothing.
            ActError::Store(StoreError::OutcomeUnknown(_)) => Self::internal(
                "outcome_unknown",
                format!("{detail}. It is unknown whether this was done: look again, and do it again if it was not"),
            ),
            ActError::Store(error) => error.into(),
            ActError::Stopped(_) => Self::unavailable("stopped", detail),
        }
    }
}

impl From<HandlerError> for Problem {
    fn from(error: HandlerError) -> Self {
        match error {
            HandlerError::Failed(reason) => Self::invalid("invalid", reason),
            HandlerError::Payload(_) | HandlerError::Panicked(_) | HandlerError::NotYet(_) => {
                Self::internal("handler", error.to_string())
            }
        }
    }
}

impl From<CommitError> for Problem {
    fn from(error: CommitError) -> Self {
        let detail = error.to_string();
        match error {
            CommitError::Refused(Refusal::Conflict { .. } | Refusal::CellConflict { .. }) => {
                Self::new(StatusCode::CONFLICT, "conflict", "somebody else changed this meanwhile: send it again")
            }
            CommitError::Refused(Refusal::MessageTooLarge { .. } | Refusal::CommitTooLarge { .. }) => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail)
            }
            CommitError::Refused(Refusal::NameTooLong { .. }) => Self::invalid("name_too_long", detail),
            CommitError::Refused(Refusal::ForeignStream { .. }) => Self::internal("foreign_stream", detail),
            CommitError::Store(error) => error.into(),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        CommitError::from(refusal).into()
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let detail = error.to_string();
        match error {
            StoreError::Transient(_) | StoreError::Conflict(_) => Self::unavailable("store", detail).retry_after(1),
            StoreError::Fenced(_) => Self::unavailable("fenced", detail),
            StoreError::Full(_) => Self::new(StatusCode::INSUFFICIENT_STORAGE, "store_full", detail),
            StoreError::OutcomeUnknown(_) => Self::internal(
                "outcome_unknown",
                format!(
                    "{detail}. It is unknown whether this request was carried out: send it again with the same \
                     Idempotency-Key to find out"
                ),
            ),
            StoreError::Unfit(_) => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail),
            StoreError::Corrupt(_) | StoreError::Permanent(_) => Self::unavailable("store", detail),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use factum_core::{
        error::NameError,
        id::MessageId,
        letter::{LetterId, Subject},
        rejection::Refused,
    };

    #[test]
    fn every_error_of_an_act_has_its_status() {
        let letter = LetterId::new("a.b", Subject::Timer("c/d".to_owned()));
        let unknown = ActError::Store(StoreError::OutcomeUnknown("cut off".to_owned()));
        for (error, status, code) in [
            (ActError::NoLetter(letter), 404, "no_letter"),
            (ActError::NoInstance("fulfilment-7".to_owned()), 404, "no_such_saga"),
            (ActError::NoConsumer("a.b".to_owned()), 409, "no_consumer"),
            (ActError::NotNow("it has stopped".to_owned()), 409, "not_now"),
            (ActError::Name(NameError { what: "by", problem: "is empty".to_owned() }), 400, "bad_by"),
            (ActError::NoReason, 400, "bad_why"),
            (ActError::Store(StoreError::Full("no room".to_owned())), 507, "store_full"),
            (unknown, 500, "outcome_unknown"),
            (ActError::Stopped("told to".to_owned()), 503, "stopped"),
        ] {
            let problem = Problem::from(error);
            assert_eq!((problem.status().as_u16(), problem.code()), (status, code));
            assert!(code != "handler" || !problem.detail.contains("x"), "{}", problem.detail);
            assert!(!problem.detail.contains("Idempotency-Key"), "an act has none: {}", problem.detail);
        }
    }

    fn rejected(kind: RejectionKind) -> ExecuteError {
        ExecuteError::Rejected(Refused { code: "too_late".to_owned(), kind, message: "the order is paid".to_owned() })
    }

    fn store(error: impl Fn(String) -> StoreError) -> ExecuteError {
        ExecuteError::Commit(CommitError::Store(error("disk".to_owned())))
    }

    #[test]
    fn every_error_of_a_command_has_its_status() {
        let text = || "x".to_owned();
        for (error, status, code) in [
            (rejected(RejectionKind::Conflict), 409, "too_late"),
            (rejected(RejectionKind::Invalid), 422, "too_late"),
            (rejected(RejectionKind::Missing), 404, "too_late"),
            (ExecuteError::IdReused(MessageId::parse("k").unwrap()), 409, "id_reused"),
            (ExecuteError::Busy, 503, "busy"),
            (ExecuteError::Stopped(text()), 503, "stopped"),
            (ExecuteError::NoHandler(text()), 500, "no_handler"),
            (ExecuteError::Handler(HandlerError::Failed(text())), 422, "invalid"),
            (ExecuteError::Handler(HandlerError::Payload(text())), 500, "handler"),
            (ExecuteError::Handler(HandlerError::Panicked(text())), 500, "handler"),
            (store(StoreError::Full), 507, "store_full"),
            (store(StoreError::OutcomeUnknown), 500, "outcome_unknown"),
            (store(StoreError::Transient), 503, "store"),
            (store(StoreError::Conflict), 503, "store"),
            (store(StoreError::Fenced), 503, "fenced"),
            (store(StoreError::Corrupt), 503, "store"),
            (store(StoreError::Permanent), 503, "store"),
            (
                ExecuteError::Commit(CommitError::Refused(Refusal::CommitTooLarge { bytes: 9, limit: 8 })),
                413,
                "too_large",
            ),
        ] {
            let problem = Problem::from(error);
            assert_eq!((problem.status().as_u16(), problem.code()), (status, code));
        }
    }

    #[test]
    fn an_unknown_outcome_says_so_and_what_to_do() {
        let problem = Problem::from(store(StoreError::OutcomeUnknown));
        assert!(problem.detail.contains("unknown") && problem.detail.contains("same Idempotency-Key"));
    }

    #[tokio::test]
    async fn what_was_sent_commands_no_terminal_and_fills_no_page() {
        let sent = "\u{1b}[2J\r\n\u{202e}£";
        let problem =
            Problem::invalid("bad_field", format!("`{sent}` does not fit")).with("field", sent).with("line", 3);
        let long = Problem::missing("not_found", format!("no {}: send less", "ü".repeat(5_000)))
            .with("field", "x".repeat(5_000));
        let read = async |problem: Problem| {
            let body = axum::body::to_bytes(problem.into_response().into_body(), 2_048).await.unwrap();
            serde_json::from_slice::<Value>(&body).unwrap()
        };
        let plain = "\\u{1b}[2J\\r\\n\\u{202e}£";
        let body = read(problem).await;
        assert_eq!((&body["detail"], &body["line"]), (&json!(format!("`{plain}` does not fit")), &json!(3)));
        assert_eq!(body["field"], plain);
        let body = read(long).await;
        let detail = body["detail"].as_str().unwrap();
        assert!(
            detail.starts_with("no üü") && detail.ends_with("üü: send less") && detail.contains("ü … ü"),
            "{detail}"
        );
        assert!(detail.len() <= MAX_DETAIL_BYTES + 5, "{}", detail.len());
        let half = "x".repeat(MAX_MEMBER_BYTES / 2);
        assert_eq!(body["field"], format!("{half} … {half}"));
    }

    #[tokio::test]
    async fn a_problem_is_written_as_rfc_9457_says() {
        let response = Problem::from(ExecuteError::Busy).with("line", 3).into_response();
        assert_eq!(response.headers()[header::CONTENT_TYPE], MEDIA_TYPE);
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        let body = axum::body::to_bytes(response.into_body(), 1024).await.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        let written = json!({
            "type": "about:blank", "title": "Service Unavailable", "status": 503, "code": "busy",
            "detail": "too much is waiting: try again in a moment", "line": 3,
        });
        assert_eq!(body, written);
    }
}
