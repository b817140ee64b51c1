//! Reads the metrics of a server: the Prometheus text format, as far as our own server writes it.

use std::collections::BTreeMap;

/// Samples by name and labels.
#[derive(Debug, Default)]
pub(super) struct Samples(Vec<Sample>);

#[derive(Debug)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Samples {
    /// The samples of a text; lines that are none are passed over.
    pub(super) fn parse(text: &str) -> Self {
        Self(text.lines().filter_map(Sample::parse).collect())
    }

    /// The sum over all series of a name whose labels fit.
    pub(super) fn sum(&self, name: &str, fits: impl Fn(&BTreeMap<String, String>) -> bool) -> f64 {
        self.of(name).filter(|sample| fits(&sample.labels)).map(|sample| sample.value).sum()
    }

    /// The values of a label among the series of a name whose value is not zero.
    pub(super) fn labels(&self, name: &str, label: &str) -> Vec<String> {
        self.set(name).filter_map(|labels| labels.get(label).cloned()).collect()
    }

    /// The labels of every series of a name whose value is not zero.
    pub(super) fn set<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a BTreeMap<String, String>> {
        self.of(name).filter(|sample| sample.value != 0.0).map(|sample| &sample.labels)
    }

    /// The value below which this part of a histogram's observations are; none without observations. It lies between the
    /// bounds of its bucket, as if observations were spread evenly in it.
    pub(super) fn quantile(&self, name: &str, part: f64) -> Option<f64> {
        let mut buckets: Vec<(f64, f64)> = self
            .of(&format!("{name}_bucket"))
            .filter_map(|sample| {
                Some((sample.labels.get("le")?.replace("+Inf", "inf").parse().ok()?, sample.value))
            })
            .collect();
        buckets.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        let (_, total) = *buckets.last().filter(|(_, total)| *total > 0.0)?;
        let wanted = total * part;
        let mut below = (0.0, 0.0);
        for (bound, count) in buckets {
            if count >= wanted && count > below.1 {
                let share = (wanted - below.1) / (count - below.1);
                return Some(if bound.is_finite() { below.0 + (bound - below.0) * share } else { below.0 });
            }
            below = (bound, count);
        }
        None
    }

    fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Sample> {
        self.0.iter().filter(move |sample| sample.name == name)
    }
}

impl Sample {
    fn parse(line: &str) -> Option<Self> {
        if line.starts_with('#') {
            return None;
        }
        let (series, value) = line.rsplit_once(' ')?;
        let (name, labels) =
            series.strip_suffix('}').and_then(|series| series.split_once('{')).unwrap_or((series, ""));
        let labels = labels.split("\",").filter_map(|pair| {
            let (label, value) = pair.split_once("=\"")?;
            Some((label.to_owned(), value.trim_end_matches('"').to_owned()))
        });
        Some(Self { name: name.to_owned(), labels: labels.collect(), value: value.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn what_the_server_writes_is_read() {
        let metrics = Metrics::default();
        metrics.requests.with(["Execute", "OK"]).add(3);
        metrics.requests.with(["Execute", "UNAVAILABLE"]).add(1);
        metrics.part_rejected.with(["tls"]).set(1);
        metrics.part_rejected.with(["config"]).set(0);
        for seconds in [0.02, 0.02, 0.02, 0.2] {
            metrics.request_duration.observe(seconds);
        }

        let samples = Samples::parse(&metrics.render());

        assert!((samples.sum("vibectl_requests_total", |_| true) - 4.0).abs() < f64::EPSILON);
        let good = samples
            .sum("vibectl_requests_total", |labels| labels.get("code").is_some_and(|code| code == "OK"));
        assert!((good - 3.0).abs() < f64::EPSILON);
        assert_eq!(samples.labels("vibectl_part_rejected", "part"), ["tls"]);
        let median = samples.quantile("vibectl_request_duration_seconds", 0.5).expect("observations");
        assert!((0.01..=0.025).contains(&median), "{median}");
        assert_eq!(Samples::default().quantile("vibectl_request_duration_seconds", 0.5), None);
    }
}
