//! Strict transport security, on every answer over TLS, when the config asks for it.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderValue;
use http::header::STRICT_TRANSPORT_SECURITY;
use vibectl_config::Hsts;

/// The layer. Without a value it does nothing.
pub async fn apply(State(value): State<Option<HeaderValue>>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if let Some(value) = value {
        response.headers_mut().insert(STRICT_TRANSPORT_SECURITY, value);
    }
    response
}

/// What is sent, if anything.
pub fn value(hsts: &Hsts, over_tls: bool) -> Option<HeaderValue> {
    if !(hsts.enabled && over_tls) {
        return None;
    }
    let mut text = format!("max-age={}", hsts.max_age);
    if hsts.include_subdomains {
        text.push_str("; includeSubDomains");
    }
    if hsts.preload {
        text.push_str("; preload");
    }
    HeaderValue::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_says_what_is_configured_and_only_over_tls() {
        let hsts = Hsts { enabled: true, preload: true, ..Hsts::default() };

        let sent = value(&hsts, true).expect("a value");

        assert_eq!(sent, "max-age=31536000; includeSubDomains; preload");
        assert_eq!(value(&hsts, false), None);
        assert_eq!(value(&Hsts::default(), true), None);
    }
}
