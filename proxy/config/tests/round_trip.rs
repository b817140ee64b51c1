//! What the operator renders is what the server reads, and nothing that is read brings the reader down.

use std::{collections::BTreeMap, path::PathBuf};

use proptest::{collection, option, prelude::*};
use vibectl_config::{
    Access, Acme, Admin, Anthropic, AzureOpenAi, Bedrock, Challenge, ChallengeType, Config, Connections, Dns,
    DnsHook, DnsUpdate, Eab, Echo, EchoError, EchoUsage, Endpoint, Fleet, Hsts, Jwt, Limits, LogLevel,
    MinVersion, Model, Price, Provider, ProviderKind, Rate, Retries, Route, SecretSource, Server,
    ServerLimits, Tls, TsigAlgorithm, Vertex, Webhook, render,
};

#[path = "round_trip/tokens.rs"]
mod tokens;

use tokens::jwt;

/// Text that somebody might write, with a good part of what YAML readers take for something else.
fn text() -> BoxedStrategy<String> {
    let traps = prop::sample::select(vec![
        "no",
        "Yes",
        "on",
        "OFF",
        "true",
        "null",
        "~",
        "0",
        "012",
        "0x1f",
        "1_000",
        "1e3",
        ".inf",
        "1.10",
        "12:30",
        "2026-01-01",
        "<<",
        "=",
        "- a",
        "a: b",
        "a #b",
        "#a",
        "*a",
        "&a",
        "!a",
        "%a",
        "@a",
        "`a",
        "{a",
        "[a",
        "|",
        ">",
        "'a",
        "\"a\"",
        "a\nb",
        "a\n",
        " a",
        "a ",
        "\ta",
        "\u{feff}",
        "é",
        "😀",
        "\u{7f}",
        "\u{85}",
        "\u{2028}",
        "\\",
        "---",
        "...",
        "? a",
        ": a",
        "a:",
        "\r\n",
        "\0",
    ]);
    prop_oneof![traps.prop_map(str::to_owned), "[ -~]{1,20}", "\\PC{1,20}", any::<String>()]
        .prop_filter("empty text is a mistake", |text: &String| !text.is_empty())
        .boxed()
}

fn path() -> impl Strategy<Value = PathBuf> {
    text().prop_filter("a path has no NUL", |text| !text.contains('\0')).prop_map(PathBuf::from)
}

fn model_name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[!-~]{1,20}",
        prop::sample::select(vec!["no", "1.0", "0x1", "~", "<<"]).prop_map(str::to_owned)
    ]
}

fn host() -> impl Strategy<Value = String> {
    prop_oneof![Just("::1".to_owned()), Just("10.0.0.1".to_owned()), "[a-z][a-z0-9.-]{0,10}", "[0-9]{1,4}"]
}

fn positive() -> impl Strategy<Value = u32> {
    1..=u32::MAX
}

fn limits() -> impl Strategy<Value = Limits> {
    collection::vec(option::of(positive()), 5).prop_map(|limits| Limits {
        max_requests_per_minute: limits[0],
        max_tokens_per_minute: limits[1],
        max_concurrent_requests: limits[2],
        max_input_length: limits[3],
        request_timeout_seconds: limits[4],
    })
}

prop_compose! {
    fn server()(
        (host, port, log_level) in (host(), 1..=u16::MAX, prop::sample::select(LogLevel::NAMES.map(|(_, level)| level).to_vec())),
        (max_workers, require_auth) in (option::of(positive()), option::weighted(0.2, Just(true))),
        (total, per_namespace, global) in (limits(), limits(), limits()),
        per_token in collection::btree_map(text(), limits(), 0..3),
        shutdown_grace_seconds in 0..=86_400_u32,
        max_message_bytes in 1024..=256 * 1024 * 1024_u32,
        (connections, reflection) in (connections(), any::<bool>()),
    ) -> Server {
        let limits = ServerLimits { total, per_namespace, global, per_token };
        Server {
            host, port, default_model: None, log_level, max_workers, require_auth, limits, shutdown_grace_seconds,
            max_message_bytes, connections, reflection,
        }
    }
}

prop_compose! {
    fn connections()(
        max_age_seconds in 10..=86_400_u32,
        (ping_interval_seconds, ping_timeout_seconds) in (1..=86_400_u32, 1..=86_400_u32),
        max_per_address in option::of(positive()),
    ) -> Connections {
        Connections { max_age_seconds, ping_interval_seconds, ping_timeout_seconds, max_per_address }
    }
}

prop_compose! {
    fn tls()(
        enabled: Option<bool>,
        certificate in option::of((path(), path())),
        clients in option::of((path(), option::of(path()))),
        min_version in prop::sample::select(vec![MinVersion::V1_2, MinVersion::V1_3]),
        hsts in (any::<bool>(), any::<u32>(), any::<bool>(), any::<bool>()),
        webhook in option::of((path(), option::of(path()))),
    ) -> Tls {
        let (cert_file, key_file) = certificate.unzip();
        let (ca_bundle_file, client_crl_file) = clients.unzip();
        let client_crl_file = client_crl_file.flatten();
        let url = "https://hooks.example/vibectl".to_owned();
        let webhook = webhook.map(|(secret_file, ca_file)| Webhook { url, secret_file, ca_file });
        let (hsts_enabled, max_age, include_subdomains, preload) = hsts;
        let hsts = Hsts { enabled: hsts_enabled, max_age, include_subdomains, preload };
        Tls { enabled, cert_file, key_file, ca_bundle_file, client_crl_file, min_version, hsts, webhook }
    }
}

fn eab() -> impl Strategy<Value = Option<Eab>> {
    option::of((text(), path()).prop_map(|(kid, hmac_key_file)| Eab { kid, hmac_key_file }))
}

fn dns() -> impl Strategy<Value = Option<Dns>> {
    let algorithm = prop::sample::select(TsigAlgorithm::NAMES.map(|(_, algorithm)| algorithm).to_vec());
    let update = (text(), host(), text(), path(), algorithm, 0..=600_u32).prop_map(
        |(server, zone, key_name, key_file, key_algorithm, wait_seconds)| {
            Dns::Update(DnsUpdate { server, zone, key_name, key_file, key_algorithm, wait_seconds })
        },
    );
    let hook = (collection::vec(text(), 1..3), 1..=600_u32)
        .prop_map(|(command, timeout_seconds)| Dns::Hook(DnsHook { command, timeout_seconds }));
    option::of(prop_oneof![update, hook])
}

prop_compose! {
    fn acme()(
        (email, domains, directory_url) in (option::of(text()), collection::vec(text(), 0..3), text()),
        (ca_cert_file, answers_file, eab, dns) in (option::of(path()), option::of(path()), eab(), dns()),
        kind in prop::sample::select(ChallengeType::NAMES.map(|(_, kind)| kind).to_vec()),
        (http_host, http_port) in (host(), 1..=u16::MAX),
        (staging, agree_tos, auto_renew) in any::<(bool, bool, bool)>(),
    ) -> Acme {
        let challenge = Challenge { kind, http_host, http_port };
        Acme {
            enabled: false, email, domains, directory_url, staging, agree_tos, ca_cert_file, eab, challenge, dns,
            auto_renew, answers_file,
        }
    }
}

fn echo() -> impl Strategy<Value = ProviderKind> {
    let error = (400..=599_u16, text(), positive()).prop_map(|(code, message, every)| EchoError {
        code,
        message,
        every,
    });
    let usage = (any::<u32>(), any::<u32>())
        .prop_map(|(input_tokens, output_tokens)| EchoUsage { input_tokens, output_tokens });
    (0..=600_000_u32, positive(), 0..=600_000_u32, option::of(error), option::of(text()), option::of(usage))
        .prop_map(|(delay_ms, chunk_size, chunk_delay_ms, error, reply, usage)| {
            ProviderKind::Echo(Echo { delay_ms, chunk_size, chunk_delay_ms, error, reply, usage })
        })
}

fn endpoint() -> impl Strategy<Value = Endpoint> {
    let key = prop_oneof![
        Just((None, None)),
        path().prop_map(|path| (Some(path), None)),
        "[A-Za-z_][A-Za-z0-9_]{0,9}".prop_map(|variable| (None, Some(variable))),
    ];
    ("https?://[a-z0-9.-]{1,12}(:[1-9][0-9]{0,3})?(/[a-z0-9._~-]{0,5}){0,2}", key, option::of(path()))
        .prop_map(|(base_url, (api_key_file, api_key_env), ca_file)| Endpoint {
            base_url,
            api_key_file,
            api_key_env,
            ca_file,
        })
}

fn azure_openai() -> impl Strategy<Value = ProviderKind> {
    (endpoint(), option::of("[a-z0-9][a-z0-9.-]{0,12}"))
        .prop_map(|(endpoint, api_version)| ProviderKind::AzureOpenAi(AzureOpenAi { endpoint, api_version }))
}

fn secret_source() -> impl Strategy<Value = SecretSource> {
    prop_oneof![
        path().prop_map(SecretSource::File),
        "[A-Za-z_][A-Za-z0-9_]{0,9}".prop_map(SecretSource::Variable),
    ]
}

fn bedrock() -> impl Strategy<Value = ProviderKind> {
    let region = "[a-z]{2}-[a-z]{4}-[0-9]";
    (region, endpoint(), secret_source(), secret_source(), option::of(secret_source())).prop_map(
        |(region, endpoint, access_key_id, secret_access_key, session_token)| {
            let endpoint = Endpoint { api_key_file: None, api_key_env: None, ..endpoint };
            ProviderKind::Bedrock(Bedrock {
                region,
                endpoint,
                access_key_id,
                secret_access_key,
                session_token,
            })
        },
    )
}

fn vertex() -> impl Strategy<Value = ProviderKind> {
    ("[a-z][a-z0-9-]{0,9}", "[a-z]{2}-[a-z]{4}[0-9]", endpoint(), secret_source()).prop_map(
        |(project, region, endpoint, service_account)| {
            let endpoint = Endpoint { api_key_file: None, api_key_env: None, ..endpoint };
            ProviderKind::Vertex(Vertex { project, region, endpoint, service_account })
        },
    )
}

fn anthropic() -> impl Strategy<Value = ProviderKind> {
    (endpoint(), 1..=10_000_000_u32)
        .prop_map(|(endpoint, max_tokens)| ProviderKind::Anthropic(Anthropic { endpoint, max_tokens }))
}

fn retries() -> impl Strategy<Value = Retries> {
    (0..=5_u32, 1..=30_000_u32, 30_000..=60_000_u32).prop_map(|(attempts, base_ms, cap_ms)| Retries {
        attempts,
        base_ms,
        cap_ms,
    })
}

fn providers() -> impl Strategy<Value = Vec<Provider>> {
    let name = "[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?";
    let one = (
        prop_oneof![
            echo(),
            endpoint().prop_map(ProviderKind::OpenAi),
            azure_openai(),
            anthropic(),
            endpoint().prop_map(ProviderKind::Gemini),
            bedrock(),
            vertex(),
        ],
        (1..=3600_u32, 1..=3600_u32, 1..=3600_u32),
        (option::of(1..=3600_u32), option::of(positive()), retries()),
    );
    collection::btree_map(name, one, 1..4).prop_map(|providers| {
        let provider =
            |(name, (kind, (connect, first_byte, idle), (total, max_concurrency, retries)))| Provider {
                name,
                kind,
                connect_timeout_seconds: connect,
                first_byte_timeout_seconds: first_byte,
                idle_timeout_seconds: idle,
                total_timeout_seconds: total,
                max_concurrency,
                retries,
            };
        providers.into_iter().map(provider).collect()
    })
}

fn price() -> impl Strategy<Value = Price> {
    let rate = || (0..1_000_000_000_000_u64).prop_filter_map("within the digits", Rate::from_micros);
    (rate(), option::of(rate()), rate()).prop_map(|(input, cached_input, output)| Price {
        input,
        cached_input,
        output,
    })
}

/// Models and their further names for these providers; no name occurs twice.
fn models(
    providers: Vec<Provider>,
) -> impl Strategy<Value = (Vec<Provider>, Vec<Model>, BTreeMap<String, String>)> {
    let names: Vec<String> = providers.iter().map(|provider| provider.name.clone()).collect();
    let route =
        (prop::sample::select(names), model_name(), any::<u32>(), 1..=1_000_000_u32, option::of(price()))
            .prop_map(|(provider, model, priority, weight, price)| Route {
                provider,
                model,
                priority,
                weight,
                price,
            });
    let details = (collection::vec(route, 1..4), option::of(positive()), any::<bool>());
    let names = collection::btree_set(model_name(), 4..10);
    (names, collection::vec(details, 1..3)).prop_map(move |(names, details)| {
        let mut names = names.into_iter();
        let mut models = Vec::new();
        for (routes, max_context_length, structured_repair) in details {
            let Some(name) = names.next() else { break };
            models.push(Model {
                name,
                aliases: names.next().into_iter().collect(),
                routes,
                max_context_length,
                structured_repair,
            });
        }
        let target = models.first().map(|model| model.name.clone()).unwrap_or_default();
        let aliases = names.map(|alias| (alias, target.clone())).collect();
        (providers.clone(), models, aliases)
    })
}

prop_compose! {
    fn config()(
        (server, jwt, tls, acme) in (server(), jwt(), tls(), acme()),
        (admin_enabled, admin_host, admin_port) in (any::<bool>(), host(), 1..=u16::MAX),
        (providers, models, model_aliases) in providers().prop_flat_map(models),
        has_default_model: bool,
        access in option::of((text(), text(), path())),
        fleet in option::of((host(), 1..=u16::MAX, path())),
    ) -> Config {
        let access = access.map(|(issuer, audience, dir)| Access { issuer, audience, dir });
        let fleet = fleet.map(|(host, port, dir)| Fleet { host, port, dir });
        let admin = Admin { enabled: admin_enabled, host: admin_host, port: admin_port };
        let jwt = if access.is_some() { Jwt { secret_key_file: None, migration: None, issuers: Vec::new(), ..jwt } } else { jwt };
        let default_model = models.first().filter(|_| has_default_model).map(|model| model.name.clone());
        let server = Server { default_model, ..server };
        Config { server, model_aliases, jwt, tls, acme, admin, providers, models, access, fleet }
    }
}

/// Two listeners on one address are a mistake, and random ones are rarely two.
fn is_valid(config: &Config) -> bool {
    let mut taken = vec![(&config.server.host, config.server.port)];
    taken.extend(config.admin.enabled.then_some((&config.admin.host, config.admin.port)));
    taken.extend(config.fleet.as_ref().map(|fleet| (&fleet.host, fleet.port)));
    let all = taken.len();
    taken.sort();
    taken.dedup();
    taken.len() == all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_is_rendered_reads_as_what_it_was(config in config().prop_filter("one listener per address", is_valid)) {
        let text = render(&config).unwrap();

        let read = Config::parse(&text, "config.yaml").map_err(|mistakes| format!("{mistakes}\n{text}"));

        prop_assert_eq!(&read.unwrap().config, &config, "{}", text);
        prop_assert_eq!(render(&config).unwrap(), text);
    }

    #[test]
    fn no_bytes_bring_the_reader_down(bytes: Vec<u8>) {
        let _ = Config::parse_bytes(&bytes, "config.yaml").map_err(|mistakes| mistakes.to_string());
        let _ = Config::parse_bytes(&bytes, "config.json").map_err(|mistakes| mistakes.to_string());
    }

    #[test]
    fn no_text_made_of_what_yaml_is_made_of_brings_the_reader_down(
        pieces in collection::vec(prop::sample::select(PIECES.to_vec()), 0..60),
    ) {
        let _ = Config::parse(&pieces.concat(), "config.yaml").map_err(|mistakes| mistakes.to_string());
        let _ = Config::parse(&pieces.concat(), "config.json").map_err(|mistakes| mistakes.to_string());
    }
}

const PIECES: [&str; 44] = [
    "server",
    "providers",
    "models",
    "routes",
    "openai",
    "echo",
    "limits",
    "per_token",
    "jwt",
    "name",
    "port",
    ":",
    ": ",
    "\n",
    "\n  ",
    "\n    ",
    "- ",
    "-",
    "[",
    "]",
    "{",
    "}",
    ", ",
    "\"",
    "'",
    "&a ",
    "*a",
    "!!str ",
    "| ",
    ">",
    "#",
    " ",
    "\t",
    "1",
    "true",
    "no",
    "~",
    "é",
    "\u{feff}",
    "---\n",
    "...\n",
    "? ",
    "<<",
    "%YAML 1.2\n",
];

#[test]
fn a_config_of_nothing_but_defaults_is_rendered_as_nothing() {
    assert_eq!(render(&Config::default()).unwrap().trim(), "{}");
}

#[test]
fn a_rendered_config_says_only_what_was_decided() {
    let mut config = Config::default();
    config.server.port = 8080;
    config.tls.hsts.enabled = true;
    config.providers =
        vec![Provider::new("local", ProviderKind::OpenAi(Endpoint::new("http://llama:8000/v1")))];
    config.models[0].routes = vec![Route { weight: 3, ..Route::new("local", "llama-3.1-8b") }];
    config.access = Some(Access::new("https://vibectl.dev/proxies/u", "u"));
    config.fleet = Some(Fleet::default());

    insta::assert_snapshot!(render(&config).unwrap());
}

#[test]
fn a_secret_is_never_rendered() {
    let config = Config::parse("jwt: {secret_key: hunter2}", "config.yaml").unwrap().config;

    assert_eq!(
        render(&config).unwrap_err().to_string(),
        "jwt.secret_key holds a secret, which must not be rendered: use jwt.secret_key_file"
    );
    assert!(!vibectl_config::show(&config).unwrap().contains("hunter2"));
}
