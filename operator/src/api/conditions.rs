//! Conditions: their types and reasons, and how a new set replaces an old one. Types and reasons are API.

use std::fmt;

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};

/// What a condition speaks of.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum ConditionType {
    /// The summary: the object does what it is for.
    Ready,
    /// The spec is valid and nothing stands in its way.
    Accepted,
    /// Everything that the spec names exists and can be used.
    ResolvedRefs,
    /// Clients meet a valid certificate.
    CertificateReady,
    /// Pods are being replaced.
    Progressing,
    /// Tokens of a former server's shared secret are accepted.
    Migrating,
}

/// Why a condition is as it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reason {
    /// The spec is valid.
    Valid,
    /// The spec contradicts itself; the message names the field.
    InvalidSpec,
    /// An object of a needed name belongs to somebody else.
    ObjectConflict,
    /// Everything named was found.
    Resolved,
    /// A named Secret does not exist.
    SecretNotFound,
    /// A named Secret lacks the key.
    SecretKeyNotFound,
    /// A named Secret holds something that cannot be used.
    SecretInvalid,
    /// A provider does not accept its key.
    KeyRefused,
    /// The endpoint answers.
    Serving,
    /// No pod answers yet.
    NoReadyReplicas,
    /// `spec.replicas` is zero.
    ScaledToZero,
    /// The certificate is in force.
    Issued,
    /// There is no certificate yet.
    Pending,
    /// The certificate is past its end.
    Expired,
    /// The certificate is still good, but was not renewed when it was due.
    Expiring,
    /// cert-manager is asked for and not there.
    CertManagerNotFound,
    /// cert-manager tried to issue and failed.
    IssuanceFailed,
    /// An old CA should leave the bundle, but a pod may still serve a certificate of it.
    RolloverHeld,
    /// Pods are being replaced.
    RollingOut,
    /// All pods are of the newest template.
    Complete,
    /// Replacing pods has made no progress for too long.
    Stalled,
    /// The access table would lose most of its rows and is held back.
    AccessTableHeld,
    /// Not all ready replicas have told yet that the newest revision is in force.
    WaitingForReplicas,
    /// Clients have to see what to trust before another certificate is served.
    WaitingForClients,
    /// Ready pods do not answer on the fleet port: they serve, but nothing new is known of them.
    PodsUnreachable,
    /// The named proxy does not exist, or does not allow this namespace.
    ProxyNotFound,
    /// Access is suspended.
    Suspended,
    /// What is asked for is above the proxy's ceilings.
    AboveCeiling,
    /// Whoever the identity names is let in.
    Recognized,
    /// Another ProxyToken of the same proxy names the same identity.
    IdentityTaken,
    /// The proxy does not have the issuer that the identity names.
    IssuerNotFound,
    /// Tokens of a shared secret are accepted until a day to come.
    MigrationOpen,
    /// The same, and that day is near.
    MigrationEnding,
    /// That day has come: none is accepted.
    MigrationEnded,
    /// The API server or the operator failed; it tries again.
    OperatorError,
}

/// The three values that generic tools understand.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// It is so.
    True,
    /// It is not so.
    False,
    /// It cannot be told now.
    Unknown,
}

/// A condition before it is compared with the previous one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// What it speaks of.
    pub kind: ConditionType,
    /// Its value.
    pub state: State,
    /// Why.
    pub reason: Reason,
    /// The same in a sentence that a person can act on.
    pub message: String,
}

impl Finding {
    /// A condition that holds.
    pub fn yes(kind: ConditionType, reason: Reason, message: impl Into<String>) -> Self {
        Self { kind, state: State::True, reason, message: message.into() }
    }

    /// A condition that does not hold.
    pub fn no(kind: ConditionType, reason: Reason, message: impl Into<String>) -> Self {
        Self { kind, state: State::False, reason, message: message.into() }
    }

    /// A condition that cannot be told now.
    pub fn unknown(kind: ConditionType, reason: Reason, message: impl Into<String>) -> Self {
        Self { kind, state: State::Unknown, reason, message: message.into() }
    }
}

/// The conditions to write: those found, in order of type, each keeping its transition time while its value stays.
pub fn merge(
    previous: &[Condition],
    found: Vec<Finding>,
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let mut merged: Vec<Condition> =
        found.into_iter().map(|finding| condition(previous, finding, generation, now)).collect();
    merged.sort_by(|a, b| a.type_.cmp(&b.type_));
    merged
}

/// The condition of this type, if there is one.
pub fn find(conditions: &[Condition], kind: ConditionType) -> Option<&Condition> {
    conditions.iter().find(|condition| condition.type_ == kind.as_str())
}

/// Whether the condition of this type holds.
pub fn is_true(conditions: &[Condition], kind: ConditionType) -> bool {
    find(conditions, kind).is_some_and(|condition| condition.status == State::True.as_str())
}

fn condition(previous: &[Condition], finding: Finding, generation: Option<i64>, now: Timestamp) -> Condition {
    let Finding { kind, state, reason, message } = finding;
    let since = find(previous, kind)
        .filter(|before| before.status == state.as_str())
        .map_or(Time(now), |before| before.last_transition_time.clone());
    Condition {
        type_: kind.as_str().to_owned(),
        status: state.as_str().to_owned(),
        reason: reason.as_str().to_owned(),
        message: shortened(message),
        observed_generation: generation,
        last_transition_time: since,
    }
}

/// The API allows 32768 characters; nobody reads more than a few lines.
const MAX_MESSAGE: usize = 2048;

fn shortened(mut message: String) -> String {
    if message.len() > MAX_MESSAGE {
        let end = (0..=MAX_MESSAGE).rev().find(|&at| message.is_char_boundary(at)).unwrap_or(0);
        message.truncate(end);
        message.push('…');
    }
    message
}

impl ConditionType {
    /// As written in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Accepted => "Accepted",
            Self::ResolvedRefs => "ResolvedRefs",
            Self::CertificateReady => "CertificateReady",
            Self::Progressing => "Progressing",
            Self::Migrating => "Migrating",
        }
    }
}

impl Reason {
    /// As written in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "Valid",
            Self::InvalidSpec => "InvalidSpec",
            Self::ObjectConflict => "ObjectConflict",
            Self::Resolved => "Resolved",
            Self::SecretNotFound => "SecretNotFound",
            Self::SecretKeyNotFound => "SecretKeyNotFound",
            Self::SecretInvalid => "SecretInvalid",
            Self::KeyRefused => "KeyRefused",
            Self::Serving => "Serving",
            Self::NoReadyReplicas => "NoReadyReplicas",
            Self::ScaledToZero => "ScaledToZero",
            Self::Issued => "Issued",
            Self::Pending => "Pending",
            Self::Expired => "Expired",
            Self::Expiring => "Expiring",
            Self::CertManagerNotFound => "CertManagerNotFound",
            Self::IssuanceFailed => "IssuanceFailed",
            Self::RolloverHeld => "RolloverHeld",
            Self::RollingOut => "RollingOut",
            Self::Complete => "Complete",
            Self::Stalled => "Stalled",
            Self::AccessTableHeld => "AccessTableHeld",
            Self::WaitingForReplicas => "WaitingForReplicas",
            Self::WaitingForClients => "WaitingForClients",
            Self::PodsUnreachable => "PodsUnreachable",
            Self::ProxyNotFound => "ProxyNotFound",
            Self::Suspended => "Suspended",
            Self::AboveCeiling => "AboveCeiling",
            Self::Recognized => "Recognized",
            Self::IdentityTaken => "IdentityTaken",
            Self::IssuerNotFound => "IssuerNotFound",
            Self::MigrationOpen => "MigrationOpen",
            Self::MigrationEnding => "MigrationEnding",
            Self::MigrationEnded => "MigrationEnded",
            Self::OperatorError => "OperatorError",
        }
    }
}

impl State {
    /// As written in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl fmt::Display for ConditionType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transition_time_moves_only_with_the_value() {
        let [first, second, third] = [1, 2, 3].map(|second| Timestamp::from_second(second).unwrap());
        let waiting = || Finding::no(ConditionType::Ready, Reason::NoReadyReplicas, "no pod answers yet");

        let before = merge(&[], vec![waiting()], Some(1), first);
        let same = merge(&before, vec![waiting()], Some(2), second);
        let other =
            merge(&same, vec![Finding::yes(ConditionType::Ready, Reason::Serving, "")], Some(2), third);

        assert_eq!(same[0].last_transition_time, Time(first));
        assert_eq!(same[0].observed_generation, Some(2));
        assert_eq!(other[0].last_transition_time, Time(third));
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let found = Finding::no(ConditionType::Accepted, Reason::InvalidSpec, "ü".repeat(5000));

        let merged = merge(&[], vec![found], None, Timestamp::UNIX_EPOCH);

        assert!(merged[0].message.len() <= MAX_MESSAGE + '…'.len_utf8());
    }
}
