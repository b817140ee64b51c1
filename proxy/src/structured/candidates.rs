//! Strings and numbers that are worth trying where a schema wants one.

use std::iter;

use serde_json::{Number, Value};

use super::{
    MAX_SCHEMA_BYTES,
    rules::{NumberRules, Rules},
};

/// Numbers, the likeliest first.
pub(super) fn numbers(rules: &[&Rules]) -> impl Iterator<Item = Value> {
    floats(rules).into_iter().filter_map(Number::from_f64).map(Value::Number)
}

/// Whole numbers, the likeliest first; without a fraction in their text.
pub(super) fn whole_numbers(rules: &[&Rules]) -> impl Iterator<Item = Value> {
    floats(rules)
        .into_iter()
        .filter_map(|float| format!("{:.0}", float.ceil()).parse::<i64>().ok())
        .map(Value::from)
}

/// An example of the format, else the text, cut or padded to the length that is asked for.
pub(super) fn string(rules: &[&Rules], text: &str) -> Value {
    let strings = || rules.iter().map(|rules| &rules.string);
    if let Some(example) = strings().find_map(|rules| example_of(rules.format.as_deref()?)) {
        return Value::from(example);
    }
    let shortest = strings().filter_map(|rules| rules.min).max().unwrap_or(0);
    let longest = strings().filter_map(|rules| rules.max).min().unwrap_or(u64::MAX);
    let longest = usize::try_from(longest).unwrap_or(usize::MAX);
    let padded = usize::try_from(shortest).unwrap_or(0).min(longest).min(MAX_SCHEMA_BYTES);
    let mut text: String = text.chars().take(longest).collect();
    text.extend(iter::repeat_n('.', padded.saturating_sub(text.chars().count())));
    Value::String(text)
}

/// 0, the bounds, the steps next to them and the middle.
fn floats(rules: &[&Rules]) -> Vec<f64> {
    let all = |pick: fn(&NumberRules) -> &Option<Number>| -> Vec<f64> {
        rules.iter().filter_map(|rules| pick(&rules.number).as_ref()?.as_f64()).collect()
    };
    let lower = [all(|rules| &rules.min), all(|rules| &rules.above)].concat();
    let upper = [all(|rules| &rules.max), all(|rules| &rules.below)].concat();
    let steps = all(|rules| &rules.multiple_of);
    let mut found = vec![0.0];
    for low in &lower {
        found.extend([*low, low + 1.0]);
        found.extend(
            steps.iter().flat_map(|step| [(low / step).ceil() * step, ((low / step).floor() + 1.0) * step]),
        );
        found.extend(upper.iter().map(|high| f64::midpoint(*low, *high)));
    }
    for high in &upper {
        found.extend([*high, high - 1.0]);
        found.extend(steps.iter().map(|step| (high / step).floor() * step));
    }
    found
}

fn example_of(format: &str) -> Option<&'static str> {
    Some(match format {
        "date-time" => "2000-01-01T00:00:00Z",
        "date" => "2000-01-01",
        "time" => "00:00:00Z",
        "duration" => "PT1S",
        "email" => "name@example.org",
        "hostname" => "example.org",
        "ipv4" => "192.0.2.1",
        "ipv6" => "2001:db8::1",
        "uri" => "https://example.org/",
        "uuid" => "00000000-0000-4000-8000-000000000000",
        _ => return None,
    })
}
