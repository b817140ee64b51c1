//! Counters, gauges and histograms that print themselves in the Prometheus text format 0.0.4.
//!
//! Our own, because scrapers of the original look for `NAME_total` in the comments before the first request, and the
//! usual crate prints OpenMetrics, which has neither the suffix nor empty families there.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};

/// Series of one family; what comes later is counted under [`OTHER`]. Labels are bounded by design, this is the net below.
const MAX_SERIES: usize = 200;
/// Label value of what has no series of its own.
pub const OTHER: &str = "other";

/// One number.
#[derive(Debug, Default)]
pub struct Value(AtomicI64);

impl Value {
    /// Adds, or takes away.
    pub fn add(&self, amount: i64) {
        self.0.fetch_add(amount, Relaxed);
    }

    /// Adds, and stays at the largest number there is: for amounts that could come so far.
    pub fn grow(&self, amount: i64) {
        // It always has a new value.
        let _ = self.0.fetch_update(Relaxed, Relaxed, |so_far| Some(so_far.saturating_add(amount)));
    }

    /// Replaces the number.
    pub fn set(&self, value: i64) {
        self.0.store(value, Relaxed);
    }

    /// The number.
    pub fn get(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

/// Numbers of one name, told apart by labels.
#[derive(Debug)]
pub struct Family<const LABELS: usize> {
    head: Head,
    labels: [&'static str; LABELS],
    /// Digits of its numbers that stand after the point.
    decimals: u32,
    /// Sorted by the values of labels.
    series: RwLock<Vec<Series<LABELS>>>,
}

type Series<const LABELS: usize> = ([String; LABELS], Arc<Value>);

impl<const LABELS: usize> Family<LABELS> {
    /// A family that only grows; its name ends in `_total`.
    pub fn counter(name: &'static str, help: &'static str, labels: [&'static str; LABELS]) -> Self {
        Self { head: Head { name, help, kind: "counter" }, labels, decimals: 0, series: RwLock::default() }
    }

    /// The same, counted in parts: of its numbers so many digits stand after the point.
    #[must_use]
    pub fn with_decimals(self, decimals: u32) -> Self {
        Self { decimals, ..self }
    }

    /// A family that goes up and down.
    pub fn gauge(name: &'static str, help: &'static str, labels: [&'static str; LABELS]) -> Self {
        Self { head: Head { name, help, kind: "gauge" }, labels, decimals: 0, series: RwLock::default() }
    }

    /// The number with these label values. Allocates nothing when there is one already.
    pub fn with(&self, values: [&str; LABELS]) -> Arc<Value> {
        let known = self.series.read().unwrap_or_else(PoisonError::into_inner);
        if let Ok(place) = place_of(&known, values) {
            return Arc::clone(&known[place].1);
        }
        drop(known);
        let mut series = self.series.write().unwrap_or_else(PoisonError::into_inner);
        let values = if series.len() < MAX_SERIES { values } else { [OTHER; LABELS] };
        match place_of(&series, values) {
            Ok(place) => Arc::clone(&series[place].1),
            Err(place) => {
                let value = Arc::default();
                series.insert(place, (values.map(str::to_owned), Arc::clone(&value)));
                value
            }
        }
    }

    /// Replaces all numbers by these; what is not among them is gone.
    pub fn replace<'a>(&self, values: impl Iterator<Item = ([&'a str; LABELS], i64)>) {
        let fresh: BTreeMap<_, _> = values
            .take(MAX_SERIES)
            .map(|(key, value)| (key.map(str::to_owned), Arc::new(Value(value.into()))))
            .collect();
        *self.series.write().unwrap_or_else(PoisonError::into_inner) = fresh.into_iter().collect();
    }
}

/// Where the series with these label values is, or where it would be.
fn place_of<const LABELS: usize>(series: &[Series<LABELS>], values: [&str; LABELS]) -> Result<usize, usize> {
    series.binary_search_by(|(key, _)| key.iter().map(String::as_str).cmp(values))
}

impl<const LABELS: usize> fmt::Display for Family<LABELS> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.head.fmt(out)?;
        for (values, value) in self.series.read().unwrap_or_else(PoisonError::into_inner).iter() {
            out.write_str(self.head.name)?;
            for (position, (label, text)) in self.labels.iter().zip(values).enumerate() {
                let before = if position == 0 { '{' } else { ',' };
                write!(out, "{before}{label}=\"{}\"", Escaped(text))?;
            }
            let after = if LABELS == 0 { "" } else { "}" };
            writeln!(out, "{after} {}", Decimal(value.get(), self.decimals))?;
        }
        Ok(())
    }
}

/// One number without labels that goes up and down; its sample is always there.
#[derive(Debug)]
pub struct Gauge {
    head: Head,
    value: Value,
}

impl Gauge {
    /// Zero.
    pub fn new(name: &'static str, help: &'static str) -> Self {
        Self { head: Head { name, help, kind: "gauge" }, value: Value::default() }
    }

    /// Replaces the number.
    pub fn set(&self, value: i64) {
        self.value.set(value);
    }

    /// Adds, or takes away.
    pub fn add(&self, amount: i64) {
        self.value.add(amount);
    }
}

impl fmt::Display for Gauge {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.head.fmt(out)?;
        writeln!(out, "{} {}", self.head.name, self.value.get())
    }
}

/// How many observations were at most how large.
#[derive(Debug)]
pub struct Histogram {
    head: Head,
    bounds: &'static [f64],
    counts: Box<[AtomicU64]>,
    sum_micros: AtomicU64,
}

impl Histogram {
    /// An empty histogram with these upper bounds, ascending; the infinite one is added.
    pub fn new(name: &'static str, help: &'static str, bounds: &'static [f64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { head: Head { name, help, kind: "histogram" }, bounds, counts, sum_micros: AtomicU64::new(0) }
    }

    /// Counts one observation.
    pub fn observe(&self, seconds: f64) {
        let bucket = self.bounds.iter().take_while(|bound| seconds > **bound).count();
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Relaxed);
        }
        let micros = std::time::Duration::try_from_secs_f64(seconds).map_or(0, |time| time.as_micros());
        self.sum_micros.fetch_add(u64::try_from(micros).unwrap_or(u64::MAX), Relaxed);
    }
}

impl fmt::Display for Histogram {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.head.fmt(out)?;
        let name = self.head.name;
        let mut cumulative = 0;
        for (position, count) in self.counts.iter().enumerate() {
            cumulative += count.load(Relaxed);
            match self.bounds.get(position) {
                Some(bound) => writeln!(out, "{name}_bucket{{le=\"{bound}\"}} {cumulative}")?,
                None => writeln!(out, "{name}_bucket{{le=\"+Inf\"}} {cumulative}")?,
            }
        }
        let sum = std::time::Duration::from_micros(self.sum_micros.load(Relaxed)).as_secs_f64();
        writeln!(out, "{name}_sum {sum}\n{name}_count {cumulative}")
    }
}

#[derive(Debug)]
struct Head {
    name: &'static str,
    help: &'static str,
    kind: &'static str,
}

impl fmt::Display for Head {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, help, kind } = self;
        writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}")
    }
}

/// A number of which so many digits stand after the point.
struct Decimal(i64, u32);

impl fmt::Display for Decimal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(value, decimals) = *self;
        if decimals == 0 {
            return write!(out, "{value}");
        }
        let sign = if value < 0 { "-" } else { "" };
        let (value, parts) = (value.unsigned_abs(), 10_u64.saturating_pow(decimals));
        let width = usize::try_from(decimals).unwrap_or_default();
        let text = format!("{sign}{}.{:0width$}", value / parts, value % parts);
        out.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '\\' => out.write_str("\\\\")?,
                '"' => out.write_str("\\\"")?,
                '\n' => out.write_str("\\n")?,
                other => fmt::Write::write_char(out, other)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_printed_with_escaped_labels_in_a_stable_order() {
        let family = Family::counter("calls_total", "Calls.", ["who", "how"]);
        family.with(["b", "say \"hi\"\n"]).add(2);
        family.with(["a", "\\"]).add(1);

        assert_eq!(
            family.to_string(),
            "# HELP calls_total Calls.\n# TYPE calls_total counter\n\
             calls_total{who=\"a\",how=\"\\\\\"} 1\ncalls_total{who=\"b\",how=\"say \\\"hi\\\"\\n\"} 2\n"
        );
    }

    #[test]
    fn parts_stand_after_the_point() {
        let family = Family::counter("usd_total", "Dollars.", ["who"]).with_decimals(3);
        family.with(["a"]).grow(12_345);
        family.with(["b"]).grow(5);
        family.with(["c"]).grow(i64::MAX);
        family.with(["c"]).grow(1);
        family.with(["d"]).grow(7_000);

        let text = family.to_string();

        for line in
            ["{who=\"a\"} 12.345\n", "{who=\"b\"} 0.005\n", "{who=\"d\"} 7\n", " 9223372036854775.807\n"]
        {
            assert!(text.contains(line), "{line} in {text}");
        }
    }

    #[test]
    fn the_number_of_series_is_bounded() {
        let family = Family::counter("calls_total", "Calls.", ["who"]);

        for number in 0..10_000 {
            family.with([&number.to_string()]).add(1);
        }

        assert_eq!(family.to_string().lines().count(), 2 + MAX_SERIES + 1);
        assert_eq!(family.with([OTHER]).get(), 10_000 - i64::try_from(MAX_SERIES).expect("small"));
    }

    #[test]
    fn buckets_of_a_histogram_are_cumulative() {
        let histogram = Histogram::new("time_seconds", "Time.", &[0.1, 1.0]);
        for seconds in [0.05, 0.1, 0.5, 7.0] {
            histogram.observe(seconds);
        }

        assert_eq!(
            histogram.to_string(),
            "# HELP time_seconds Time.\n# TYPE time_seconds histogram\n\
             time_seconds_bucket{le=\"0.1\"} 2\ntime_seconds_bucket{le=\"1\"} 3\n\
             time_seconds_bucket{le=\"+Inf\"} 4\ntime_seconds_sum 7.65\ntime_seconds_count 4\n"
        );
    }
}
