//! What routes take from a request. Whatever does not fit is refused with a [`Problem`] that says what and where.

use std::{fmt::Display, str::FromStr};

use axum::{
    body::Bytes,
    extract::{FromRef, FromRequest, FromRequestParts, OptionalFromRequestParts, Path, Request},
    http::{HeaderMap, HeaderName, StatusCode, header, request::Parts},
};
use factum_core::{
    id::{MAX_NAME_BYTES, check_id},
    stream::{Lineage, Position},
};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::{
    Deserialize,
    de::{DeserializeOwned, IgnoredAny},
};

use crate::problem::Problem;

/// Bytes that a body may have.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;
/// Objects and lists that may stand within each other in a body.
pub const MAX_DEPTH: usize = 64;
/// The header of a request that may be sent again: the same key is carried out once.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The header that says up to where the log holds what a command did, and up to where a read has to be.
pub const FACTUM_POSITION: HeaderName = HeaderName::from_static("factum-position");
/// The name of the only unit.
const UNIT: &str = "main";

/// A JSON body. An empty one counts as `{}`; fields that nobody asked for are ignored, or refused by a type that denies them.
#[derive(Clone, Debug)]
pub struct Body<T> {
    /// What it says.
    pub data: T,
    /// What was sent, byte by byte: digests of requests are made of this, because what is made of a request may differ
    /// from one attempt to the next.
    pub raw: Bytes,
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        check_content_type(request.headers())?;
        let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
        if announced.and_then(|length| length.parse::<u64>().ok()).is_some_and(|bytes| bytes > MAX_BODY_BYTES as u64) {
            return Err(too_large_for(MAX_BODY_BYTES));
        }
        let raw = axum::body::to_bytes(request.into_body(), MAX_BODY_BYTES)
            .await
            .map_err(|error| unread_for(error, MAX_BODY_BYTES))?;
        Ok(Self { data: read(&raw)?, raw })
    }
}

/// A body that ends before its announced length is the client's; only the limit is ours.
pub(crate) fn unread_for(error: axum::Error, limit: usize) -> Problem {
    let mut cause: Option<&dyn std::error::Error> = Some(&error);
    while let Some(error) = cause {
        if error.to_string().contains("length limit exceeded") {
            return too_large_for(limit);
        }
        cause = error.source();
    }
    Problem::bad("bad_body", format!("the body could not be read to its end: {error}"))
}

pub(crate) fn too_large_for(limit: usize) -> Problem {
    let detail = format!("the body has more than {limit} bytes: send less at once");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
}

fn check_content_type(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(given) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let text = String::from_utf8_lossy(given.as_bytes()).to_ascii_lowercase();
    let essence = text.split(';').next().unwrap_or_default().trim();
    if essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json")) {
        return Ok(());
    }
    let detail = format!("the body is said to be `{essence}`: send JSON as application/json");
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json", detail))
}

/// Reads a JSON body: first whether it is JSON at all, then whether it has the fields.
fn read<T: DeserializeOwned>(raw: &[u8]) -> Result<T, Problem> {
    let text = std::str::from_utf8(raw).map_err(|error| {
        let at = error.valid_up_to();
        Problem::bad("not_utf8", format!("the body is not valid UTF-8 from byte {at} on: send JSON as UTF-8"))
    })?;
    let text = if text.trim_ascii().is_empty() { "{}" } else { text };
    check_depth(text)?;
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        Problem::bad("bad_json", format!("the body is not JSON: {error}")).with("line", line).with("column", column)
    })?;
    let mut reader = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let what = without_place(error.inner());
        // Whoever sends what nobody knows means something by it, and it would be lost.
        if let Some((field, known)) = unknown_field(&what) {
            let field = if path == "." { field.to_owned() } else { path };
            let detail = format!("there is no field `{field}` here; there are: {known}");
            return Problem::bad("unknown_field", detail).with("field", field);
        }
        match path.as_str() {
            "." => Problem::invalid("bad_field", format!("the body does not fit: {what}")),
            _ => Problem::invalid("bad_field", format!("`{path}` does not fit: {what}")).with("field", path),
        }
    })
}

/// The field that a type does not know, and those that it knows.
fn unknown_field(what: &str) -> Option<(&str, String)> {
    let rest = what.strip_prefix("unknown field `")?;
    if let Some(field) = rest.strip_suffix("`, there are no fields") {
        return Some((field, "none".to_owned()));
    }
    let (field, known) = rest.rsplit_once("`, expected ")?;
    Some((field, known.trim_start_matches("one of ").replace(" or ", ", ")))
}

/// The line and column of a field that does not fit tell less than its path.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

/// Refuses what a recursive reader would follow too far down.
fn check_depth(text: &str) -> Result<(), Problem> {
    let (mut depth, mut in_text, mut escaped) = (0usize, false, false);
    for byte in text.bytes() {
        if in_text {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_text = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_text = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            let detail = format!("the body nests objects and lists more than {MAX_DEPTH} deep: send it flatter");
            return Err(Problem::bad("too_deep", detail));
        }
    }
    Ok(())
}

/// The query, `?name=value&…`; parameters that nobody asked for are ignored.
#[derive(Clone, Copy, Debug)]
pub struct Query<T>(
    /// What it says.
    pub T,
);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = axum::extract::Query::<T>::try_from_uri(&parts.uri);
        query.map(|query| Self(query.0)).map_err(|error| {
            let detail = error.body_text();
            let cause = detail.strip_prefix("Failed to deserialize query string: ").unwrap_or(&detail);
            Problem::bad("bad_query", format!("the query does not fit: {cause}"))
        })
    }
}

/// An id from the path, decoded and checked: 1 to 128 bytes, all printable.
#[derive(Clone, Debug)]
pub struct Key<T>(
    /// The id.
    pub T,
);

impl<T, S> FromRequestParts<S> for Key<T>
where
    T: FromStr<Err: Display> + Display,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(text) = <Path<String> as FromRequestParts<S>>::from_request_parts(parts, state)
            .await
            .map_err(|error| bad_id(error.body_text()))?;
        check_id("id", &text).map_err(bad_id)?;
        let id: T = text.parse().map_err(bad_id)?;
        // An id may be brought into a normal form that is longer than what was sent.
        check_id("id", &id.to_string()).map_err(bad_id)?;
        Ok(Self(id))
    }
}

fn bad_id(cause: impl Display) -> Problem {
    Problem::bad("bad_id", format!("the id in the path does not fit: {cause}"))
}

/// The key under which a request may be sent again. As `Option`: it may be absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// Its text: 1 to 128 printable ASCII characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Problem> {
        let Some(given) = only(&parts.headers, &IDEMPOTENCY_KEY)? else { return Ok(None) };
        let fits = (1..=MAX_NAME_BYTES).contains(&given.len()) && given.iter().all(|byte| (0x20..=0x7e).contains(byte));
        match std::str::from_utf8(given) {
            Ok(text) if fits => Ok(Some(Self(text.to_owned()))),
            _ => {
                let detail = format!("Idempotency-Key has 1 to {MAX_NAME_BYTES} printable ASCII characters");
                Err(Problem::bad("bad_header", detail))
            }
        }
    }
}

/// The position that a read has to stand for, from `?after=` or the header `Factum-Position`, the later one if both are
/// given; the start of the log if none is. Whoever reads waits for it, for a bounded time. A position from before the log
/// was restored from a backup is refused: what it stood for may be gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct After(
    /// The position.
    pub Position,
);

#[derive(Deserialize)]
struct AfterParameter {
    after: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for After
where
    Lineage: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Query(parameter) = Query::<AfterParameter>::from_request_parts(parts, state).await?;
        let epoch = Lineage::from_ref(state).epoch;
        let asked = parameter.after.map(|text| read_position(&text, epoch, "bad_query", "after")).transpose()?;
        let header = only(&parts.headers, &FACTUM_POSITION)?;
        let told = header
            .map(|bytes| read_position(&String::from_utf8_lossy(bytes), epoch, "bad_header", "Factum-Position"))
            .transpose()?;
        Ok(Self(asked.max(told).unwrap_or(Position::START)))
    }
}

fn read_position(text: &str, epoch: u32, code: &'static str, what: &str) -> Result<Position, Problem> {
    let parts: Vec<&str> = text.split(':').collect();
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok())?;
    let (of, position) = match parts[..] {
        [UNIT, of, position] => number(of).zip(number(position)),
        _ => None,
    }
    .ok_or_else(|| {
        let detail = format!("{what} is no position: send back a Factum-Position as it came, such as {UNIT}:1:42");
        Problem::bad(code, detail)
    })?;
    match of == u64::from(epoch) {
        true => Ok(Position(position)),
        false => {
            let detail = format!(
                "{what} is from epoch {of} and the log is in epoch {epoch}: it was restored from a backup since, and \
                 what that position stood for may be gone. Ask without it"
            );
            Err(Problem::new(StatusCode::CONFLICT, "another_epoch", detail))
        }
    }
}

/// A header that must not come twice.
pub(crate) fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a [u8]>, Problem> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(_), Some(_)) => Err(Problem::bad("bad_header", format!("the header {name} is given twice"))),
        (first, _) => Ok(first.map(|value| value.as_bytes())),
    }
}

/// The response header that says up to where the log holds what a command did: unit, epoch of the log, position.
pub fn position(lineage: Lineage, position: Position) -> [(HeaderName, String); 1] {
    [(FACTUM_POSITION, format!("{UNIT}:{}:{}", lineage.epoch, position.0))]
}

/// What cannot stand in a path segment or a query's value as it is.
const RESERVED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'&')
    .add(b'+')
    .add(b'/')
    .add(b':')
    .add(b';')
    .add(b'<')
    .add(b'=')
    .add(b'>')
    .add(b'?')
    .add(b'@')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// A text as it may stand in a link: as one segment of a path, or as a value in a query.
pub fn encoded(text: impl Display) -> String {
    utf8_percent_encode(&text.to_string(), RESERVED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;
    use serde_json::Value;

    #[derive(Debug, Deserialize)]
    struct Order {
        items: Vec<Item>,
    }

    #[derive(Debug, Deserialize)]
    struct Item {
        #[expect(dead_code, reason = "it is only read")]
        sku: String,
    }

    fn refused(body: &[u8]) -> (u16, String, String) {
        let problem = read::<Order>(body).unwrap_err();
        (problem.status().as_u16(), problem.code().to_owned(), format!("{problem:?}"))
    }

    #[test]
    fn reads_a_body_and_ignores_what_it_does_not_know() {
        let order: Order = read(br#"{"items":[{"sku":"A","colour":"red"}],"note":1}"#).unwrap();
        assert_eq!(order.items.len(), 1);
    }

    #[test]
    fn refuses_what_is_not_utf_8_and_says_where() {
        let (status, code, detail) = refused(b"{\"items\":[{\"sku\":\"\xff\"}]}");
        assert_eq!((status, code.as_str()), (400, "not_utf8"));
        assert!(detail.contains("byte 18"), "{detail}");
    }

    #[test]
    fn refuses_what_is_no_json_with_line_and_column() {
        let (status, code, detail) = refused(b"{\"items\":\n  [}");
        assert_eq!((status, code.as_str()), (400, "bad_json"));
        assert!(detail.contains("line 2 column 4"), "{detail}");
    }

    #[test]
    fn refuses_fields_that_do_not_fit_by_their_path() {
        for (body, field) in [
            (&br#"{"items":[{"sku":"A"},{"sku":7}]}"#[..], "items[1].sku"),
            (br#"{"items":[{}]}"#, "missing field `sku`"),
            (b"{}", "missing field `items`"),
            (b"", "missing field `items`"),
            (b"[1]", "expected"),
        ] {
            let (status, code, detail) = refused(body);
            assert_eq!((status, code.as_str()), (422, "bad_field"), "{detail}");
            assert!(detail.contains(field), "{detail}");
        }
    }

    #[test]
    fn refuses_fields_that_nobody_knows_with_those_that_are_known() {
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Strict {
            #[expect(dead_code, reason = "it is only read")]
            items: Option<Vec<Inner>>,
            #[expect(dead_code, reason = "it is only read")]
            note: Option<Nothing>,
        }
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(dead_code, reason = "it is only read")]
        struct Inner {
            sku: Option<String>,
            line: Option<u32>,
            quantity: Option<u32>,
        }
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Nothing {}
        for (body, says) in [
            (r#"{"note":null,"colour":1}"#, "no field `colour` here; there are: `items`, `note`"),
            (r#"{"items":[{},{"a":1}]}"#, "no field `items[1].a` here; there are: `sku`, `line`, `quantity`"),
            (r#"{"note":{"x":{}}}"#, "no field `note.x` here; there are: none"),
            (r#"{"a`, expected `b":1}"#, "no field `a`, expected `b` here; there are: `items`, `note`"),
        ] {
            let problem = read::<Strict>(body.as_bytes()).unwrap_err();
            assert_eq!((problem.status().as_u16(), problem.code()), (400, "unknown_field"));
            assert!(format!("{problem:?}").contains(says), "{problem:?}");
        }
    }

    #[test]
    fn a_body_may_be_64_deep_and_no_deeper() {
        let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        assert!(read::<Value>(nested(64).as_bytes()).is_ok());
        assert_eq!(read::<Value>(nested(65).as_bytes()).unwrap_err().code(), "too_deep");
        assert_eq!(read::<Value>("[".repeat(1_000_000).as_bytes()).unwrap_err().code(), "too_deep");
        let brackets_in_text = format!(r#"["{}\"["]"#, "[".repeat(100));
        assert!(read::<Value>(brackets_in_text.as_bytes()).is_ok());
    }

    #[test]
    fn another_content_type_is_refused_and_none_is_json() {
        let given = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(text));
            check_content_type(&headers)
        };
        assert!(check_content_type(&HeaderMap::new()).is_ok());
        assert!(given("application/json; charset=utf-8").is_ok());
        assert!(given("Application/Merge-Patch+JSON").is_ok());
        assert_eq!(given("text/plain").unwrap_err().status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }

    #[test]
    fn positions_are_read_as_they_were_written() {
        let lineage = |epoch| Lineage { log_id: [7; 16], epoch };
        let [(_, text)] = position(lineage(3), Position(42));
        assert_eq!(read_position(&text, 3, "bad_query", "after").unwrap(), Position(42));
        let restored = read_position(&text, 9, "bad_query", "after").unwrap_err();
        assert_eq!((restored.status(), restored.code()), (StatusCode::CONFLICT, "another_epoch"));
        for text in
            ["42", "main:", "main:42", "main:1:", "main:1:-1", "main:1:+1", "main::1", "other:1:1", "main:1:1:1", ""]
        {
            assert!(read_position(text, 1, "bad_query", "after").is_err(), "{text}");
        }
        assert!(read_position("main:1:99999999999999999999", 1, "bad_query", "after").is_err());
    }

    #[test]
    fn links_carry_any_id() {
        assert_eq!(encoded("85123A"), "85123A");
        assert_eq!(encoded("a/b c?ü"), "a%2Fb%20c%3F%C3%BC");
    }
}
