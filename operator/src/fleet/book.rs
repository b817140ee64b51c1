//! The book of the fleet: what should be in force, and what each pod said last. In memory, one per process.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use tokio::sync::Notify;
use vibectl_config::mount::Part;
use vibectl_proto::fleet::v1::{RefuseRequest, ReportResponse};
use vibectl_token::table::Row;

use super::{
    lag::{Expected, Lag, lag},
    pods::ProxyPod,
    refusal::refusal,
};

/// How many earlier access tables are remembered. A pod that shows one of them has every row that was in it, so a
/// stream of changes does not keep a new token waiting for ever.
const REMEMBERED_TABLES: usize = 16;

/// What is behind a revision of the access part.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    /// Rows of the table, by UID of the ProxyToken.
    pub rows: BTreeMap<String, Arc<Row>>,
    /// Public keys that verify, by `kid`.
    pub keys: BTreeSet<String>,
}

/// What a pod said last.
#[derive(Debug, Clone)]
pub struct PodView {
    /// The pod.
    pub pod: ProxyPod,
    /// Its last report, and when it came.
    pub report: Option<(Arc<ReportResponse>, Timestamp)>,
    /// Why the last attempt to ask it failed; `None` when it answered.
    pub unreachable: Option<String>,
    /// How it lags behind; `None` when it never reported or nothing is expected yet.
    pub lag: Option<Lag>,
}

/// Knows what should be and what is.
#[derive(Debug, Default)]
pub struct FleetBook {
    proxies: Mutex<HashMap<String, Entry>>,
    attention: Mutex<BTreeSet<String>>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Entry {
    expected: Option<Expected>,
    tables: VecDeque<(String, Arc<Grants>)>,
    heard: HashMap<String, Heard>,
}

#[derive(Debug, Default, Clone)]
struct Heard {
    report: Option<(Arc<ReportResponse>, Timestamp)>,
    unreachable: Option<String>,
    /// The table that it was told about ahead, as long as it does not show it.
    told: Option<String>,
}

impl FleetBook {
    /// Sets what should be in force for the LlmProxy with this UID, and the grants behind its access revision. On a
    /// difference the pods are asked at once, until they show it.
    pub fn expect(&self, proxy_uid: &str, expected: Expected, grants: Grants) {
        let mut proxies = self.lock();
        let entry = proxies.entry(proxy_uid.to_owned()).or_default();
        if let Some(revision) = expected.parts.get(&Part::Access) {
            entry.remember(revision, grants);
        }
        let changed = entry.expected.as_ref() != Some(&expected);
        entry.expected = Some(expected);
        drop(proxies);
        if changed {
            self.attend(proxy_uid);
        }
    }

    /// What should be in force, if the LlmProxy was reconciled in this process.
    pub fn expected(&self, proxy_uid: &str) -> Option<Expected> {
        self.lock().get(proxy_uid).and_then(|entry| entry.expected.clone())
    }

    /// Asks the poller to look at this LlmProxy now.
    pub fn attend(&self, proxy_uid: &str) {
        self.attention.lock().unwrap_or_else(PoisonError::into_inner).insert(proxy_uid.to_owned());
        self.wake.notify_one();
    }

    /// Waits until [`Self::attend`] was called, and takes what was asked for.
    pub(super) async fn attention(&self) -> BTreeSet<String> {
        loop {
            let asked = std::mem::take(&mut *self.attention.lock().unwrap_or_else(PoisonError::into_inner));
            if !asked.is_empty() {
                return asked;
            }
            self.wake.notified().await;
        }
    }

    /// A pod answered, or did not. Tells whether anything but the counters is new.
    pub fn heard(
        &self,
        proxy_uid: &str,
        pod_uid: &str,
        answer: Result<ReportResponse, String>,
        at: Timestamp,
    ) -> bool {
        let mut proxies = self.lock();
        let entry = proxies.entry(proxy_uid.to_owned()).or_default();
        let heard = entry.heard.entry(pod_uid.to_owned()).or_default();
        let before =
            (heard.report.as_ref().map(|(report, _)| without_counters(report)), heard.unreachable.is_some());
        match answer {
            Ok(report) => {
                heard.report = Some((Arc::new(report), at));
                heard.unreachable = None;
                if heard.told.is_some() && heard.told == heard.access_revision() {
                    heard.told = None;
                }
            }
            Err(reason) => heard.unreachable = Some(reason),
        }
        before
            != (
                heard.report.as_ref().map(|(report, _)| without_counters(report)),
                heard.unreachable.is_some(),
            )
    }

    /// Forgets the pods that are not in this list any more.
    pub(super) fn keep_pods(&self, proxy_uid: &str, pods: &[ProxyPod]) {
        if let Some(entry) = self.lock().get_mut(proxy_uid) {
            entry.heard.retain(|uid, _| pods.iter().any(|pod| pod.uid == *uid));
        }
    }

    /// Forgets the LlmProxies for which `keep` is false.
    pub fn keep_proxies(&self, keep: impl Fn(&str) -> bool) {
        self.lock().retain(|uid, _| keep(uid));
    }

    /// What each of these pods said last.
    pub fn view(&self, proxy_uid: &str, pods: &[ProxyPod]) -> Vec<PodView> {
        let proxies = self.lock();
        let entry = proxies.get(proxy_uid);
        let view = |pod: &ProxyPod| {
            let heard = entry.and_then(|entry| entry.heard.get(&pod.uid)).cloned().unwrap_or_default();
            let expected = entry.and_then(|entry| entry.expected.as_ref());
            let lag =
                expected.zip(heard.report.as_ref()).map(|(expected, (report, _))| lag(expected, pod, report));
            PodView { pod: pod.clone(), report: heard.report, unreachable: heard.unreachable, lag }
        };
        pods.iter().map(view).collect()
    }

    /// What this pod is to refuse before it has the newest table: nothing when it has it, was told already, or shows a
    /// table that nobody remembers. An empty request takes back what it was told of a table that is superseded.
    pub(super) fn taken_back(&self, proxy_uid: &str, pod: &ProxyPod) -> Option<RefuseRequest> {
        let proxies = self.lock();
        let entry = proxies.get(proxy_uid)?;
        let (revision, newest) = entry.tables.back()?;
        let heard = entry.heard.get(&pod.uid)?;
        if heard.told.as_ref() == Some(revision) {
            return None;
        }
        let shown = heard.access_revision()?;
        let (_, shown) = entry.tables.iter().find(|(known, _)| *known == shown)?;
        let request = refusal(shown, newest, revision);
        let has_something = !request.tokens.is_empty() || !request.keys.is_empty();
        (has_something || heard.told.is_some()).then_some(request)
    }

    /// This pod was told of the table of this revision.
    pub(super) fn told(&self, proxy_uid: &str, pod: &ProxyPod, revision: &str) {
        let mut proxies = self.lock();
        let heard = proxies.get_mut(proxy_uid).and_then(|entry| entry.heard.get_mut(&pod.uid));
        if let Some(heard) = heard {
            heard.told =
                Some(revision.to_owned()).filter(|told| Some(told) != heard.access_revision().as_ref());
        }
    }

    /// Whether each of these pods shows an access table that satisfies `wanted`.
    pub fn grants(&self, proxy_uid: &str, pods: &[&ProxyPod], wanted: impl Fn(&Grants) -> bool) -> bool {
        let proxies = self.lock();
        let Some(entry) = proxies.get(proxy_uid) else { return pods.is_empty() };
        pods.iter().all(|pod| {
            let shown = entry.heard.get(&pod.uid).and_then(Heard::access_revision);
            let table = shown.and_then(|shown| entry.tables.iter().find(|(revision, _)| *revision == shown));
            table.is_some_and(|(_, grants)| wanted(grants))
        })
    }

    /// Whether the newest access table satisfies `wanted`, whoever has it.
    pub fn newest_grants(&self, proxy_uid: &str, wanted: impl Fn(&Grants) -> bool) -> bool {
        let proxies = self.lock();
        proxies.get(proxy_uid).and_then(|entry| entry.tables.back()).is_some_and(|(_, grants)| wanted(grants))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.proxies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn remember(&mut self, revision: &str, grants: Grants) {
        if self.tables.back().is_some_and(|(newest, _)| newest == revision) {
            return;
        }
        self.tables.retain(|(known, _)| known != revision);
        self.tables.push_back((revision.to_owned(), Arc::new(grants)));
        while self.tables.len() > REMEMBERED_TABLES {
            self.tables.pop_front();
        }
    }
}

impl Heard {
    fn access_revision(&self) -> Option<String> {
        let (report, _) = self.report.as_ref()?;
        let part = report.parts.iter().find(|part| part.part == Part::Access.as_str())?;
        Some(part.revision.clone())
    }
}

/// The report without what changes with every call.
fn without_counters(report: &ReportResponse) -> ReportResponse {
    let mut report = report.clone();
    report.usage.clear();
    report.calls_in_flight = 0;
    report.open_streams = 0;
    report
}

#[cfg(test)]
mod tests {
    use vibectl_proto::fleet::v1::PartInForce;

    use super::*;

    fn pod(uid: &str) -> ProxyPod {
        ProxyPod {
            uid: uid.into(),
            name: uid.into(),
            ip: None,
            ready: true,
            terminating: false,
            config_maps: vec![],
        }
    }

    fn expected(revision: &str) -> Expected {
        Expected { parts: BTreeMap::from([(Part::Access, revision.to_owned())]), ..Expected::default() }
    }

    fn told(book: &FleetBook, pod: &ProxyPod) -> Option<(String, Vec<String>)> {
        let request = book.taken_back("uid", pod)?;
        book.told("uid", pod, &request.revision);
        Some((request.revision, request.keys))
    }

    #[test]
    fn a_pod_is_told_once_what_its_newer_table_takes_back_and_told_otherwise_when_that_is_superseded() {
        let book = FleetBook::default();
        let one = pod("1");
        book.expect("uid", expected("r1"), keys(&["a"]));
        assert_eq!(told(&book, &one), None, "nothing is known of it");
        book.heard("uid", "1", Ok(report("r1")), Timestamp::UNIX_EPOCH);
        assert_eq!(told(&book, &one), None, "it has the newest");

        book.expect("uid", expected("r2"), keys(&[]));
        assert_eq!(told(&book, &one), Some(("r2".to_owned(), vec!["a".to_owned()])));
        assert_eq!(told(&book, &one), None, "once is enough");

        book.expect("uid", expected("r1"), keys(&["a"]));
        assert_eq!(told(&book, &one), Some(("r1".to_owned(), Vec::new())), "it is given back");
        assert_eq!(told(&book, &one), None);

        book.expect("uid", expected("r3"), keys(&[]));
        assert!(told(&book, &one).is_some());
        book.heard("uid", "1", Ok(report("r3")), Timestamp::UNIX_EPOCH);
        assert_eq!(told(&book, &one), None);
    }

    fn keys(keys: &[&str]) -> Grants {
        Grants { keys: keys.iter().map(|key| (*key).to_owned()).collect(), ..Grants::default() }
    }

    fn report(revision: &str) -> ReportResponse {
        let part = PartInForce { part: "access".into(), revision: revision.into(), rejected: String::new() };
        ReportResponse { parts: vec![part], ..ReportResponse::default() }
    }

    fn has(key: &str) -> impl Fn(&Grants) -> bool {
        move |grants| grants.keys.contains(key)
    }

    #[test]
    fn granted_only_when_every_pod_shows_a_table_with_it() {
        let book = FleetBook::default();
        let (one, two) = (pod("1"), pod("2"));
        book.expect("uid", expected("r1"), keys(&["new"]));

        book.heard("uid", "1", Ok(report("r1")), Timestamp::UNIX_EPOCH);
        assert!(!book.grants("uid", &[&one, &two], has("new")), "the second pod has not reported");
        book.heard("uid", "2", Ok(report("r0")), Timestamp::UNIX_EPOCH);
        assert!(!book.grants("uid", &[&one, &two], has("new")), "the second pod has an unknown table");
        book.heard("uid", "2", Ok(report("r1")), Timestamp::UNIX_EPOCH);

        assert!(book.grants("uid", &[&one, &two], has("new")));
        assert!(!book.grants("uid", &[&one, &two], has("other")));
    }

    #[test]
    fn an_earlier_table_that_had_it_counts_too_but_is_forgotten_in_the_end() {
        let book = FleetBook::default();
        let one = pod("1");
        book.expect("uid", expected("r1"), keys(&["new"]));
        book.heard("uid", "1", Ok(report("r1")), Timestamp::UNIX_EPOCH);

        book.expect("uid", expected("r2"), keys(&["new", "newer"]));
        assert!(book.grants("uid", &[&one], has("new")));
        assert!(!book.grants("uid", &[&one], has("newer")));

        for number in 3..30 {
            book.expect("uid", expected(&format!("r{number}")), keys(&["new"]));
        }
        assert!(!book.grants("uid", &[&one], has("new")));
    }

    #[test]
    fn an_unreachable_pod_keeps_its_last_report() {
        let book = FleetBook::default();
        book.expect("uid", expected("r1"), keys(&[]));
        assert!(book.heard("uid", "1", Ok(report("r1")), Timestamp::UNIX_EPOCH));
        assert!(!book.heard("uid", "1", Ok(report("r1")), Timestamp::UNIX_EPOCH), "nothing new");

        assert!(book.heard("uid", "1", Err("timed out".into()), Timestamp::UNIX_EPOCH));

        let view = book.view("uid", &[pod("1")]);
        assert!(view[0].report.is_some() && view[0].lag.as_ref().is_some_and(Lag::is_none));
        assert_eq!(view[0].unreachable.as_deref(), Some("timed out"));
    }

    #[tokio::test]
    async fn a_new_expectation_asks_for_attention_once() {
        let book = FleetBook::default();
        book.expect("uid", expected("r1"), keys(&[]));
        assert_eq!(book.attention().await, BTreeSet::from(["uid".to_owned()]));

        book.expect("uid", expected("r1"), keys(&[]));

        let quiet = tokio::time::timeout(std::time::Duration::from_millis(20), book.attention()).await;
        assert!(quiet.is_err(), "the same expectation again is no news");
    }
}
