//! The credential of a request.
//!
//! `authorization: Bearer TOKEN`, the scheme in exactly this spelling, one space, as the gRPC contract has it; the same
//! for HTTP, where `x-api-key: TOKEN` does as well. Several values are fine if they are the same: which of two
//! different ones counts is what layers have disagreed about elsewhere.

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::auth::cause::Cause;
use crate::service::reply::Protocol;

/// Where clients of the Anthropic API put their key.
pub(super) const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const SCHEME: &str = "Bearer ";

/// The one token of the request.
pub(super) fn credential(headers: &HeaderMap, protocol: Protocol) -> Result<&str, Cause> {
    let bearers = headers.get_all(AUTHORIZATION).iter().map(bearer);
    let keys = headers.get_all(API_KEY).iter().filter(|_| protocol.is_http()).map(plain);
    let mut found = None;
    for token in bearers.chain(keys) {
        let token = token.ok_or(Cause::NotBearer)?;
        if found.is_some_and(|earlier| earlier != token) {
            return Err(Cause::Conflict);
        }
        found = Some(token);
    }
    found.ok_or(Cause::Missing)
}

fn bearer(value: &HeaderValue) -> Option<&str> {
    printable(value.to_str().ok()?.strip_prefix(SCHEME)?)
}

fn plain(value: &HeaderValue) -> Option<&str> {
    printable(value.to_str().ok()?)
}

fn printable(token: &str) -> Option<&str> {
    (!token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic())).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::error_body::Dialect;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn grpc(pairs: &[(&'static str, &'static str)]) -> Result<String, Cause> {
        credential(&headers(pairs), Protocol::Grpc).map(str::to_owned)
    }

    fn http(pairs: &[(&'static str, &'static str)]) -> Result<String, Cause> {
        credential(&headers(pairs), Protocol::Http(Dialect::OpenAi)).map(str::to_owned)
    }

    #[test]
    fn a15_the_scheme_is_bearer_with_exactly_one_space() {
        assert_eq!(grpc(&[("authorization", "Bearer a.b.c")]), Ok("a.b.c".to_owned()));

        for value in [
            "bearer a",
            "BEARER a",
            "a",
            "Bearer",
            "Bearer ",
            "Bearer  a",
            "Bearer a ",
            "Bearer a b",
            "Bearer\ta",
            "Basic a",
            "",
        ] {
            assert_eq!(grpc(&[("authorization", value)]), Err(Cause::NotBearer), "{value:?}");
            assert_eq!(http(&[("authorization", value)]), Err(Cause::NotBearer), "{value:?}");
        }
        assert_eq!(grpc(&[]), Err(Cause::Missing));
    }

    #[test]
    fn a15_of_two_different_credentials_neither_counts() {
        let twice = [("authorization", "Bearer a"), ("authorization", "Bearer b")];
        let same = [("authorization", "Bearer a"), ("authorization", "Bearer a")];
        let half = [("authorization", "Bearer a"), ("authorization", "a")];

        assert_eq!(grpc(&twice), Err(Cause::Conflict));
        assert_eq!(grpc(&same), Ok("a".to_owned()));
        assert_eq!(grpc(&half), Err(Cause::NotBearer));
    }

    #[test]
    fn an_api_key_is_a_credential_for_http_only() {
        assert_eq!(http(&[("x-api-key", "a")]), Ok("a".to_owned()));
        assert_eq!(grpc(&[("x-api-key", "a")]), Err(Cause::Missing));
        assert_eq!(http(&[("x-api-key", "a"), ("authorization", "Bearer a")]), Ok("a".to_owned()));
        assert_eq!(http(&[("x-api-key", "a"), ("authorization", "Bearer b")]), Err(Cause::Conflict));
        assert_eq!(http(&[("x-api-key", "a b")]), Err(Cause::NotBearer));
    }

    #[test]
    fn a15_bytes_that_are_no_text_are_refused() {
        let mut headers = HeaderMap::new();
        headers.append(AUTHORIZATION, HeaderValue::from_bytes(b"Bearer \xff").expect("a header value"));

        assert_eq!(credential(&headers, Protocol::Grpc), Err(Cause::NotBearer));
    }
}
