//! Strict transport security, on every answer over TLS, when the config asks for it.
//!
//! A header, as HTTP has it. gRPC clients of the original find it in the trailing metadata, so it is there, too; also at the end
//! of streams.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderValue;
use http::header::STRICT_TRANSPORT_SECURITY;
use http_body_util::BodyExt;
use vibectl_config::Hsts;

/// The layer. Without a value it does nothing.
pub async fn apply(State(value): State<Option<HeaderValue>>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let Some(value) = value else { return response };
    response.headers_mut().insert(STRICT_TRANSPORT_SECURITY, value.clone());
    response.map(|body| {
        Body::new(body.map_frame(move |mut frame| {
            if let Some(trailers) = frame.trailers_mut() {
                trailers.insert(STRICT_TRANSPORT_SECURITY, value.clone());
            }
            frame
        }))
    })
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
