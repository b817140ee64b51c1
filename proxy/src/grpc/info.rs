//! What a caller is told about the server: what this caller may use, and nothing else.

use vibectl_proto::llm_proxy::{COMPATIBLE_SERVER_VERSION, GetServerInfoResponse, ModelInfo, ServerLimits};
use vibectl_token::Limits;

use crate::{
    caller::Caller,
    provider::Provider,
    router::{Model, Router},
};

/// What clients of the original know the server by.
const SERVER_NAME: &str = "vibectl-llm-proxy";

/// The answer to `GetServerInfo`.
pub(super) fn server_info(router: &Router, caller: &Caller, limits: &Limits) -> GetServerInfoResponse {
    let default = router.default_model(caller).map(|model| model.name.to_string());
    GetServerInfoResponse {
        available_models: router.models(caller).map(model_info).collect(),
        default_model: default.unwrap_or_default(),
        limits: Some(server_limits(limits)),
        server_version: COMPATIBLE_SERVER_VERSION.to_owned(),
        model_aliases: router.aliases(caller).into_iter().collect(),
        server_name: SERVER_NAME.to_owned(),
    }
}

fn model_info(model: &Model) -> ModelInfo {
    ModelInfo {
        model_id: model.name.to_string(),
        display_name: model.name.to_string(),
        provider: model.first_provider().map(Provider::name).unwrap_or_default().to_owned(),
        supports_streaming: true,
        max_context_length: model.max_context_length.and_then(signed),
        aliases: model.aliases.clone(),
    }
}

fn server_limits(limits: &Limits) -> ServerLimits {
    let Limits {
        max_requests_per_minute,
        // The contract has no field for it.
        max_tokens_per_minute: _,
        max_concurrent_requests,
        max_input_length,
        request_timeout_seconds,
    } = limits;
    ServerLimits {
        max_requests_per_minute: max_requests_per_minute.and_then(signed),
        max_concurrent_requests: max_concurrent_requests.and_then(signed),
        max_input_length: max_input_length.and_then(signed),
        request_timeout_seconds: request_timeout_seconds.and_then(signed),
    }
}

/// The contract's numbers are signed; what does not fit is as good as no limit.
fn signed(number: u32) -> Option<i32> {
    i32::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use vibectl_config::Config;

    use super::*;
    use crate::provider::sources::Sources;

    #[test]
    fn a_caller_is_told_what_it_may_use_and_its_own_limits() {
        let router = Router::new(&Config::default(), &Sources::of_process());
        let limits = Limits { max_requests_per_minute: Some(60), ..Limits::default() };

        let info = server_info(&router, &Caller::anonymous(), &limits);

        assert_eq!(
            (info.server_name.as_str(), info.server_version.as_str()),
            ("vibectl-llm-proxy", "0.11.6")
        );
        assert_eq!(info.default_model, "echo");
        assert_eq!(info.model_aliases, [("default".to_owned(), "echo".to_owned())].into());
        assert_eq!(info.limits.expect("there").max_requests_per_minute, Some(60));
        let [model] = info.available_models.as_slice() else { panic!("one model") };
        assert_eq!(
            (model.model_id.as_str(), model.provider.as_str(), model.supports_streaming),
            ("echo", "echo", true)
        );
    }

    #[test]
    fn a_model_that_a_caller_may_not_use_is_not_told() {
        let router = Router::new(&Config::default(), &Sources::of_process());
        let caller = Caller { models: Some(Arc::from(["other".to_owned()])), ..Caller::anonymous() };

        let info = server_info(&router, &caller, &Limits::default());

        assert_eq!((info.available_models.len(), info.default_model.as_str()), (0, ""));
        assert!(info.model_aliases.is_empty());
    }
}
