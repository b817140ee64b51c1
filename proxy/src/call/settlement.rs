//! What a call owes: its permit, and the tokens that it took. Paid once, by dropping this.

use std::{sync::Arc, time::Instant};

use super::Summary;
use crate::{caller::Caller, limits::Permit, provider, state::Shared, usage::Usage};

/// Keeps the permit of a call and books its usage when dropped, complete or not.
#[derive(Debug)]
pub(super) struct Settlement {
    shared: Arc<Shared>,
    caller: Arc<Caller>,
    permit: Permit,
    started: Instant,
    input_chars: usize,
    output_chars: usize,
    reported: Option<provider::Usage>,
    finish: provider::Finish,
    /// The provider at work, until the outcome is known.
    at_work: Option<Arc<str>>,
    /// A provider has the request and may charge for it.
    owes: bool,
    /// Providers do not charge for calls of this kind.
    free: bool,
    retries: u32,
}

/// How an attempt with a provider ended, as a metric label.
const OK: &str = "ok";
const CANCELLED: &str = "cancelled";
const DEADLINE: &str = "deadline";

impl Settlement {
    pub(super) fn new(
        shared: &Arc<Shared>,
        caller: &Arc<Caller>,
        permit: Permit,
        started: Instant,
        input_chars: usize,
    ) -> Self {
        Self {
            shared: Arc::clone(shared),
            caller: Arc::clone(caller),
            permit,
            started,
            input_chars,
            output_chars: 0,
            reported: None,
            finish: provider::Finish::default(),
            at_work: None,
            owes: false,
            free: false,
            retries: 0,
        }
    }

    /// Whatever happens, the call is for nothing.
    pub(super) fn takes_no_tokens(&mut self) {
        self.free = true;
    }

    /// A provider is being asked.
    pub(super) fn asked(&mut self, provider: &str) {
        self.at_work = Some(Arc::from(provider));
        self.owes = true;
    }

    /// The provider failed; what it has said so far, if anything, still counts.
    pub(super) fn failed(&mut self, outcome: &'static str) {
        self.count(outcome);
        self.owes = self.output_chars > 0 || self.reported.is_some();
    }

    /// Time was up while the provider was at work; it may still charge.
    pub(super) fn late(&mut self) {
        self.count(DEADLINE);
    }

    /// Another provider is tried.
    pub(super) fn retried(&mut self) {
        self.retries += 1;
    }

    /// The model has said so many characters more.
    pub(super) fn said(&mut self, chars: usize) {
        self.output_chars += chars;
    }

    /// The model has said why it ends its answer.
    pub(super) fn finished(&mut self, finish: provider::Finish) {
        self.finish = finish;
    }

    /// The provider has told what the call took so far.
    pub(super) fn reported(&mut self, usage: Option<provider::Usage>) {
        self.reported = usage.or(self.reported);
    }

    /// The provider has done its part.
    pub(super) fn answered(&mut self) {
        self.count(OK);
    }

    /// The call is complete.
    pub(super) fn complete(self, model: Arc<str>) -> Summary {
        Summary {
            model,
            usage: self.usage(),
            finish: self.finish,
            cached_tokens: self.reported.map_or(0, |usage| usage.cached),
            duration: self.started.elapsed(),
            retries: self.retries,
        }
    }

    fn count(&mut self, outcome: &'static str) {
        if let Some(provider) = self.at_work.take() {
            self.shared.metrics.provider_calls.with([&*provider, outcome]).add(1);
        }
    }

    /// What the provider reported, a true zero included; else a quarter of the characters.
    fn usage(&self) -> Usage {
        match self.reported {
            Some(reported) => {
                Usage { input_tokens: reported.input, output_tokens: reported.output, estimated: false }
            }
            None if self.owes && !self.free => Usage {
                input_tokens: provider::Usage::estimate(self.input_chars),
                // Nothing was said when the caller left before the first word.
                output_tokens: match self.output_chars {
                    0 => 0,
                    chars => provider::Usage::estimate(chars),
                },
                estimated: true,
            },
            None => Usage::default(),
        }
    }
}

impl Drop for Settlement {
    fn drop(&mut self) {
        self.count(CANCELLED);
        self.shared.settle(&self.caller, &self.permit, self.usage());
    }
}
