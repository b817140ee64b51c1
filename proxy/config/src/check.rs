//! What ties sections together: names that have to exist, names that must not exist twice, keys that exclude each other.

use std::collections::{BTreeMap, BTreeSet};

use vibectl_token::foreign::MAX_ISSUERS;

use crate::{
    decode::{MODEL_NAME, Report, is_model_name, join},
    schema::{ChallengeType, Config},
};

/// Notes every mistake that no section can see by itself.
pub(crate) fn cross_check(config: &Config, report: &Report) {
    check_providers(config, report);
    check_models(config, report);
    check_routes(config, report);
    check_aliases(config, report);
    check_default_model(config, report);
    check_certificate(config, report);
    check_tokens(config, report);
    check_issuers(config, report);
    check_ports(config, report);
    check_acme(config, report);
}

fn check_providers(config: &Config, report: &Report) {
    let mut first = BTreeMap::new();
    for (index, provider) in
        config.providers.iter().enumerate().filter(|(_, provider)| !provider.name.is_empty())
    {
        if let Some(first) = first.insert(provider.name.as_str(), index) {
            report.mistake_at(
                &format!("providers[{index}].name"),
                format!("providers[{first}] is called {} already", provider.name),
            );
        }
    }
    if config.models.is_empty() {
        report.mistake_at("providers", "no call can reach a provider: models is missing or empty");
    }
}

/// No two models answer to the same name.
fn check_models(config: &Config, report: &Report) {
    let mut first: BTreeMap<&str, String> = BTreeMap::new();
    for (index, model) in config.models.iter().enumerate() {
        let own = std::iter::once((format!("models[{index}].name"), &model.name));
        let aliases = model.aliases.iter().enumerate();
        let aliases = aliases.map(|(alias, name)| (format!("models[{index}].aliases[{alias}]"), name));
        for (key, name) in own.chain(aliases).filter(|(_, name)| !name.is_empty()) {
            match first.get(name.as_str()) {
                Some(first) => report.mistake_at(&key, format!("{first} is {name} already")),
                None => {
                    first.insert(name, key);
                }
            }
        }
    }
}

fn check_routes(config: &Config, report: &Report) {
    if !report.is_clean("providers") {
        return;
    }
    let known: BTreeSet<&str> = config.providers.iter().map(|provider| provider.name.as_str()).collect();
    for (index, model) in config.models.iter().enumerate() {
        for (route, to) in model.routes.iter().enumerate().filter(|(_, to)| !to.provider.is_empty()) {
            if !known.contains(to.provider.as_str()) {
                report.mistake_at(
                    &format!("models[{index}].routes[{route}].provider"),
                    format!("no provider is called {:?}; known: {}", to.provider, listing(&known)),
                );
            }
        }
    }
}

fn check_aliases(config: &Config, report: &Report) {
    let models_are_known = report.is_clean("models");
    let models: BTreeMap<&str, &str> = config
        .models
        .iter()
        .flat_map(|model| model.names().map(|name| (name, model.name.as_str())))
        .collect();
    for (alias, target) in &config.model_aliases {
        let key = join("model_aliases", alias);
        if !is_model_name(alias) {
            report.mistake_at(&key, format!("the key must be {MODEL_NAME}"));
        } else if let Some(model) = models.get(alias.as_str()) {
            report.mistake_at(&key, format!("the model {model} has this name already"));
        }
        if models_are_known && !target.is_empty() && !models.contains_key(target.as_str()) {
            report.mistake_at(&key, unknown_model(config, target));
        }
    }
}

fn check_default_model(config: &Config, report: &Report) {
    let names_are_known = report.is_clean("models") && report.is_clean("model_aliases");
    if let Some(name) = config.server.default_model.as_ref().filter(|_| names_are_known)
        && config.model(name).is_none()
    {
        report.mistake_at("server.default_model", unknown_model(config, name));
    }
}

fn check_certificate(config: &Config, report: &Report) {
    let tls = &config.tls;
    if tls.client_crl_file.is_some() && tls.ca_bundle_file.is_none() {
        report.mistake_at(
            "tls.client_crl_file",
            "callers are not asked for a certificate: tls.ca_bundle_file is missing",
        );
    }
    match (&tls.cert_file, &tls.key_file) {
        (Some(_), None) if report.is_clean("tls") => report.mistake_at("tls.cert_file", "tls.key_file is missing"),
        (None, Some(_)) if report.is_clean("tls") => report.mistake_at("tls.key_file", "tls.cert_file is missing"),
        (None, None) if tls.enabled == Some(true) => report.notice_at(
            "tls.enabled",
            "there is no tls.cert_file and tls.key_file: the command has to say where a certificate comes from",
        ),
        _ => {}
    }
}

/// What is wrong with a section that is not enabled is told by whoever enables it.
fn check_acme(config: &Config, report: &Report) {
    let acme = &config.acme;
    if acme.enabled && report.is_clean("acme") {
        for (key, text) in acme.problems() {
            report.mistake_at(key, text);
        }
    }
    if acme.answers_file.is_some() && config.tls.cert_file.is_none() {
        report.notice_at(
            "acme.answers_file",
            "without effect: there is no tls.cert_file for a certificate to arrive in",
        );
    }
    if acme.dns.is_some() && acme.challenge.kind != ChallengeType::Dns01 {
        report.notice_at("acme.dns", "without effect: acme.challenge.type is not dns-01");
    }
}

fn check_tokens(config: &Config, report: &Report) {
    let jwt = &config.jwt;
    let keys = [
        ("jwt.secret_key", jwt.secret_key.is_some()),
        ("jwt.secret_key_file", jwt.secret_key_file.is_some()),
    ];
    if config.access.is_some() {
        for (key, _) in keys.iter().filter(|(_, present)| *present) {
            report.mistake_at(key, "excluded by access: tokens of the access table have no shared secret");
        }
        if jwt.migration.is_some() {
            report.mistake_at(
                "jwt.migration",
                "excluded by access: its files say whose former tokens are accepted",
            );
        }
        if config.server.require_auth == Some(false) {
            report.mistake_at("server.require_auth", "excluded by access: nobody calls without a token");
        }
    } else if jwt.algorithm.of_signing_keys().is_none() {
        if jwt.migration.is_some() {
            report.mistake_at(
                "jwt.migration",
                "jwt.algorithm is HS256, which needs no migration; set it to what tokens are signed with from now on",
            );
        }
    } else if jwt.migration.is_none() {
        for (key, _) in keys.iter().filter(|(_, present)| *present) {
            report.mistake_at(
                key,
                "excluded by jwt.algorithm: tokens are signed with keys and not with a secret; to accept both for a \
                 time, set jwt.migration.until",
            );
        }
    }
    if config.access.is_none() && jwt.enabled && config.server.require_auth == Some(false) {
        report.mistake_at("server.require_auth", "contradicts jwt.enabled; remove this key");
    }
    if keys.iter().all(|(_, present)| *present) {
        report.notice_at("jwt.secret_key_file", "not read: jwt.secret_key comes first");
    }
}

/// Of two issuers with one name, or two rules for one identity, nobody could tell which is meant.
fn check_issuers(config: &Config, report: &Report) {
    let issuers = &config.jwt.issuers;
    if config.access.is_some() && !issuers.is_empty() {
        report.mistake_at("jwt.issuers", "excluded by access: its files say which other issuers are trusted");
    }
    if issuers.len() > MAX_ISSUERS {
        report.mistake_at(
            "jwt.issuers",
            format!("expected at most {MAX_ISSUERS} items, found {}", issuers.len()),
        );
    }
    for (index, issuer) in issuers.iter().enumerate() {
        let key = |name: &str| format!("jwt.issuers[{index}].{name}");
        let earlier = issuers.iter().take(index);
        if earlier.clone().any(|other| !issuer.name.is_empty() && other.name == issuer.name) {
            report.mistake_at(&key("name"), format!("an earlier one is called {} already", issuer.name));
        }
        if earlier.clone().any(|other| !issuer.issuer.is_empty() && other.issuer == issuer.issuer) {
            report.mistake_at(&key("issuer"), "an earlier one has this issuer already");
        }
        if issuer.issuer == config.jwt.issuer {
            report.mistake_at(&key("issuer"), "this is jwt.issuer, whose tokens are this server's own");
        }
        let mut seen = BTreeSet::new();
        for (place, caller) in
            issuer.callers.iter().enumerate().filter(|(_, caller)| !caller.value.is_empty())
        {
            if !seen.insert((&caller.claim, &caller.value)) {
                let key = key(&format!("callers[{place}].value"));
                report.mistake_at(&key, format!("an earlier one has this {} already", caller.claim));
            }
        }
    }
}

/// No two listeners want the same port. Different addresses are left to the system to judge.
fn check_ports(config: &Config, report: &Report) {
    let Config { server, admin, fleet, acme, .. } = config;
    let mut listeners = vec![("server.port", &server.host, server.port)];
    listeners.extend(admin.enabled.then_some(("admin.port", &admin.host, admin.port)));
    listeners.extend(fleet.as_ref().map(|fleet| ("fleet.port", &fleet.host, fleet.port)));
    let http = &acme.challenge;
    let http_listens = (acme.enabled || acme.answers_file.is_some()) && http.kind == ChallengeType::Http01;
    listeners.extend(http_listens.then_some(("acme.challenge.http_port", &http.http_host, http.http_port)));
    for (index, (key, host, port)) in listeners.iter().enumerate() {
        let taken = listeners.iter().take(index).find(|(_, other, taken)| other == host && taken == port);
        if let Some((other, ..)) = taken {
            report.mistake_at(key, format!("{port} is {other} already"));
        }
    }
}

fn unknown_model(config: &Config, name: &str) -> String {
    let names: BTreeSet<&str> =
        config.models.iter().map(|model| model.name.as_str()).take(SHOWN + 1).collect();
    format!("no model is called {name:?}; known: {}", listing(&names))
}

/// How many names are shown to somebody who used an unknown one.
const SHOWN: usize = 10;

/// A few names.
fn listing(names: &BTreeSet<&str>) -> String {
    let shown = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN { shown + ", ..." } else { shown }
}
