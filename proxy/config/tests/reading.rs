//! How values may be written, and what a file may leave out.

use vibectl_config::{Config, LogLevel, MinVersion, Mistakes, ProviderKind};

fn config(text: &str) -> Result<Config, Mistakes> {
    Config::parse(text, "c.yaml").map(|parsed| parsed.config)
}

fn mistake(text: &str) -> String {
    config(text).map_or_else(|mistakes| mistakes.to_string(), |config| format!("no mistake: {config:?}"))
}

#[test]
fn an_empty_file_is_everything_at_its_default() {
    for text in ["", "\n", "# nothing\n", "---\n", "~", "{}", "server:\njwt:\nproviders:\nmodels:\naccess:\n"]
    {
        assert_eq!(config(text), Ok(Config::default()), "{text:?}");
    }
    assert_eq!(Config::parse("", "c.json").map(|parsed| parsed.config), Ok(Config::default()));
}

#[test]
fn nothing_configured_is_an_echo() {
    let config = Config::default();

    assert_eq!(config.server.default_model.as_deref(), Some("echo"));
    assert_eq!(config.model("default").map(|model| model.name.as_str()), Some("echo"));
    assert!(matches!(config.provider("echo").map(|provider| &provider.kind), Some(ProviderKind::Echo(_))));
}

#[test]
fn models_can_be_named_without_providers_and_get_the_echo() {
    let config = config("models: [{name: m, routes: [{provider: echo, model: m}]}]").unwrap();

    assert_eq!(config.providers.len(), 1);
    assert_eq!(config.server.default_model, None);
}

#[test]
fn numbers_may_stand_in_quotes() {
    let config = config("server: {port: \"8080\", limits: {global: {max_input_length: '5'}}}").unwrap();

    assert_eq!(config.server.port, 8080);
    assert_eq!(config.server.limits.global.max_input_length, Some(5));
}

#[test]
fn words_of_a_choice_are_read_in_any_case_and_with_or_without_quotes() {
    assert_eq!(config("server: {log_level: DEBUG}").unwrap().server.log_level, LogLevel::Debug);
    assert_eq!(config("tls: {min_version: 1.2}").unwrap().tls.min_version, MinVersion::V1_2);
    assert_eq!(config("tls: {min_version: '1.2'}").unwrap().tls.min_version, MinVersion::V1_2);
}

#[test]
fn json_is_read_as_json() {
    let text = "{\n\t\"server\": {\"port\": 1, \"default_model\": null}\n}";

    assert_eq!(Config::parse(text, "/etc/Config.JSON").unwrap().config.server.port, 1);
    let mistake = Config::parse("{\"server\": {\"port\": 0}}", "c.json").unwrap_err();
    assert_eq!(
        mistake.to_string(),
        "c.json:1:21: server.port: expected an integer from 1 to 65535, found \"0\""
    );
    assert!(Config::parse("server: {port: 1}", "c.json").is_err());
}

#[test]
fn an_alias_is_what_its_anchor_is() {
    let text = "\
server:
  limits:
    global: &few {max_requests_per_minute: 3}
    per_token: {alice: *few}
";

    let limits = config(text).unwrap().server.limits;

    assert_eq!(limits.per_token["alice"], limits.global);
}

#[test]
fn a_name_without_quotes_that_some_reader_takes_for_something_else_is_a_mistake() {
    for value in ["no", "On", "1.10", "0x1f", "true"] {
        let expected = format!(
            "c.yaml:1:15: jwt: issuer: expected text, found {value}, which YAML may not take for text; put it in quotes"
        );
        assert_eq!(
            mistake(&format!("jwt: {{issuer: {value}}}")),
            expected.replace("jwt: issuer", "jwt.issuer")
        );
    }
    assert_eq!(config("jwt: {issuer: 'no'}").unwrap().jwt.issuer, "no");
}

#[test]
fn a_file_that_is_no_map_says_so_without_showing_it() {
    assert_eq!(mistake("hunter2"), "c.yaml:1:1: expected a map, found text");
    assert_eq!(mistake("[hunter2]"), "c.yaml:1:1: expected a map, found a list");
}

#[test]
fn bytes_that_are_no_text_are_placed() {
    let mistakes = Config::parse_bytes(b"server:\n  host: \xc3\xa9\xff", "c.yaml").unwrap_err();

    assert_eq!(mistakes.to_string(), "c.yaml:2:10: not UTF-8 text");
}

#[test]
fn a_hopeless_file_is_not_printed_in_full() {
    let text = (0..1000).map(|key| format!("key{key}: 1")).collect::<Vec<_>>().join("\n");

    let shown = mistake(&text);

    assert_eq!(shown.lines().count(), 51);
    assert!(shown.ends_with("\nand 950 more"), "{shown}");
}

#[test]
fn two_listeners_cannot_share_a_port() {
    let mistake = mistake("server: {port: 9443}\nfleet: {}");

    assert_eq!(mistake, "c.yaml:2:1: fleet.port: 9443 is server.port already");
}

#[test]
fn a_table_of_access_excludes_shared_secrets() {
    let mistake = mistake("access: {issuer: i, audience: a}\njwt: {secret_key: hunter2}");

    let expected =
        "c.yaml:2:7: jwt.secret_key: excluded by access: tokens of the access table have no shared secret";
    assert_eq!(mistake, expected);
}

#[test]
fn a_migration_needs_an_end_and_keys_to_migrate_to() {
    let with = |jwt: &str| mistake(&format!("jwt: {{{jwt}}}"));

    for (jwt, says) in [
        ("algorithm: ES256, secret_key: s, migration: {}", "jwt.migration: the key until is missing"),
        ("migration: {until: 2027-01-31T00:00:00Z}", "jwt.migration: jwt.algorithm is HS256"),
        ("algorithm: ES256, migration: {until: 2027-01-31}", "jwt.migration.until: expected a time such as"),
        ("algorithm: ES256, migration: {until: 2027-01-31T00:00:00}", "jwt.migration.until: expected a time"),
        ("algorithm: ES256, migration: {until: 2027-01-31T00:00:00Z, secret: s}", "jwt.secret_key_file"),
        ("algorithm: ES256, secret_key: s", "to accept both for a time, set jwt.migration.until"),
    ] {
        assert!(with(jwt).contains(says), "{jwt}: {}", with(jwt));
    }
    let both = "jwt: {algorithm: ES256, secret_key: s, migration: {until: 2027-01-31T00:00:00Z}}";
    assert!(Config::parse(both, "c.yaml").unwrap().notices.is_empty());
    let table =
        "access: {issuer: i, audience: a}\njwt: {algorithm: ES256, migration: {until: 2027-01-31T00:00:00Z}}";
    assert!(mistake(table).contains("jwt.migration: excluded by access"), "{}", mistake(table));
}

#[test]
fn another_issuer_needs_an_audience_keys_and_somebody_whom_it_lets_in() {
    let good = "name: corp, issuer: 'https://corp', audiences: [llm], callers: [{value: alice}]";
    let with = |list: &str| mistake(&format!("jwt: {{issuers: [{list}]}}"));
    let replaced = |from: &str, to: &str| with(&format!("{{{}}}", good.replacen(from, to, 1)));

    assert!(with(&format!("{{{good}}}")).starts_with("no mistake"), "{}", with(&format!("{{{good}}}")));
    for (found, says) in [
        (replaced("audiences: [llm], ", ""), "jwt.issuers[0]: the key audiences is missing"),
        (replaced("[llm]", "[]"), "jwt.issuers[0].audiences: expected at least one item"),
        (replaced(", callers: [{value: alice}]", ""), "the key callers is missing"),
        (replaced("{value: alice}", "{claim: sub}"), "callers[0]: the key value is missing"),
        (replaced("'https://corp'", "corp"), "nothing says where its keys are"),
        (replaced("callers", "jwks_url: 'http://corp/keys', callers"), "jwks_url: expected an https address"),
        (replaced("callers", "jwks_url: 'https://corp/keys', jwks_file: /f, callers"), "found both"),
        (replaced("callers", "jwks_file: /f, ca_file: /c, callers"), "ca_file is for an address"),
        (replaced("'https://corp'", "vibectl-server, jwks_file: /f"), "whose tokens are this server's own"),
        (
            replaced("{value: alice}", "{value: alice}, {value: alice, subject: bob}"),
            "an earlier one has this sub",
        ),
        (with(&format!("{{{good}}}, {{{good}}}")), "an earlier one is called corp already"),
    ] {
        assert!(found.contains(says), "{says}: {found}");
    }
    let table = mistake(&format!("access: {{issuer: i, audience: a}}\njwt: {{issuers: [{{{good}}}]}}"));
    assert!(table.contains("jwt.issuers: excluded by access"), "{table}");
}

#[test]
fn one_wrong_name_is_one_mistake() {
    let text = "\
providers: [{name: Local, echo: {}}]
models: [{name: m, routes: [{provider: Local, model: m}]}]
";

    assert_eq!(mistake(text).lines().count(), 1, "{}", mistake(text));
}

#[test]
fn the_block_of_a_cloud_says_what_it_lacks_and_what_excludes_itself() {
    let told = |block: &str| {
        let text = format!(
            "providers: [{{name: p, {block}}}]\nmodels: [{{name: m, routes: [{{provider: p, model: m}}]}}]"
        );
        mistake(&text)
    };
    for (block, expected) in [
        ("azure_openai: {}", "azure_openai: the key base_url is missing"),
        (
            "azure_openai: {base_url: 'https://x/openai/v1/'}",
            "azure_openai: base_url has to end before /openai",
        ),
        (
            "azure_openai: {base_url: 'https://x', api_version: 2024/10}",
            "azure_openai.api_version: expected a version of the API such as 2024-10-21",
        ),
        (
            "azure_openai: {base_url: 'https://x', deployment: d}",
            "azure_openai.deployment: unknown key; a deployment is the model of a route",
        ),
        ("gemini: {api_key: hunter2}", "gemini.api_key: unknown key; keys are not part of the config"),
        (
            "bedrock: {access_key_id_file: /i, secret_access_key_file: /s}",
            "bedrock: the key region is missing",
        ),
        (
            "bedrock: {region: eu-central-1, access_key_id_env: I}",
            "bedrock: one of the keys secret_access_key_file and secret_access_key_env is missing",
        ),
        (
            "bedrock: {region: eu-central-1, access_key_id_env: I, secret_access_key_file: null}",
            "bedrock: one of the keys secret_access_key_file and secret_access_key_env is missing",
        ),
        (
            "bedrock: {region: x, access_key_id_env: I, access_key_id_file: /i, secret_access_key_env: S}",
            "bedrock: access_key_id_file and access_key_id_env exclude each other",
        ),
        (
            "bedrock: {region: evil.example/, access_key_id_env: I, secret_access_key_env: S}",
            "bedrock.region: expected a region such as eu-central-1",
        ),
        ("vertex: {region: global, service_account_file: /k}", "vertex: the key project is missing"),
        (
            "vertex: {region: global, project: p/q, service_account_file: /k}",
            "vertex.project: expected the ID of a project",
        ),
        (
            "vertex: {region: global, project: p}",
            "vertex: one of the keys service_account_file and service_account_env is missing",
        ),
    ] {
        let found = told(block);

        assert!(found.contains(expected), "{block}: {found}");
        assert!(!found.contains("hunter2"), "{found}");
    }
}
