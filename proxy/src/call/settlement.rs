//! What a call owes: its permit, and the tokens that it took. Paid once, by dropping this.

use std::{sync::Arc, time::Instant};

use super::{Summary, check_length};
use crate::{
    caller::Caller,
    cost::Cost,
    error::CallError,
    limits::Permit,
    provider::{self, Completion, Reply},
    router::{Target, upstream::Place},
    state::Shared,
    usage::Usage,
};

/// Keeps the permit of a call and books its usage when dropped, complete or not.
#[derive(Debug)]
pub(super) struct Settlement {
    shared: Arc<Shared>,
    caller: Arc<Caller>,
    /// Its place among the calls that the provider at work has at once. Before the permit, so that it is free when that is.
    place: Option<Place>,
    permit: Permit,
    started: Instant,
    input_chars: usize,
    output_chars: usize,
    reported: Option<provider::Usage>,
    /// What an answer took that another one has taken the place of, and how much of that was cached.
    earlier: (Usage, u64),
    finish: provider::Finish,
    /// Who was asked last.
    target: Option<Arc<Target>>,
    /// Whether the outcome of that is still open.
    at_work: bool,
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
            earlier: (Usage::default(), 0),
            finish: provider::Finish::default(),
            target: None,
            at_work: false,
            place: None,
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
    pub(super) fn asked(&mut self, target: &Arc<Target>, place: Place) {
        self.at_work = true;
        self.target = Some(Arc::clone(target));
        self.place = Some(place);
        self.owes = true;
    }

    /// The provider failed; what it has said so far, if anything, still counts.
    pub(super) fn failed(&mut self, outcome: &'static str) {
        self.count(outcome);
        self.place = None;
        self.owes = self.output_chars > 0 || self.reported.is_some();
    }

    /// Time was up while the provider was at work; it may still charge.
    pub(super) fn late(&mut self) {
        self.count(DEADLINE);
    }

    /// Another attempt is made, with this provider or another one.
    pub(super) fn retried(&mut self) {
        self.retries += 1;
    }

    /// A provider is not asked.
    pub(super) fn passed_over(&self, provider: &str, reason: &'static str) {
        self.shared.metrics.providers.passed_over.with([provider, reason]).add(1);
    }

    /// A provider is asked again, or is not for this reason.
    pub(super) fn retry(&self, provider: &str, outcome: &'static str) {
        self.shared.metrics.providers.retries.with([provider, outcome]).add(1);
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

    /// The same, with a whole answer. It still has to fit into one message.
    pub(super) fn answered_with(&mut self, completion: &Completion) -> Result<(), CallError> {
        self.answered();
        self.reported(completion.usage);
        match &completion.reply {
            Reply::Raw(_, chars) => {
                self.said(*chars);
                Ok(())
            }
            Reply::Said(said) => {
                self.said(said.chars());
                self.finished(said.finish);
                check_length(said.text.len())
            }
        }
    }

    /// The provider is asked for another answer in place of the last one, whose prompt is longer by so many characters.
    pub(super) fn begin_another(&mut self, more_chars: usize) {
        self.earlier = (self.usage(), self.cached());
        self.input_chars += more_chars;
        self.output_chars = 0;
        self.reported = None;
        self.owes = false;
    }

    /// Whether that one was good.
    pub(super) fn repaired(&self, good: bool) {
        let outcome = if good { "repaired" } else { "failed" };
        self.shared.metrics.providers.structured_repairs.with([outcome]).add(1);
    }

    /// The call is complete.
    pub(super) fn complete(self, model: Arc<str>) -> Summary {
        Summary {
            model,
            usage: self.usage(),
            cost: self.cost(),
            finish: self.finish,
            cached_tokens: self.cached(),
            duration: self.started.elapsed(),
            retries: self.retries,
        }
    }

    fn count(&mut self, outcome: &'static str) {
        if let Some(target) = self.target.as_ref().filter(|_| self.at_work) {
            self.shared.metrics.provider_calls.with([target.provider.name(), outcome]).add(1);
        }
        self.at_work = false;
    }

    /// Of all answers together.
    fn usage(&self) -> Usage {
        let ((earlier, _), last) = (self.earlier, self.usage_of_last());
        Usage {
            input_tokens: earlier.input_tokens.saturating_add(last.input_tokens),
            output_tokens: earlier.output_tokens.saturating_add(last.output_tokens),
            estimated: earlier.estimated || last.estimated,
        }
    }

    fn cached(&self) -> u64 {
        let last = self.reported.map_or(0, |usage| usage.cached);
        self.earlier.1.saturating_add(last)
    }

    /// What the provider reported, a true zero included; else a quarter of the characters.
    fn usage_of_last(&self) -> Usage {
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

impl Settlement {
    /// What that costs with the provider that was asked last, where its price is known.
    fn cost(&self) -> Option<Cost> {
        let price = self.target.as_ref()?.price.as_ref()?;
        let Usage { input_tokens: input, output_tokens: output, .. } = self.usage();
        Some(Cost::of(price, provider::Usage { input, output, cached: self.cached() }))
    }
}

impl Drop for Settlement {
    fn drop(&mut self) {
        self.count(CANCELLED);
        self.shared.settle(&self.caller, &self.permit, self.usage());
        if let (Some(cost), Some(target)) = (self.cost(), &self.target) {
            self.shared.charge(&self.caller, target.provider.name(), cost);
        }
    }
}
