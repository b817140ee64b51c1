//! What calls cost, exactly: whole numbers of a millionth of a millionth of a dollar, which is what a token costs whose price for a
//! million has six digits after the point. Printed only at the end.

use std::fmt;

use serde::{Serialize, Serializer};
use vibectl_config::Price;

use crate::provider;

/// Parts of a dollar.
const PARTS: u64 = 1_000_000_000_000;

/// An amount of money. It stops at eighteen million dollars.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cost(u64);

impl Cost {
    /// What so many tokens cost at this price. Cached tokens are some of those of the prompt.
    pub fn of(price: &Price, usage: provider::Usage) -> Self {
        let provider::Usage { input, output, cached } = usage;
        let Price { input: fresh_rate, cached_input, output: output_rate } = price;
        let cached = cached.min(input);
        let parts = [
            (input - cached, *fresh_rate),
            (cached, cached_input.unwrap_or(*fresh_rate)),
            (output, *output_rate),
        ];
        parts
            .into_iter()
            .fold(Self::default(), |sum, (tokens, rate)| sum.plus(Self(tokens.saturating_mul(rate.micros()))))
    }

    /// The sum of both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// Parts of a dollar: millionths of millionths.
    pub fn picos(self) -> u64 {
        self.0
    }

    /// So many millionths of millionths of a dollar.
    pub fn from_picos(picos: u64) -> Self {
        Self(picos)
    }

    /// The same in dollars, for those who want a floating point number.
    #[expect(clippy::cast_precision_loss, reason = "what is lost is the sixteenth digit")]
    pub fn dollars(self) -> f64 {
        self.0 as f64 / PARTS as f64
    }
}

/// In dollars, as short as can be.
impl fmt::Display for Cost {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:012}", self.0 / PARTS, self.0 % PARTS);
        out.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

impl Serialize for Cost {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.dollars())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(input: &str, cached: Option<&str>, output: &str) -> Price {
        let rate = |text: &str| text.parse().expect("a rate");
        Price { input: rate(input), cached_input: cached.map(rate), output: rate(output) }
    }

    fn cost(price: &Price, input: u64, cached: u64, output: u64) -> String {
        Cost::of(price, provider::Usage { input, output, cached }).to_string()
    }

    #[test]
    fn tokens_are_charged_by_kind_and_cached_ones_only_once() {
        let price = price("2.50", Some("1.25"), "10");

        assert_eq!(cost(&price, 1_000_000, 0, 0), "2.5");
        assert_eq!(cost(&price, 1_000_000, 1_000_000, 0), "1.25");
        assert_eq!(cost(&price, 1_000_000, 400_000, 100_000), "3");
        assert_eq!(cost(&price, 11, 0, 7), "0.0000975");
    }

    #[test]
    fn without_a_price_of_their_own_cached_tokens_cost_what_others_do() {
        assert_eq!(cost(&price("3", None, "0"), 1_000_000, 900_000, 5), "3");
    }

    #[test]
    fn a_million_calls_of_a_fraction_of_a_cent_add_up_to_the_last_digit() {
        let once = Cost::of(&price("0.1", None, "0.3"), provider::Usage { input: 1, output: 1, cached: 0 });

        let sum = (0..1_000_000).fold(Cost::default(), |sum, _| sum.plus(once));

        assert_eq!((once.to_string().as_str(), sum.to_string().as_str()), ("0.0000004", "0.4"));
        assert!((sum.dollars() - 0.4).abs() < f64::EPSILON);
    }

    #[test]
    fn absurd_reports_of_a_provider_do_not_overflow() {
        let all = provider::Usage { input: u64::MAX, output: u64::MAX, cached: u64::MAX };

        assert_eq!(Cost::of(&price("999999", None, "999999"), all).picos(), u64::MAX);
        assert_eq!(
            Cost::of(&price("1", Some("0"), "0"), provider::Usage { input: 1, output: 0, cached: 9 }),
            Cost(0)
        );
    }
}
