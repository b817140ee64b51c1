//! A refusal by a layer, in the protocol that the caller speaks.

use axum::body::Bytes;
use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use http_body::Frame;
use tonic::{Code, Status};

use crate::service::error_body::{Dialect, HttpError};

/// What a caller speaks, told by the headers of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// gRPC, also with a suffix such as `+proto`; not gRPC-Web.
    Grpc,
    /// Anything else.
    Http(Dialect),
}

impl Protocol {
    /// The protocol of a request with these headers.
    pub fn of(headers: &HeaderMap) -> Self {
        let media_type = headers.get(CONTENT_TYPE).map(http::HeaderValue::as_bytes).unwrap_or_default();
        match media_type.strip_prefix(b"application/grpc") {
            Some([] | [b'+' | b';', ..]) => Self::Grpc,
            _ => Self::Http(Dialect::of(headers)),
        }
    }

    /// Whether it is not gRPC.
    pub fn is_http(self) -> bool {
        self != Self::Grpc
    }
}

/// What a layer answers instead of passing a request on.
#[derive(Clone, Copy, Debug)]
pub struct Refusal {
    /// For gRPC callers.
    pub code: Code,
    /// For HTTP callers.
    pub status: StatusCode,
    /// For both; fixed text, never a part of the request.
    pub message: &'static str,
}

impl Refusal {
    /// The answer in this protocol.
    pub fn answer(self, protocol: Protocol) -> Response {
        match protocol {
            Protocol::Grpc => self.grpc().into_http(),
            Protocol::Http(dialect) => self.http(dialect),
        }
    }

    /// The end of an answer whose head was sent before: trailers in gRPC, a broken body in HTTP.
    pub fn last_frame(self, protocol: Protocol) -> Result<Frame<Bytes>, axum::Error> {
        let status = self.grpc();
        let mut trailers = HeaderMap::new();
        match protocol {
            Protocol::Grpc if status.add_header(&mut trailers).is_ok() => Ok(Frame::trailers(trailers)),
            _ => Err(axum::Error::new(status)),
        }
    }

    /// The gRPC status.
    pub fn grpc(self) -> Status {
        Status::new(self.code, self.message)
    }

    fn http(self, dialect: Dialect) -> Response {
        let Self { status, message, .. } = self;
        let kind = if status.is_server_error() { "server_error" } else { "invalid_request_error" };
        HttpError { status, message, kind, param: None, code: None }.response(dialect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn protocol_of(content_type: &'static str) -> Protocol {
        Protocol::of(&HeaderMap::from_iter([(CONTENT_TYPE, http::HeaderValue::from_static(content_type))]))
    }

    #[test]
    fn grpc_is_told_from_grpc_web_and_json() {
        assert_eq!(protocol_of("application/grpc"), Protocol::Grpc);
        assert_eq!(protocol_of("application/grpc+proto"), Protocol::Grpc);
        assert_eq!(protocol_of("application/grpc-web"), Protocol::Http(Dialect::OpenAi));
        assert_eq!(protocol_of("application/json"), Protocol::Http(Dialect::OpenAi));
        assert_eq!(Protocol::of(&HeaderMap::new()), Protocol::Http(Dialect::OpenAi));
    }

    #[test]
    fn each_protocol_gets_its_own_form_of_the_refusal() {
        let refusal = Refusal { code: Code::Unimplemented, status: StatusCode::NOT_FOUND, message: "no" };

        let grpc = refusal.answer(Protocol::Grpc);
        let http = refusal.answer(Protocol::Http(Dialect::OpenAi));

        assert_eq!((grpc.status(), grpc.headers()["grpc-status"].as_bytes()), (StatusCode::OK, &b"12"[..]));
        assert_eq!(http.status(), StatusCode::NOT_FOUND);
        assert_eq!(http.headers()[CONTENT_TYPE], "application/json");
    }
}
