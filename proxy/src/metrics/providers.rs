//! How providers are doing and what they cost, beside the calls that went to them.

use std::fmt;

use super::family::Family;

/// Metrics of providers.
#[derive(Debug)]
pub struct Providers {
    /// Providers that a call did not go to, by provider and reason.
    pub passed_over: Family<2>,
    /// Retries, made or not, by provider and outcome.
    pub retries: Family<2>,
    /// 1 for each provider and model that is ejected.
    pub ejected: Family<2>,
    /// What settled calls cost, in millionths of millionths of a dollar, by provider.
    pub cost: Family<1>,
    /// Second chances for answers that were not valid for their schema, by outcome.
    pub structured_repairs: Family<1>,
}

impl Default for Providers {
    fn default() -> Self {
        Self {
            passed_over: Family::counter(
                "vibectl_provider_passed_over_total",
                "Times that a provider of a model was not asked.",
                ["provider", "reason"],
            ),
            retries: Family::counter(
                "vibectl_provider_retries_total",
                "Retries of a provider that had failed, by whether they were made.",
                ["provider", "outcome"],
            ),
            ejected: Family::gauge(
                "vibectl_provider_ejected",
                "1 while a model of a provider is left out for its failures.",
                ["provider", "model"],
            ),
            cost: Family::counter(
                "vibectl_cost_usd_total",
                "What calls cost whose price is known.",
                ["provider"],
            )
            .with_decimals(12),
            structured_repairs: Family::counter(
                "vibectl_structured_repairs_total",
                "Second chances for answers that were not valid for their schema.",
                ["outcome"],
            ),
        }
    }
}

impl fmt::Display for Providers {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { passed_over, retries, ejected, cost, structured_repairs } = self;
        write!(out, "{passed_over}{retries}{ejected}{cost}{structured_repairs}")
    }
}
