//! The released SDKs of OpenAI and Anthropic and the `llm` command line, as their users run them: each front with providers that
//! speak the same dialect and with those that do not.
//!
//! Each is installed once under `${VIBECTL_CACHE:-~/.cache/vibectl}`. Where there is neither Python nor a network,
//! `VIBECTL_SKIP_REAL_CLIENT=1` leaves these tests out.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use crate::{
    fake_provider::{Fake, Script},
    proxy::Proxy,
    python::environment,
};

const GPT_TOOLS: &str = r#"{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":null,
    "tool_calls":[{"id":"call_1","type":"function","function":{"name":"look","arguments":"{\"at\":1}"}}]},"finish_reason":"tool_calls"}],
    "usage":{"prompt_tokens":11,"completion_tokens":7,"total_tokens":18}}"#;
const GPT_TOOLS_STREAM: [&str; 8] = [
    r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":"Let me look."},"finish_reason":null}]}"#,
    r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"look","arguments":""}}]},"finish_reason":null}]}"#,
    r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"call_2","type":"function","function":{"name":"look","arguments":"{}"}}]},"finish_reason":null}]}"#,
    r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"at\":"}}]},"finish_reason":null}]}"#,
    r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":" 1}"}}]},"finish_reason":null}]}"#,
    r#"{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#,
    r#"{"choices":[],"usage":{"prompt_tokens":11,"completion_tokens":7}}"#,
    "[DONE]",
];
const CLAUDE_TOOLS: &str = include_str!("../golden/anthropic/tools.response.json");
const CLAUDE_TOOLS_STREAM: &str = include_str!("../golden/anthropic/tools.response.sse");
const CLAUDE_THINKS: &str = include_str!("../golden/anthropic/thinking.response.sse");

/// A server with a model for everything that is tried, and the providers behind it.
struct World {
    proxy: Proxy,
    guarded: Proxy,
    _providers: Vec<Fake>,
}

impl World {
    async fn new() -> Self {
        let json = |body: &'static str| Script::body("application/json", body);
        let events = |body: &'static str| Script::body("text/event-stream", body);
        let mut limited = json("{}").with_status(429);
        limited.headers.push(("retry-after", "7"));
        let providers = [
            ("gpt-tools", "openai", json(GPT_TOOLS)),
            ("gpt-tools-stream", "openai", Script::events(&GPT_TOOLS_STREAM)),
            ("limited", "openai", limited),
            ("overloaded", "openai", json("{}").with_status(503)),
            ("late", "openai", json("{}").with_status(504)),
            ("claude-tools", "anthropic", json(CLAUDE_TOOLS)),
            ("claude-tools-stream", "anthropic", events(CLAUDE_TOOLS_STREAM)),
            ("claude-thinks-stream", "anthropic", events(CLAUDE_THINKS)),
            ("claude-counts", "anthropic", json(r#"{"input_tokens":42}"#)),
        ];
        let (mut config, mut models) =
            (String::from("providers:\n- {name: echo, echo: {}}\n"), String::new());
        let mut fakes = Vec::new();
        for (name, kind, script) in providers {
            let fake = Fake::start(script).await;
            let _ = writeln!(config, "- {{name: {name}, {kind}: {{base_url: '{}'}}}}", fake.base_url());
            let _ = writeln!(models, "- {{name: {name}, routes: [{{provider: {name}, model: {name}-x}}]}}");
            fakes.push(fake);
        }
        let _ = write!(
            config,
            "models:\n- {{name: small, aliases: [little], routes: [{{provider: echo, model: e}}]}}\n{models}"
        );
        let guarded = "jwt: {enabled: true, secret_key: a-secret-of-more-than-32-characters-for-tests}\n";
        let guarded = Proxy::guarded(&format!("{guarded}{config}")).await;
        Self { proxy: Proxy::start(&config).await, guarded, _providers: fakes }
    }

    /// Runs a script of this folder against the server; checks that just these parts of it passed.
    async fn try_with(&self, python: PathBuf, script: &str, parts: &[&str]) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk").join(script);
        let address = |proxy: &Proxy| format!("http://{}", proxy.address);
        let mut command = Command::new(python);
        command.arg(script).args([address(&self.proxy), address(&self.guarded)]).env("NO_PROXY", "127.0.0.1");
        let Output { status, stdout, stderr } = run(command).await;
        let (out, err) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        assert!(status.success(), "after {out}: {err}");
        let passed: Vec<_> = out.lines().filter_map(|line| line.strip_prefix("ok ")).collect();
        assert_eq!(passed, parts);
    }
}

/// The output of a command, while the server of this test goes on.
async fn run(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("it runs")
}

/// The folder `bin` of a package's environment; `None` when these tests are left out.
fn installed(package: &str, version: &str) -> Option<PathBuf> {
    let left_out = std::env::var_os("VIBECTL_SKIP_REAL_CLIENT").is_some();
    (!left_out).then(|| environment(&format!("venv-{package}-{version}"), &format!("{package}=={version}")))
}

#[tokio::test]
async fn the_sdk_of_openai_works_with_every_kind_of_model_and_knows_every_error() {
    let Some(bin) = installed("openai", "3.57.0") else { return };
    let parts = [
        "chat_whole_and_streamed",
        "chat_structured",
        "chat_tools",
        "responses_whole_and_streamed",
        "responses_structured",
        "responses_tools",
        "embeddings",
        "models",
        "errors",
    ];

    World::new().await.try_with(bin.join("python"), "openai_sdk.py", &parts).await;
}

#[tokio::test]
async fn the_sdk_of_anthropic_works_with_every_kind_of_model_and_knows_every_error() {
    let Some(bin) = installed("anthropic", "2.14.0") else { return };
    let parts =
        ["whole_and_streamed", "structured", "tools", "thinking_is_kept", "counting", "models", "errors"];

    World::new().await.try_with(bin.join("python"), "anthropic_sdk.py", &parts).await;
}

#[tokio::test]
async fn the_llm_command_line_asks_a_model_with_nothing_but_an_address_and_a_key() {
    let Some(bin) = installed("llm", "0.36") else { return };
    let world = World::new().await;
    let home = tempfile::tempdir().expect("a home");
    let models = format!(
        "- model_id: small\n  model_name: small\n  api_base: http://{}/v1\n  api_key_name: vibectl\n",
        world.proxy.address
    );
    std::fs::write(home.path().join("extra-openai-models.yaml"), models).expect("written");
    std::fs::write(home.path().join("keys.json"), r#"{"vibectl": "anything"}"#).expect("written");

    for more in [&["--no-stream"][..], &[]] {
        let mut command = Command::new(bin.join("llm"));
        command.args(["-m", "small", "say hello"]).args(more);
        command.env("LLM_USER_PATH", home.path()).env("NO_PROXY", "127.0.0.1");
        let Output { status, stdout, stderr } = run(command).await;
        assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
        assert_eq!(String::from_utf8_lossy(&stdout).trim(), "say hello");
    }
}
