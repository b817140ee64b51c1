//! A small ACME server. It checks no signatures: that the protocol is right is proven against a real one elsewhere.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::time::Duration;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Method, Request, Response, header::LOCATION, header::RETRY_AFTER};
use http_body_util::BodyExt;
use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, IsCa, KeyPair,
    date_time_ymd,
};
use serde_json::{Value, json};
use vibectl_pki::acme::{BodyWrapper, BytesResponse, ClientError, HttpClient};

use super::world::{Fate, Handle};

const BASE: &str = "https://ca.example";

/// An answer that is not the usual one: path, status, `Retry-After`, body.
pub(crate) struct Trouble {
    pub(crate) path: &'static str,
    pub(crate) status: u16,
    pub(crate) retry_after: Option<String>,
    pub(crate) body: String,
}

impl Trouble {
    pub(crate) fn new(path: &'static str, status: u16, kind: &str) -> Self {
        let body = json!({"type": format!("urn:ietf:params:acme:error:{kind}"), "detail": "trouble"});
        Self { path, status, retry_after: None, body: body.to_string() }
    }
}

struct Order {
    status: &'static str,
    names: Vec<String>,
    chain: String,
    replaces: Option<String>,
}

/// The server and what it was asked.
pub(crate) struct Server {
    issuer: CertifiedIssuer<'static, KeyPair>,
    accounts: BTreeMap<String, usize>,
    orders: Vec<Order>,
    /// Next answers that are not the usual ones.
    pub(crate) trouble: VecDeque<Trouble>,
    /// Every path that was asked for, with its method.
    pub(crate) log: Vec<String>,
    pub(crate) accepts_proofs: bool,
    /// Put in the place of the names that were asked for.
    pub(crate) names: Option<Vec<String>>,
    /// How long certificates live.
    pub(crate) lifetime: SignedDuration,
    /// Renewal information: window and `Retry-After`.
    pub(crate) window: Option<(Timestamp, Timestamp)>,
    pub(crate) replaces_seen: Vec<Option<String>>,
    pub(crate) contact: Option<Value>,
    nonces: usize,
}

impl Server {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let key = KeyPair::generate().expect("a key");
        Self {
            issuer: CertifiedIssuer::self_signed(params, key).expect("a CA"),
            accounts: BTreeMap::new(),
            orders: Vec::new(),
            trouble: VecDeque::new(),
            log: Vec::new(),
            accepts_proofs: true,
            names: None,
            lifetime: SignedDuration::from_hours(90 * 24),
            window: None,
            replaces_seen: Vec::new(),
            contact: None,
            nonces: 0,
        }
    }

    /// How many orders were made.
    pub(crate) fn orders(&self) -> usize {
        self.orders.len()
    }

    /// How many accounts were made.
    pub(crate) fn accounts(&self) -> usize {
        self.accounts.len()
    }

    /// How often a path was asked for.
    pub(crate) fn asked(&self, start: &str) -> usize {
        self.log.iter().filter(|line| line.starts_with(start)).count()
    }

    /// The keys of the accounts.
    pub(crate) fn account_keys(&self) -> Vec<String> {
        self.accounts.keys().cloned().collect()
    }

    /// Everything that it knows is gone.
    pub(crate) fn forget_accounts(&mut self) {
        self.accounts.clear();
    }

    fn answer(
        &mut self,
        request: &Asked,
        published: impl Fn(&str) -> bool,
        now: Timestamp,
    ) -> Response<String> {
        self.log.push(format!("{} {}", request.method, request.path));
        if let Some(index) = self.trouble.iter().position(|trouble| request.path.starts_with(trouble.path)) {
            let trouble = self.trouble.remove(index).expect("there");
            let mut response = Response::builder().status(trouble.status);
            if let Some(wait) = trouble.retry_after {
                response = response.header(RETRY_AFTER, wait);
            }
            return response.body(trouble.body).expect("a response");
        }
        let (head, rest) = request.path[1..].split_once('/').unwrap_or((&request.path[1..], ""));
        let index = rest.split('/').next().and_then(|text| text.parse::<usize>().ok());
        match head {
            "dir" => ok(&directory()),
            "nonce" => ok(&json!({})),
            "new-account" => self.new_account(request),
            "new-order" => self.new_order(request),
            "key-change" => self.key_change(request),
            "order" => self.order(index.expect("a number")),
            "authz" => self.authz(index.expect("a number")),
            "chal" => self.challenge(index.expect("a number"), published),
            "finalize" => self.finalize(index.expect("a number"), request, now),
            "cert" => Response::new(self.orders[index.expect("a number")].chain.clone()),
            "ari" => self.renewal_info(),
            other => panic!("the server has no {other}"),
        }
    }

    fn new_account(&mut self, request: &Asked) -> Response<String> {
        let key = request.protected["jwk"]["x"].as_str().expect("a key").to_owned();
        if request.payload["onlyReturnExisting"] == true && !self.accounts.contains_key(&key) {
            return no_account();
        }
        self.contact = request.payload.get("contact").cloned().or(self.contact.take());
        let next = self.accounts.len();
        let id = *self.accounts.entry(key).or_insert(next);
        located(&format!("/account/{id}"), &json!({"status": "valid"}))
    }

    /// The payload is a request of its own, signed by the new key.
    fn key_change(&mut self, request: &Asked) -> Response<String> {
        let inner = |name: &str| decoded(&request.payload[name]);
        let (protected, payload) = (inner("protected"), inner("payload"));
        let old = payload["oldKey"]["x"].as_str().expect("a key");
        let Some(id) = self.accounts.remove(old) else { return no_account() };
        self.accounts.insert(protected["jwk"]["x"].as_str().expect("a key").to_owned(), id);
        ok(&json!({}))
    }

    fn new_order(&mut self, request: &Asked) -> Response<String> {
        if self.accounts.is_empty() {
            return no_account();
        }
        let identifiers = request.payload["identifiers"].as_array().expect("identifiers");
        let names = identifiers.iter().map(|it| it["value"].as_str().expect("a name").to_owned()).collect();
        let replaces = request.payload.get("replaces").and_then(Value::as_str).map(str::to_owned);
        self.replaces_seen.push(replaces.clone());
        self.orders.push(Order { status: "pending", names, chain: String::new(), replaces });
        let index = self.orders.len() - 1;
        located(&format!("/order/{index}"), &self.order_json(index))
    }

    fn order(&self, index: usize) -> Response<String> {
        ok(&self.order_json(index))
    }

    fn order_json(&self, index: usize) -> Value {
        let order = &self.orders[index];
        let mut json = json!({
            "status": order.status,
            "authorizations": [format!("{BASE}/authz/{index}")],
            "finalize": format!("{BASE}/finalize/{index}"),
            "certificate": format!("{BASE}/cert/{index}"),
        });
        if let Some(replaces) = &order.replaces {
            json["replaces"] = json!(replaces);
        }
        json
    }

    fn authz(&self, index: usize) -> Response<String> {
        let order = &self.orders[index];
        let status = match order.status {
            "pending" => "pending",
            "invalid" => "invalid",
            _ => "valid",
        };
        let mut challenge = challenge_json(index, status);
        if status == "invalid" {
            challenge["error"] =
                json!({"type": "urn:ietf:params:acme:error:unauthorized", "detail": "not seen"});
        }
        ok(&json!({
            "status": status,
            "identifier": {"type": "dns", "value": order.names[0]},
            "challenges": [challenge],
        }))
    }

    fn challenge(&mut self, index: usize, published: impl Fn(&str) -> bool) -> Response<String> {
        let good = self.accepts_proofs && published(&token(index));
        self.orders[index].status = if good { "ready" } else { "invalid" };
        ok(&challenge_json(index, "processing"))
    }

    fn finalize(&mut self, index: usize, request: &Asked, now: Timestamp) -> Response<String> {
        let (epoch, seconds) = (|| date_time_ymd(1970, 1, 1), |at: Timestamp| at.as_second().unsigned_abs());
        let csr = BASE64_URL_SAFE_NO_PAD
            .decode(request.payload["csr"].as_str().expect("a CSR"))
            .expect("base64url");
        let mut csr = CertificateSigningRequestParams::from_der(&csr.into()).expect("a CSR");
        if let Some(names) = &self.names {
            csr.params.subject_alt_names =
                CertificateParams::new(names.clone()).expect("names").subject_alt_names;
        }
        csr.params.use_authority_key_identifier_extension = true;
        csr.params.serial_number = Some(vec![1, u8::try_from(index).expect("few")].into());
        csr.params.not_before = epoch() + Duration::from_secs(seconds(now) - 3600);
        csr.params.not_after = epoch() + Duration::from_secs(seconds(now + self.lifetime));
        let leaf = csr.signed_by(&self.issuer).expect("signed");
        self.orders[index].chain = leaf.pem() + &self.issuer.pem();
        self.orders[index].status = "valid";
        self.order(index)
    }

    fn renewal_info(&self) -> Response<String> {
        let Some((start, end)) = self.window else {
            return Response::builder().status(404).body("no".to_owned()).expect("a response");
        };
        let body =
            json!({"suggestedWindow": {"start": start.to_string(), "end": end.to_string()}}).to_string();
        Response::builder().header(RETRY_AFTER, "21600").body(body).expect("a response")
    }
}

fn directory() -> Value {
    json!({
        "newNonce": format!("{BASE}/nonce"),
        "newAccount": format!("{BASE}/new-account"),
        "newOrder": format!("{BASE}/new-order"),
        "keyChange": format!("{BASE}/key-change"),
        "renewalInfo": format!("{BASE}/ari"),
        "meta": {"termsOfService": "https://ca.example/terms"},
    })
}

fn token(index: usize) -> String {
    format!("token-{index}")
}

fn challenge_json(index: usize, status: &str) -> Value {
    json!({"type": "http-01", "url": format!("{BASE}/chal/{index}"), "token": token(index), "status": status})
}

fn ok(body: &Value) -> Response<String> {
    Response::new(body.to_string())
}

fn located(path: &str, body: &Value) -> Response<String> {
    let location = format!("{BASE}{path}");
    Response::builder().status(201).header(LOCATION, location).body(body.to_string()).expect("a response")
}

/// A member of a JWS.
fn decoded(member: &Value) -> Value {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(member.as_str().unwrap_or_default()).expect("base64url");
    serde_json::from_slice(&bytes).unwrap_or_default()
}

fn no_account() -> Response<String> {
    let body = json!({"type": "urn:ietf:params:acme:error:accountDoesNotExist"}).to_string();
    Response::builder().status(400).body(body).expect("a response")
}

/// A request, read.
struct Asked {
    method: Method,
    path: String,
    protected: Value,
    payload: Value,
}

async fn read(request: Request<BodyWrapper<Bytes>>) -> Asked {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.expect("in memory").to_bytes();
    let jws: Value = serde_json::from_slice(&body).unwrap_or_default();
    let (protected, payload) = (decoded(&jws["protected"]), decoded(&jws["payload"]));
    Asked { method: parts.method, path: parts.uri.path().to_owned(), protected, payload }
}

impl HttpClient for Handle {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, ClientError>> + Send>> {
        let handle = self.clone();
        Box::pin(async move {
            let asked = read(request).await;
            let fate = handle.act();
            if matches!(fate, Fate::Dead) {
                return Err(ClientError::Str("dead"));
            }
            let mut world = handle.world();
            let (now, published) = (world.now, world.published.clone());
            let visible = |token: &str| published.iter().any(|it| it.starts_with(&format!("{token}.")));
            let mut response = world.server.answer(&asked, visible, now);
            world.server.nonces += 1;
            let nonce = format!("nonce-{}", world.server.nonces).parse().expect("a header");
            response.headers_mut().insert("replay-nonce", nonce);
            drop(world);
            if matches!(fate, Fate::ActAndDie) {
                return Err(ClientError::Str("dead"));
            }
            let (parts, body) = response.into_parts();
            Ok(BytesResponse { parts, body: Box::new(Bytes::from(body)) })
        })
    }
}
