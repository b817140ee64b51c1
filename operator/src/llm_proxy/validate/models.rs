//! Models and their routes.

use std::collections::BTreeSet;

use vibectl_config::{Price, Rate, Route};

use super::Mistakes;
use crate::api::{LlmProxySpec, llm_proxy};

/// A model whose routes lead to providers that there are.
#[derive(Clone, Debug)]
pub struct Model {
    /// What callers ask for.
    pub name: String,
    /// Other names of it.
    pub aliases: Vec<String>,
    /// At least one.
    pub routes: Vec<Route>,
    /// Whether an answer that is not valid for its schema gets a second chance.
    pub structured_repair: bool,
}

impl Model {
    /// The model of a proxy that names none.
    pub fn embedded_echo() -> Self {
        let vibectl_config::Model { name, aliases, routes, max_context_length: _, structured_repair } =
            vibectl_config::Model::embedded_echo();
        Self { name, aliases, routes, structured_repair }
    }
}

/// Checks every model, its names, its routes and the default model.
pub(super) fn validate(
    spec: &LlmProxySpec,
    models: &[llm_proxy::Model],
    mistakes: &mut Mistakes,
) -> Vec<Model> {
    if models.is_empty() {
        mistakes.invalid(
            "spec.models",
            "is needed with spec.providers; leave out both for the embedded echo provider",
        );
    }
    let providers: BTreeSet<&str> = spec.providers.iter().map(|provider| provider.name.as_str()).collect();
    let mut taken = BTreeSet::new();
    let valid = models
        .iter()
        .enumerate()
        .map(|(index, model)| {
            let path = format!("spec.models[{index}]");
            unique(&path, model, &mut taken, mistakes);
            let routes = routes(&path, &model.routes, &providers, mistakes);
            let structured_repair =
                model.structured_repair.unwrap_or(vibectl_config::Model::DEFAULT_STRUCTURED_REPAIR);
            Model { name: model.name.clone(), aliases: model.aliases.clone(), routes, structured_repair }
        })
        .collect();
    if let Some(default) = spec.default_model.as_deref().filter(|default| !taken.contains(default)) {
        mistakes
            .invalid("spec.defaultModel", format!("{default:?} is neither the name nor an alias of a model"));
    }
    valid
}

fn unique<'m>(
    path: &str,
    model: &'m llm_proxy::Model,
    taken: &mut BTreeSet<&'m str>,
    mistakes: &mut Mistakes,
) {
    if !taken.insert(&model.name) {
        mistakes.invalid(&format!("{path}.name"), format!("{:?} already names another model", model.name));
    }
    for (index, alias) in model.aliases.iter().enumerate() {
        if !taken.insert(alias) {
            mistakes.invalid(&format!("{path}.aliases[{index}]"), format!("{alias:?} already names a model"));
        }
    }
}

fn routes(
    path: &str,
    routes: &[llm_proxy::Route],
    providers: &BTreeSet<&str>,
    mistakes: &mut Mistakes,
) -> Vec<Route> {
    if routes.is_empty() {
        mistakes.invalid(&format!("{path}.routes"), "needs at least one");
    }
    let mut valid = Vec::new();
    for (index, route) in routes.iter().enumerate() {
        let llm_proxy::Route { provider, model, priority, weight, price } = route;
        if !providers.contains(provider.as_str()) {
            let path = format!("{path}.routes[{index}].provider");
            mistakes.invalid(&path, format!("{provider:?} is not one of spec.providers"));
        }
        valid.push(Route {
            priority: u32::try_from(*priority).unwrap_or(0),
            weight: u32::try_from(*weight).unwrap_or(1).max(1),
            price: price
                .as_ref()
                .and_then(|it| self::price(&format!("{path}.routes[{index}].price"), it, mistakes)),
            ..Route::new(provider, model)
        });
    }
    valid
}

fn price(path: &str, price: &llm_proxy::Price, mistakes: &mut Mistakes) -> Option<Price> {
    let llm_proxy::Price { input, cached_input, output } = price;
    let mut rate = |field: &str, text: &str| {
        let rate = text.parse::<Rate>();
        rate.map_err(|no_rate| mistakes.invalid(&format!("{path}.{field}"), no_rate)).ok()
    };
    let (input, output) = (rate("input", input), rate("output", output));
    let cached_input = cached_input.as_ref().and_then(|text| rate("cachedInput", text));
    Some(Price { input: input?, cached_input, output: output? })
}
