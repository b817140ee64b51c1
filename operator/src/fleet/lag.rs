//! Compares what a pod reports with what should be in force there. Pure.

use std::collections::BTreeMap;

use vibectl_config::mount::Part;
use vibectl_proto::fleet::v1::ReportResponse;

use super::pods::ProxyPod;

/// What should be in force in the pods of one LlmProxy. Parts without an entry are not compared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expected {
    /// Revision of each mounted part.
    pub parts: BTreeMap<Part, String>,
    /// ConfigMap of the current template. A pod that mounts another one is of an older template, whose config is its
    /// own business until it is replaced.
    pub config_map: Option<String>,
    /// With a private CA: key identifier of the CA that should have issued the serving certificate.
    pub issuer_key_id: Option<String>,
}

/// How a pod lags behind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lag {
    /// Parts that are not in force yet.
    pub waiting: Vec<Part>,
    /// Parts whose newest content the server refused, and why.
    pub rejected: Vec<(Part, String)>,
    /// The serving certificate is of another CA.
    pub issuer: bool,
}

impl Lag {
    /// Everything expected is in force.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Refreshing the mounts may help: something was not even seen yet.
    pub fn refreshable(&self) -> bool {
        !self.waiting.is_empty() || self.issuer
    }
}

/// How this pod lags behind what is expected of it.
pub fn lag(expected: &Expected, pod: &ProxyPod, report: &ReportResponse) -> Lag {
    let mut lag = Lag::default();
    for (&part, revision) in expected.parts.iter().filter(|(part, _)| concerns(expected, pod, **part)) {
        let shown = report.parts.iter().find(|shown| shown.part == part.as_str());
        match shown {
            Some(shown) if shown.revision == *revision => {}
            Some(shown) if !shown.rejected.is_empty() => lag.rejected.push((part, shown.rejected.clone())),
            _ => lag.waiting.push(part),
        }
    }
    let issuer = report.certificate.as_ref().map(|certificate| certificate.issuer_key_id.as_str());
    lag.issuer = expected.issuer_key_id.as_deref().is_some_and(|wanted| issuer != Some(wanted));
    lag
}

fn concerns(expected: &Expected, pod: &ProxyPod, part: Part) -> bool {
    // Older templates mount another config, and no answers.
    !matches!(part, Part::Config | Part::Acme)
        || expected.config_map.as_ref().is_none_or(|current| pod.config_maps.contains(current))
}

#[cfg(test)]
mod tests {
    use vibectl_proto::fleet::v1::{Certificate, PartInForce};

    use super::*;

    fn pod(config_map: &str) -> ProxyPod {
        ProxyPod {
            uid: "u".into(),
            name: "p".into(),
            ip: None,
            ready: true,
            terminating: false,
            config_maps: vec![config_map.into()],
        }
    }

    fn expected() -> Expected {
        Expected {
            parts: BTreeMap::from([(Part::Config, "c2".into()), (Part::Access, "a2".into())]),
            config_map: Some("team-config-new".into()),
            issuer_key_id: None,
        }
    }

    fn report(parts: &[(Part, &str, &str)]) -> ReportResponse {
        let parts = parts.iter().map(|(part, revision, rejected)| PartInForce {
            part: part.to_string(),
            revision: (*revision).to_owned(),
            rejected: (*rejected).to_owned(),
        });
        ReportResponse { parts: parts.collect(), ..ReportResponse::default() }
    }

    #[test]
    fn equal_revisions_are_no_lag_and_missing_parts_are() {
        let both = report(&[(Part::Config, "c2", ""), (Part::Access, "a2", "")]);
        assert!(lag(&expected(), &pod("team-config-new"), &both).is_none());

        let one = report(&[(Part::Access, "a1", "")]);
        let lag = lag(&expected(), &pod("team-config-new"), &one);

        assert_eq!(lag.waiting, [Part::Config, Part::Access]);
        assert!(lag.refreshable());
    }

    #[test]
    fn refused_content_is_told_and_not_refreshed_again() {
        let refused = report(&[(Part::Config, "c1", "line 3: unknown key"), (Part::Access, "a2", "")]);

        let lag = lag(&expected(), &pod("team-config-new"), &refused);

        assert_eq!(lag.rejected, [(Part::Config, "line 3: unknown key".to_owned())]);
        assert!(!lag.is_none() && !lag.refreshable());
    }

    #[test]
    fn a_pod_of_an_older_template_keeps_its_own_config() {
        let old = report(&[(Part::Config, "c1", ""), (Part::Access, "a2", "")]);

        assert!(lag(&expected(), &pod("team-config-old"), &old).is_none());
    }

    #[test]
    fn a_certificate_of_another_ca_is_a_lag() {
        let expected = Expected { issuer_key_id: Some("aa".into()), ..Expected::default() };
        let issued_by = |issuer: &str| ReportResponse {
            certificate: Some(Certificate { issuer_key_id: issuer.into(), ..Certificate::default() }),
            ..ReportResponse::default()
        };

        assert!(lag(&expected, &pod("c"), &issued_by("aa")).is_none());
        assert!(lag(&expected, &pod("c"), &issued_by("bb")).issuer);
        assert!(lag(&expected, &pod("c"), &ReportResponse::default()).issuer);
    }
}
