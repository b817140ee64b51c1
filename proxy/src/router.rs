//! Which providers may answer a call, in which order. Pure: the caller, the name asked for and a number drawn by the caller
//! of this module go in, the same order comes out.
//!
//! A model that the caller may not use is answered as one that does not exist.

pub mod budget;
pub mod endpoint;
pub mod health;
mod order;
pub mod upstream;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
};

use thiserror::Error;
use vibectl_config::{Config, Price};

use self::{endpoint::Endpoint, upstream::Upstream};
use crate::{
    caller::Caller,
    provider::{Provider, address::AddressRule, sources::Sources},
};

/// The models of a config with the providers behind them.
#[derive(Debug)]
pub struct Router {
    models: Vec<Model>,
    /// Every name and alias of every model.
    names: HashMap<String, usize>,
    default: Option<usize>,
    providers: Vec<Arc<Provider>>,
    /// One for each provider, in the same order.
    upstreams: Vec<Arc<Upstream>>,
    /// By provider and what it calls the model.
    endpoints: Endpoints,
    draws: AtomicU64,
}

type Endpoints = BTreeMap<(String, String), Arc<Endpoint>>;

/// A model as callers see it.
#[derive(Debug)]
pub struct Model {
    /// What it is called.
    pub name: Arc<str>,
    /// What else it is called, sorted.
    pub aliases: Vec<String>,
    /// The context length that callers are told.
    pub max_context_length: Option<u32>,
    repairs: bool,
    targets: Vec<Arc<Target>>,
}

/// One place that can answer calls for a model.
#[derive(Debug)]
pub struct Target {
    /// Who answers.
    pub provider: Arc<Provider>,
    /// What the provider calls the model.
    pub model: String,
    /// What the provider asks for it, where that is known.
    pub price: Option<Price>,
    /// What holds for all calls to the provider together.
    pub upstream: Arc<Upstream>,
    /// How provider and model have been doing.
    pub endpoint: Arc<Endpoint>,
    priority: u32,
    weight: u32,
}

/// Where a call goes.
#[derive(Debug)]
pub struct Route {
    /// The model's own name, whatever alias was asked for.
    pub model: Arc<str>,
    /// Whether an answer that is not valid for its schema gets a second chance.
    pub repairs: bool,
    /// The places to try, one after the other.
    pub targets: Vec<Arc<Target>>,
}

/// Why a call goes nowhere.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum NoRoute {
    /// None was asked for, and there is no default that this caller may use.
    #[error("no model specified and no default model is set")]
    NoModel,
    /// There is none of this name for this caller.
    #[error("unknown model: {0}")]
    ModelNotFound(String),
    /// The model's routes all have a weight of zero.
    #[error("no provider is in use for this model")]
    NoTarget,
}

/// Longest part of an unknown name that is repeated.
const MAX_NAME_CHARS: usize = 100;

impl Router {
    /// The router of a config. Under an access table the authors of providers are users of the cluster, so the addresses
    /// of their providers are guarded.
    pub fn new(config: &Config, sources: &Sources<'_>) -> Self {
        Self::build(config, sources, |_| Arc::default())
    }

    /// The router of a config that takes the place of another one. Calls that are under way still count as calls of their
    /// provider. What was held against an endpoint is forgotten: the change may be what mends it.
    pub fn following(&self, config: &Config, sources: &Sources<'_>) -> Self {
        let running = |name: &str| {
            let known = self.upstreams().find(|(provider, _)| provider.name() == name);
            known.map(|(_, upstream)| upstream.count()).unwrap_or_default()
        };
        Self::build(config, sources, running)
    }

    fn build(config: &Config, sources: &Sources<'_>, running: impl Fn(&str) -> Arc<AtomicU32>) -> Self {
        let rule = if config.access.is_some() { AddressRule::Guarded } else { AddressRule::Any };
        let provider = |provider| Arc::new(Provider::new(provider, rule, sources));
        let providers: Vec<Arc<Provider>> = config.providers.iter().map(provider).collect();
        let upstream =
            |config: &vibectl_config::Provider| Arc::new(Upstream::new(config, running(&config.name)));
        let upstreams: Vec<Arc<Upstream>> = config.providers.iter().map(upstream).collect();
        let mut endpoints = Endpoints::new();
        let mut places = Places { providers: &providers, upstreams: &upstreams, endpoints: &mut endpoints };
        let mut models: Vec<Model> =
            config.models.iter().map(|model| Model::new(model, &mut places)).collect();
        let mut names = HashMap::new();
        for (index, model) in config.models.iter().enumerate() {
            names.extend(model.aliases.iter().chain([&model.name]).map(|name| (name.clone(), index)));
        }
        for (alias, target) in &config.model_aliases {
            if let (Some(index), false) = (names.get(target).copied(), names.contains_key(alias)) {
                names.insert(alias.clone(), index);
                models[index].aliases.push(alias.clone());
            }
        }
        for model in &mut models {
            model.aliases.sort();
        }
        let default = config.server.default_model.as_ref().and_then(|name| names.get(name)).copied();
        Self { models, names, default, providers, upstreams, endpoints, draws: AtomicU64::new(0) }
    }

    /// Where a call goes that asks for a model by name or alias; an empty name asks for the default. `draw` decides
    /// between targets of the same priority.
    pub fn route(&self, caller: &Caller, asked: Option<&str>, draw: u64) -> Result<Route, NoRoute> {
        let asked = asked.filter(|name| !name.is_empty());
        let found = asked.map_or(self.default, |name| self.names.get(name).copied());
        let model = found.map(|index| &self.models[index]).filter(|model| caller.may_use(&model.name));
        let model = model.ok_or_else(|| match asked {
            None => NoRoute::NoModel,
            Some(name) => NoRoute::ModelNotFound(name.chars().take(MAX_NAME_CHARS).collect()),
        })?;
        let targets = order::order(&model.targets, |target| (target.priority, target.weight), draw);
        if targets.is_empty() {
            return Err(NoRoute::NoTarget);
        }
        let repairs = model.repairs;
        Ok(Route { model: Arc::clone(&model.name), repairs, targets: targets.into_iter().cloned().collect() })
    }

    /// The next lot for [`Self::route`].
    pub fn draw(&self) -> u64 {
        self.draws.fetch_add(1, Relaxed)
    }

    /// The models that this caller may use, in the order of the config.
    pub fn models<'a>(&'a self, caller: &'a Caller) -> impl Iterator<Item = &'a Model> {
        self.models.iter().filter(|model| caller.may_use(&model.name))
    }

    /// The model of calls that name none, if this caller may use it.
    pub fn default_model(&self, caller: &Caller) -> Option<&Model> {
        self.default.map(|index| &self.models[index]).filter(|model| caller.may_use(&model.name))
    }

    /// Every alias of a model that this caller may use, with the model's name.
    pub fn aliases(&self, caller: &Caller) -> BTreeMap<String, String> {
        let of_model = |model: &Model| {
            let name = model.name.to_string();
            model.aliases.clone().into_iter().map(move |alias| (alias, name.clone()))
        };
        self.models(caller).flat_map(of_model).collect()
    }

    /// Every provider of the config, in its order.
    pub fn providers(&self) -> &[Arc<Provider>] {
        &self.providers
    }

    /// The same with what holds for all calls to each.
    pub fn upstreams(&self) -> impl Iterator<Item = (&Provider, &Upstream)> {
        self.providers
            .iter()
            .map(|provider| &**provider)
            .zip(self.upstreams.iter().map(|upstream| &**upstream))
    }

    /// Every provider and model that a route leads to, in order.
    pub fn endpoints(&self) -> impl Iterator<Item = (&str, &str, &Endpoint)> {
        self.endpoints.iter().map(|((provider, model), endpoint)| (&**provider, &**model, &**endpoint))
    }
}

/// Where targets can be.
struct Places<'a> {
    providers: &'a [Arc<Provider>],
    upstreams: &'a [Arc<Upstream>],
    endpoints: &'a mut Endpoints,
}

impl Places<'_> {
    fn target(&mut self, route: &vibectl_config::Route) -> Option<Arc<Target>> {
        let vibectl_config::Route { provider, model, priority, weight, price } = route;
        let mut known = self.providers.iter().zip(self.upstreams);
        let (provider, upstream) = known.find(|(known, _)| known.name() == provider)?;
        let key = (provider.name().to_owned(), model.clone());
        Some(Arc::new(Target {
            provider: Arc::clone(provider),
            model: model.clone(),
            price: *price,
            upstream: Arc::clone(upstream),
            endpoint: Arc::clone(self.endpoints.entry(key).or_default()),
            priority: *priority,
            weight: *weight,
        }))
    }
}

impl Model {
    fn new(config: &vibectl_config::Model, places: &mut Places<'_>) -> Self {
        let vibectl_config::Model { name, aliases, routes, max_context_length, structured_repair } = config;
        Self {
            name: Arc::from(name.as_str()),
            aliases: aliases.clone(),
            max_context_length: *max_context_length,
            repairs: *structured_repair,
            targets: routes.iter().filter_map(|route| places.target(route)).collect(),
        }
    }

    /// The provider that is tried first: what callers are told.
    pub fn first_provider(&self) -> Option<&Provider> {
        let used = self.targets.iter().filter(|target| target.weight > 0);
        used.min_by_key(|target| target.priority).map(|target| &*target.provider)
    }
}

#[cfg(test)]
mod tests {
    use vibectl_config::Route as ConfigRoute;

    use super::*;

    fn model(name: &str, aliases: &[&str], routes: Vec<ConfigRoute>) -> vibectl_config::Model {
        vibectl_config::Model {
            name: name.to_owned(),
            aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
            routes,
            max_context_length: None,
            structured_repair: true,
        }
    }

    fn router() -> Router {
        let echo = || vec![ConfigRoute::new("echo", "echo")];
        let mut config = Config {
            models: vec![model("small", &["s"], echo()), model("large", &["l"], echo())],
            model_aliases: [("best", "large"), ("cheap", "s"), ("nowhere", "gone")]
                .map(|(alias, target)| (alias.to_owned(), target.to_owned()))
                .into(),
            ..Config::default()
        };
        config.server.default_model = Some("l".to_owned());
        Router::new(&config, &Sources::of_process())
    }

    fn only_small() -> Caller {
        Caller { models: Some(Arc::from(["small".to_owned()])), ..Caller::anonymous() }
    }

    #[test]
    fn names_aliases_and_the_default_lead_to_the_models_own_name() {
        let router = router();
        let to = |asked| router.route(&Caller::anonymous(), asked, 0).map(|route| route.model.to_string());

        for (asked, model) in [
            (Some("small"), "small"),
            (Some("s"), "small"),
            (Some("cheap"), "small"),
            (Some("best"), "large"),
            (Some(""), "large"),
            (None, "large"),
        ] {
            assert_eq!(to(asked).as_deref(), Ok(model), "{asked:?}");
        }
        assert_eq!(to(Some("nowhere")), Err(NoRoute::ModelNotFound("nowhere".to_owned())));
        assert_eq!(to(Some("Small")), Err(NoRoute::ModelNotFound("Small".to_owned())));
    }

    #[test]
    fn a_model_that_is_not_allowed_does_not_exist() {
        let (router, caller) = (router(), only_small());

        for hidden in ["large", "l", "best", "gone"] {
            let refused = router.route(&caller, Some(hidden), 0).expect_err(hidden);
            assert_eq!(refused, NoRoute::ModelNotFound(hidden.to_owned()));
        }
        assert_eq!(router.route(&caller, None, 0).expect_err("the default is hidden"), NoRoute::NoModel);
        assert_eq!(router.models(&caller).map(|model| &*model.name).collect::<Vec<_>>(), ["small"]);
        assert!(router.default_model(&caller).is_none());
        assert_eq!(router.aliases(&caller).into_keys().collect::<Vec<_>>(), ["cheap", "s"]);
    }

    #[test]
    fn a_long_unknown_name_is_not_repeated_whole() {
        let refused =
            router().route(&Caller::anonymous(), Some(&"x".repeat(10_000)), 0).expect_err("unknown");

        assert!(refused.to_string().len() < 200);
    }

    #[test]
    fn routes_to_one_place_share_its_health_and_a_new_config_forgets_it() {
        let config = Config {
            models: ["one", "other"]
                .map(|name| model(name, &[], vec![ConfigRoute::new("echo", "echo")]))
                .into(),
            ..Config::default()
        };
        let router = Router::new(&config, &Sources::of_process());
        let target = |router: &Router, name| {
            router.route(&Caller::anonymous(), Some(name), 0).expect("known").targets.remove(0)
        };
        let (one, other) = (target(&router, "one"), target(&router, "other"));
        let running = one.upstream.place();

        let after = router.following(&config, &Sources::of_process());

        assert!(Arc::ptr_eq(&one.endpoint, &other.endpoint) && Arc::ptr_eq(&one.upstream, &other.upstream));
        assert!(!Arc::ptr_eq(&one.endpoint, &target(&after, "one").endpoint));
        assert_eq!(target(&after, "one").upstream.running(), 1, "but not who still calls");
        drop(running);
    }

    #[test]
    fn a_model_without_a_route_in_use_goes_nowhere() {
        let drained = ConfigRoute { weight: 0, ..ConfigRoute::new("echo", "echo") };
        let config = Config { models: vec![model("echo", &[], vec![drained])], ..Config::default() };

        let refused = Router::new(&config, &Sources::of_process()).route(&Caller::anonymous(), None, 0);

        assert_eq!(refused.expect_err("drained"), NoRoute::NoTarget);
    }
}
