//! The HTTP-01 listener: the path of a pending challenge, and nothing else. With strict transport security, callers who
//! come here by mistake are sent to https.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{CONTENT_TYPE, HOST, LOCATION};
use http::{HeaderMap, StatusCode, Uri};
use tokio::task::spawn_blocking;

use crate::acme::pending::Pending;

/// What the listener answers with.
#[derive(Clone, Debug)]
pub struct Http01 {
    /// Pending answers.
    pub answers: Pending,
    /// Where to send others; none: they get 404.
    pub redirect: Option<Redirect>,
}

/// Where callers who come here by mistake are sent.
#[derive(Clone, Debug)]
pub struct Redirect {
    /// Only these names: a redirect to whatever a request says would be anybody's.
    pub names: Arc<[String]>,
    /// Port of the service.
    pub port: u16,
}

/// The routes.
pub fn routes(state: Http01) -> Router {
    Router::new()
        .route("/.well-known/acme-challenge/{token}", get(answer))
        .fallback(elsewhere)
        .with_state(state)
}

async fn answer(
    State(state): State<Http01>,
    Path(token): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let answers = state.answers.clone();
    let found = spawn_blocking(move || answers.of_token(&token)).await.ok().flatten();
    match found {
        Some(text) => ([(CONTENT_TYPE, "application/octet-stream")], text).into_response(),
        None => elsewhere(State(state), uri, headers).await,
    }
}

async fn elsewhere(State(state): State<Http01>, uri: Uri, headers: HeaderMap) -> Response {
    let host = headers.get(HOST).and_then(|value| value.to_str().ok());
    match state.redirect.and_then(|redirect| redirect.location(host?, &uri)) {
        Some(location) => (StatusCode::PERMANENT_REDIRECT, [(LOCATION, location)]).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

impl Redirect {
    fn location(&self, host: &str, uri: &Uri) -> Option<String> {
        let name = host.split(':').next().unwrap_or_default();
        let name = self.names.iter().find(|known| known.eq_ignore_ascii_case(name))?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Some(match self.port {
            443 => format!("https://{name}{path}"),
            port => format!("https://{name}:{port}{path}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(port: u16, host: &str, path: &str) -> Option<String> {
        let redirect = Redirect { names: vec!["a.example".to_owned()].into(), port };
        redirect.location(host, &path.parse().expect("a path"))
    }

    #[test]
    fn h09_a_redirect_leads_to_our_own_names_only() {
        assert_eq!(location(443, "A.example:80", "/x?y=1").as_deref(), Some("https://a.example/x?y=1"));
        assert_eq!(location(50051, "a.example", "/").as_deref(), Some("https://a.example:50051/"));
        for host in ["evil.example", "a.example.evil.example", "", "a.example@evil.example"] {
            assert_eq!(location(443, host, "/"), None, "{host}");
        }
    }
}
