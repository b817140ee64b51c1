//! The events of a streamed response. Nothing is read ahead of the one who asks: a slow caller slows the provider down.

use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderValue};
use tokio::time::timeout;

use super::{
    ProviderError,
    client::Response,
    sse::{Frame, Splitter},
};

/// How long to wait for the end of the response after its last event, so that the connection can be used again.
const END_GRACE: Duration = Duration::from_millis(20);

/// The rest of a streamed response. Dropping it ends the upstream call.
#[derive(Debug)]
pub(super) struct EventSource {
    response: Option<Response>,
    splitter: Splitter,
}

impl EventSource {
    /// A response that says that it is a stream of events.
    pub(super) fn of(response: Response) -> Result<Self, ProviderError> {
        let content_type = response.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
        if !content_type.is_some_and(|value| value.starts_with(b"text/event-stream")) {
            return Err(ProviderError::bad_answer("the provider did not answer with a stream"));
        }
        Ok(Self { response: Some(response), splitter: Splitter::default() })
    }

    /// The next event; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Frame>, ProviderError> {
        loop {
            match self.splitter.next_frame() {
                Ok(Some(frame)) => return Ok(Some(frame)),
                Ok(None) => {
                    if !self.read().await? {
                        return Ok(None);
                    }
                }
                Err(_) => {
                    return Err(ProviderError::bad_answer("an event of the provider's answer is too long"));
                }
            }
        }
    }

    /// Reads some more; false at the end.
    async fn read(&mut self) -> Result<bool, ProviderError> {
        let Some(response) = &mut self.response else { return Ok(false) };
        if let Some(piece) = response.chunk().await.map_err(ProviderError::from_transport)? {
            self.splitter.push(&piece);
        } else {
            self.response = None;
            self.splitter.finish();
        }
        Ok(true)
    }

    /// Lets the response come to its end, which follows the last event at once unless the provider is an odd one.
    pub(super) async fn drain(&mut self) {
        if let Some(mut response) = self.response.take() {
            let _ = timeout(END_GRACE, async { while let Ok(Some(_)) = response.chunk().await {} }).await;
        }
    }
}
