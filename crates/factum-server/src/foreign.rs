//! Requests that a page of another site makes in somebody's browser: refused, because nothing else asks who it is.
//!
//! A listener on a loopback address is reached by every browser on the machine, and so by every page that is open in one.
//! Two things tell such a page from the operator's own tools:
//!
//! - `Host`: a foreign name that somebody had resolved to this machine (DNS rebinding). Only loopback names are answered,
//!   also for reading.
//! - `Origin` and `Sec-Fetch-Site`: a page that posts to another site says where it comes from. What may change something
//!   is answered only if that is this very address.
//!
//! Tools that are no browser send neither, and need neither: they cannot be sent by a page.

use std::net::IpAddr;

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, Method, StatusCode, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::problem::Problem;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Passes on what this machine's own tools and pages ask.
pub(crate) async fn refused(request: Request, next: Next) -> Response {
    let authority = request.uri().authority().map(Authority::as_str);
    match check(request.method(), authority, request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn check(method: &Method, authority: Option<&str>, headers: &HeaderMap) -> Result<(), Problem> {
    let mut hosts = authority.into_iter().map(str::as_bytes).collect::<Vec<_>>();
    hosts.extend(headers.get_all(header::HOST).iter().map(|host| host.as_bytes()));
    // Without a Host it is no browser.
    if hosts.iter().any(|host| !is_loopback(host)) {
        let detail = "the header Host names no address of this machine: use http://127.0.0.1 or http://localhost with \
                      the port; a proxy in front has to send such a Host";
        return Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, "foreign_host", detail));
    }
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(());
    }
    let crosses = headers.get_all(SEC_FETCH_SITE).iter().any(|site| site.as_bytes() == b"cross-site");
    let foreign = headers.get_all(header::ORIGIN).iter().any(|origin| !is_own(origin.as_bytes(), &hosts));
    if crosses || foreign {
        let detail = "a page of another origin may not do this: open the page at the address that it sends to, or use \
                      a tool that sends no Origin";
        return Err(Problem::new(StatusCode::FORBIDDEN, "foreign_origin", detail));
    }
    Ok(())
}

/// `localhost`, or an address that only this machine reaches, with or without a port.
fn is_loopback(host: &[u8]) -> bool {
    let Ok(authority) = Authority::try_from(host) else { return false };
    let name = authority.host();
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    // Whoever sends a name in front of the host is no browser, but nothing good either.
    !authority.as_str().contains('@')
        && (name.eq_ignore_ascii_case("localhost")
            || bare.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback()))
}

/// Whether an origin is one of those that the request was sent to.
fn is_own(origin: &[u8], hosts: &[&[u8]]) -> bool {
    let rest = origin.strip_prefix(b"http://").or_else(|| origin.strip_prefix(b"https://"));
    rest.is_some_and(|rest| hosts.iter().any(|host| host.eq_ignore_ascii_case(rest)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn asked(method: Method, given: &[(&str, &str)]) -> Result<(), String> {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            let name = HeaderName::try_from(*name).unwrap();
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        check(&method, None, &headers).map_err(|problem| format!("{} {}", problem.status().as_u16(), problem.code()))
    }

    #[test]
    fn only_a_host_of_this_machine_is_answered_also_for_reading() {
        for host in ["127.0.0.1:8080", "127.0.0.1", "127.8.9.10:1", "localhost", "LocalHost:80", "[::1]:8080", "[::1]"]
        {
            assert_eq!(asked(Method::GET, &[("host", host)]), Ok(()), "{host}");
        }
        assert_eq!(asked(Method::POST, &[]), Ok(()), "no browser");
        for host in [
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "192.168.1.2:8080",
            "0.0.0.0:8080",
            "[::]:80",
            "me@127.0.0.1",
            "127.0.0.1@evil.example",
            "",
            "127.0.0.1:8080, evil.example",
            "ü",
        ] {
            assert_eq!(asked(Method::GET, &[("host", host)]), Err("421 foreign_host".to_owned()), "{host}");
        }
        let twice = [("host", "127.0.0.1"), ("host", "evil.example")];
        assert_eq!(asked(Method::GET, &twice), Err("421 foreign_host".to_owned()));
        let absolute = check(&Method::GET, Some("evil.example"), &HeaderMap::new()).unwrap_err();
        assert_eq!(absolute.code(), "foreign_host");
    }

    #[test]
    fn a_page_of_another_origin_changes_nothing() {
        let host = ("host", "127.0.0.1:8080");
        for origin in
            ["http://evil.example", "null", "http://127.0.0.1:9090", "http://localhost:8080", "http://127.0.0.1", ""]
        {
            let given = [host, ("origin", origin)];
            for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
                assert_eq!(asked(method, &given), Err("403 foreign_origin".to_owned()), "{origin}");
            }
            assert_eq!(asked(Method::GET, &given), Ok(()), "it cannot read the answer");
        }
        let crosses = [host, ("sec-fetch-site", "cross-site")];
        assert_eq!(asked(Method::POST, &crosses), Err("403 foreign_origin".to_owned()));
        let twice = [host, ("origin", "http://127.0.0.1:8080"), ("origin", "http://evil.example")];
        assert_eq!(asked(Method::POST, &twice), Err("403 foreign_origin".to_owned()));
    }

    #[test]
    fn a_page_of_its_own_and_a_tool_do_what_they_may() {
        let own = [("host", "localhost:8080"), ("origin", "http://localhost:8080"), ("sec-fetch-site", "same-origin")];
        assert_eq!(asked(Method::POST, &own), Ok(()));
        assert_eq!(asked(Method::POST, &[("host", "127.0.0.1:8080")]), Ok(()));
    }
}
