//! The gRPC front: `vibectl.llm_proxy`, as released clients expect it.
//!
//! Trouble with models and providers is a message in an answer with status OK, and in a stream its last chunk; the rest is a
//! status (see [`crate::error`]). A stream is text chunks, `complete`, `final_metrics`: the two readers in the client end on
//! one or the other.

mod info;
pub mod reflection;
mod wire;

use std::{pin::Pin, sync::Arc, time::Instant};

use futures::{Stream, StreamExt, stream};
use tonic::{Request, Response, Status};
use vibectl_proto::llm_proxy::{
    ExecuteRequest, ExecuteResponse, GetServerInfoRequest, GetServerInfoResponse, StreamChunk,
    vibectl_llm_proxy_server::{VibectlLlmProxy, VibectlLlmProxyServer},
};
use vibectl_token::table::Scope;

use crate::{
    auth::principal::Principal,
    call::{self, Event},
    error::CallError,
    service::{access_log::Entry, deadline::Deadline, request_id::RequestId},
    state::Shared,
};

/// The service, to be put on a router behind authentication.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
}

/// What the layers above know about a request.
struct Context {
    principal: Principal,
    entry: Arc<Entry>,
    request_id: Option<RequestId>,
    deadline: Option<Instant>,
}

/// The service over this state.
pub fn service(shared: &Arc<Shared>) -> VibectlLlmProxyServer<Proxy> {
    let largest = usize::try_from(shared.config().server.max_message_bytes).unwrap_or(usize::MAX);
    VibectlLlmProxyServer::new(Proxy { shared: Arc::clone(shared) }).max_decoding_message_size(largest)
}

#[tonic::async_trait]
impl VibectlLlmProxy for Proxy {
    async fn execute(&self, request: Request<ExecuteRequest>) -> Result<Response<ExecuteResponse>, Status> {
        let context = Context::of(&request)?;
        let request = request.into_inner();
        let request_id = context.id_of(&request);
        let answered = match wire::call_request(request, context.deadline) {
            Ok(request) => call::execute(&self.shared, &context.principal.caller, request).await,
            Err(error) => Err(error),
        };
        match &answered {
            Ok(answer) => {
                context.entry.model(&answer.summary.model);
                context.entry.cost(answer.summary.cost);
            }
            Err(error) => context.entry.outcome(error.label()),
        }
        wire::response(request_id, answered).map(Response::new)
    }

    type StreamExecuteStream = Pin<Box<dyn Stream<Item = Result<StreamChunk, Status>> + Send>>;

    async fn stream_execute(
        &self,
        request: Request<ExecuteRequest>,
    ) -> Result<Response<Self::StreamExecuteStream>, Status> {
        let context = Context::of(&request)?;
        let request = request.into_inner();
        let request_id = context.id_of(&request);
        let opened = match wire::call_request(request, context.deadline) {
            Ok(request) => call::stream(&self.shared, &context.principal, request).await,
            Err(error) => Err(error),
        };
        let entry = context.entry;
        let answer = match opened {
            Ok(answer) => answer,
            Err(error) => {
                entry.outcome(error.label());
                let refused =
                    wire::chunks(&request_id, Err(error)).into_iter().collect::<Result<Vec<_>, _>>()?;
                return Ok(Response::new(Box::pin(stream::iter(refused.into_iter().map(Ok)))));
            }
        };
        entry.model(answer.model());
        let chunks = answer.into_stream().flat_map(move |event| {
            match &event {
                Ok(Event::Done(summary)) => entry.cost(summary.cost),
                Ok(_) => {}
                Err(error) => entry.outcome(error.label()),
            }
            stream::iter(wire::chunks(&request_id, event))
        });
        Ok(Response::new(Box::pin(chunks)))
    }

    async fn get_server_info(
        &self,
        request: Request<GetServerInfoRequest>,
    ) -> Result<Response<GetServerInfoResponse>, Status> {
        let context = Context::of(&request)?;
        let caller = &context.principal.caller;
        if !caller.scopes.contains(Scope::Models) {
            context.entry.outcome(CallError::NotAllowed.label());
            return Err(wire::status(&CallError::NotAllowed));
        }
        let limits = self.shared.limits_of(caller).smallest();
        Ok(Response::new(info::server_info(&self.shared.active.load().router, caller, &limits)))
    }
}

impl Context {
    /// Without a caller nothing is answered: that would be a way around authentication.
    fn of<T>(request: &Request<T>) -> Result<Self, Status> {
        let extensions = request.extensions();
        let principal = extensions.get::<Principal>().cloned();
        Ok(Self {
            principal: principal.ok_or_else(|| Status::unauthenticated("no caller"))?,
            entry: extensions.get().cloned().unwrap_or_default(),
            request_id: extensions.get().cloned(),
            deadline: extensions.get().map(|Deadline(deadline)| *deadline),
        })
    }

    /// The caller's own id for the call, else the one of our log.
    fn id_of(&self, request: &ExecuteRequest) -> String {
        match &self.request_id {
            _ if !request.request_id.is_empty() => request.request_id.clone(),
            Some(RequestId(id)) => id.to_string(),
            None => uuid::Uuid::new_v4().to_string(),
        }
    }
}
