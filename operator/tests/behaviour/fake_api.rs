//! An API server in memory: versions, conflicts, preconditions and status patches behave as the real one's do. It
//! counts writes, and it can hand its objects to caches as watches would.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use futures::{FutureExt, future::BoxFuture};
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use kube::{Client, Resource, client::Body};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tower::Service;
use vibectl_operator::context::cache::Cache;

#[derive(Clone, Default)]
pub(crate) struct FakeApi(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Value>,
    version: u64,
    writes: Vec<String>,
    notes: Vec<String>,
    broken: bool,
}

impl FakeApi {
    pub(crate) fn client(&self) -> Client {
        Client::new(self.clone(), "default")
    }

    /// Puts an object there as a user would, or replaces it; its status stays.
    pub(crate) fn put(&self, collection: &str, object: Value) {
        let mut state = self.0.lock().unwrap();
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let path = if namespace.is_empty() {
            format!("/api/v1/{collection}/{name}")
        } else {
            let (group, plural) = collection.rsplit_once('/').unwrap();
            format!("/{group}/namespaces/{namespace}/{plural}/{name}")
        };
        let status = state.objects.get(&path).and_then(|known| known.get("status").cloned());
        let mut object = object;
        if let Some(status) = status {
            object["status"] = status;
        }
        state.store(&path, object);
    }

    pub(crate) fn remove(&self, path: &str) {
        assert!(self.0.lock().unwrap().objects.remove(path).is_some(), "{path} is not there");
    }

    /// From now on every call fails.
    pub(crate) fn break_down(&self) {
        self.0.lock().unwrap().broken = true;
    }

    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        self.0.lock().unwrap().objects.get(path).cloned()
    }

    /// Method and path of every write since the last call, Events left out.
    pub(crate) fn take_writes(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().writes)
    }

    /// Reason and note of every Event since the last call, a repeated one too.
    pub(crate) fn take_notes(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().notes)
    }

    /// What a complete watch would have put into a cache.
    pub(crate) fn cache<K>(&self, keep: impl Fn(&str, &Value) -> bool) -> Cache<K>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + 'static,
    {
        let state = self.0.lock().unwrap();
        let plural = format!("/{}/", K::plural(&()));
        let objects =
            state.objects.iter().filter(|(path, object)| path.contains(&plural) && keep(path, object));
        Cache::of(objects.map(|(_, object)| serde_json::from_value(object.clone()).unwrap()))
    }

    fn answer(&self, method: &Method, path: &str, body: &[u8]) -> (u16, Value) {
        let mut state = self.0.lock().unwrap();
        let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        if state.broken {
            return failure(500, "InternalError");
        }
        if path.contains("/events") {
            let text = |field: &str| body[field].as_str().unwrap_or_default().to_owned();
            state.notes.push(format!("{}: {}", text("reason"), text("note")));
            return (201, body);
        }
        match *method {
            Method::GET => state.objects.get(path).map_or_else(not_found, |object| (200, object.clone())),
            Method::POST => state.create(path, body),
            Method::PUT => state.replace(path, body),
            Method::PATCH => state.patch(path, &body),
            Method::DELETE => state.delete(path, &body),
            _ => (405, json!({})),
        }
    }
}

impl State {
    fn store(&mut self, path: &str, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        if object["metadata"]["uid"].is_null() {
            object["metadata"]["uid"] = json!(format!("uid-{}", self.version));
        }
        self.objects.insert(path.to_owned(), object.clone());
        object
    }

    fn create(&mut self, collection: &str, mut object: Value) -> (u16, Value) {
        let path = format!("{collection}/{}", object["metadata"]["name"].as_str().unwrap());
        if self.objects.contains_key(&path) {
            return failure(409, "AlreadyExists");
        }
        if let Some((_, rest)) = collection.split_once("/namespaces/") {
            object["metadata"]["namespace"] = json!(rest.split('/').next().unwrap());
        }
        self.writes.push(format!("POST {path}"));
        (201, self.store(&path, object))
    }

    fn replace(&mut self, path: &str, object: Value) -> (u16, Value) {
        let Some(present) = self.objects.get(path) else { return not_found() };
        if stale(present, &object["metadata"]["resourceVersion"]) {
            return failure(409, "Conflict");
        }
        self.writes.push(format!("PUT {path}"));
        (200, self.store(path, object))
    }

    fn patch(&mut self, path: &str, patch: &Value) -> (u16, Value) {
        let object_path = path.strip_suffix("/status").unwrap_or(path);
        let Some(present) = self.objects.get(object_path).cloned() else { return not_found() };
        if stale(&present, &patch["metadata"]["resourceVersion"]) {
            return failure(409, "Conflict");
        }
        let mut object = present;
        if path.ends_with("/status") {
            object["status"] = patch["status"].clone();
        } else if let Some(annotations) = patch["metadata"]["annotations"].as_object() {
            for (key, value) in annotations {
                object["metadata"]["annotations"][key] = value.clone();
            }
        }
        self.writes.push(format!("PATCH {path}"));
        (200, self.store(object_path, object))
    }

    fn delete(&mut self, path: &str, options: &Value) -> (u16, Value) {
        let Some(present) = self.objects.get(path) else { return not_found() };
        let preconditions = &options["preconditions"];
        let uid = &preconditions["uid"];
        if stale(present, &preconditions["resourceVersion"])
            || (!uid.is_null() && *uid != present["metadata"]["uid"])
        {
            return failure(409, "Conflict");
        }
        self.objects.remove(path);
        self.writes.push(format!("DELETE {path}"));
        (200, json!({"kind": "Status", "apiVersion": "v1", "status": "Success"}))
    }
}

fn stale(present: &Value, version: &Value) -> bool {
    !version.is_null() && *version != present["metadata"]["resourceVersion"]
}

fn not_found() -> (u16, Value) {
    failure(404, "NotFound")
}

fn failure(code: u16, reason: &str) -> (u16, Value) {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": reason, "reason": reason, "code": code,
    });
    (code, status)
}

impl Service<Request<Body>> for FakeApi {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let api = self.clone();
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let (code, answer) = api.answer(&parts.method, parts.uri.path(), &body);
            let bytes = serde_json::to_vec(&answer).unwrap();
            Ok(Response::builder().status(code).body(Body::from(bytes)).unwrap())
        }
        .boxed()
    }
}
