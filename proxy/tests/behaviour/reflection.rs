//! Server reflection as a tool asks for it: off unless the config says otherwise, for callers with a token alone.

use futures::StreamExt as _;
use tokio::runtime::Runtime;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};
use tonic_reflection::pb::v1alpha;

use crate::support::{Server, run};

const ON: &str = "server: {reflection: true}\n";

/// The first answer to a question; the stream ends with the question.
fn ask(server: &Server, token: Option<&str>, question: MessageRequest) -> Result<MessageResponse, Status> {
    let address = format!("http://127.0.0.1:{}", server.port);
    Runtime::new().expect("a runtime").block_on(async {
        let channel =
            Channel::from_shared(address).expect("an address").connect().await.expect("a connection");
        let message = ServerReflectionRequest { host: String::new(), message_request: Some(question) };
        let mut request = Request::new(futures::stream::iter([message]));
        if let Some(token) = token {
            let value = format!("Bearer {token}").parse().expect("a header");
            request.metadata_mut().insert("authorization", value);
        }
        let mut answers =
            ServerReflectionClient::new(channel).server_reflection_info(request).await?.into_inner();
        let answer: ServerReflectionResponse = answers.next().await.expect("an answer")?;
        Ok(answer.message_response.expect("a message"))
    })
}

fn services() -> MessageRequest {
    MessageRequest::ListServices(String::new())
}

#[test]
fn a_tool_learns_of_the_services_and_of_the_contract_whole() {
    let server = Server::insecure(ON);

    let MessageResponse::ListServicesResponse(list) = ask(&server, None, services()).expect("an answer")
    else {
        panic!("not a list");
    };
    let symbol = "vibectl.llm_proxy.VibectlLLMProxy".to_owned();
    let file = ask(&server, None, MessageRequest::FileContainingSymbol(symbol.clone())).expect("an answer");

    let names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    assert!(names.contains(&symbol) && names.contains(&"grpc.health.v1.Health".to_owned()), "{names:?}");
    assert!(!names.iter().any(|name| name.contains("fleet")), "{names:?}");
    let MessageResponse::FileDescriptorResponse(file) = file else { panic!("not a file") };
    let text = String::from_utf8_lossy(&file.file_descriptor_proto[0]).into_owned();
    assert!(text.contains("StreamExecute") && text.contains("GetServerInfo"), "{text}");
}

#[test]
fn it_is_off_by_default_and_turned_on_while_the_server_runs() {
    let server = Server::insecure("");

    let refused = ask(&server, None, services()).expect_err("off");

    assert_eq!(refused.code(), Code::Unimplemented);
    std::fs::write(server.config_file(), ON).expect("written");
    server.wait_for("the change", |server| {
        server.metric("vibectl_reloads_total{part=\"config\",outcome=\"applied\"}") == 1
    });
    ask(&server, None, services()).expect("on");
}

#[test]
fn tools_of_before_v1_are_answered_too() {
    let server = Server::insecure(ON);
    let address = format!("http://127.0.0.1:{}", server.port);

    let listed = Runtime::new().expect("a runtime").block_on(async {
        let channel =
            Channel::from_shared(address).expect("an address").connect().await.expect("a connection");
        let question = v1alpha::server_reflection_request::MessageRequest::ListServices(String::new());
        let message =
            v1alpha::ServerReflectionRequest { host: String::new(), message_request: Some(question) };
        let request = Request::new(futures::stream::iter([message]));
        let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(channel);
        let mut answers = client.server_reflection_info(request).await.expect("answers").into_inner();
        answers.next().await.expect("an answer").expect("a good one")
    });

    assert!(format!("{listed:?}").contains("vibectl.llm_proxy.VibectlLLMProxy"), "{listed:?}");
}

#[test]
fn callers_without_a_token_learn_nothing() {
    let secret = "jwt: {secret_key: 0123456789abcdef0123456789abcdef}\n";
    let server = Server::start(&["serve-insecure", "--require-auth"], &format!("{ON}{secret}"));
    let config = server.config_file().display().to_string();
    let token = run(server.folder.path(), &["generate-token", "alice", "--config", &config]);

    let refused = ask(&server, None, services()).expect_err("no token");

    assert_eq!(refused.code(), Code::Unauthenticated);
    ask(&server, Some(token.out.trim()), services()).expect("with a token");
}
