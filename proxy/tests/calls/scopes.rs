//! What each scope is needed for.

use http::StatusCode;
use serde_json::Value;
use vibectl_token::table::{Row, Scope};

use crate::{
    proxy::client,
    revoked::{World, row},
};

const PATHS: [(&str, Scope); 2] = [("/v1/models", Scope::Models), ("/vibectl/v1/status", Scope::Admin)];

pub(crate) async fn get(world: &World, path: &str) -> (StatusCode, Value) {
    let request = client()
        .get(format!("http://{}{path}", world.proxy.address))
        .header("authorization", world.bearer("alice"));
    let response = request.send().await.expect("a response");
    (response.status(), serde_json::from_str(&response.text().await.expect("a body")).expect("JSON"))
}

#[tokio::test]
async fn each_path_needs_its_own_scope_and_no_other_will_do() {
    let world = World::start().await;

    for granted in [Scope::Execute, Scope::Models, Scope::Admin] {
        world.put(&[Row { scopes: vec![granted], ..row("alice") }], &world.key);
        for (path, needed) in PATHS {
            let expected = if granted == needed { StatusCode::OK } else { StatusCode::FORBIDDEN };
            assert_eq!(get(&world, path).await.0, expected, "{path} with {granted:?}");
        }
    }
}

#[tokio::test]
async fn the_status_tells_what_those_who_run_the_server_want_to_know() {
    let world = World::start().await;
    world.put(&[Row { scopes: vec![Scope::Admin, Scope::Execute], ..row("alice") }], &world.key);
    let _open = world.stream("alice").await;

    let (_, status) = get(&world, "/vibectl/v1/status").await;

    assert_eq!((&status["open_streams"], &status["calls_in_flight"]), (&1.into(), &1.into()));
    assert_eq!(
        (&status["providers"][0]["name"], &status["providers"][0]["available"]),
        (&"p0".into(), &true.into())
    );
    assert_eq!(
        (&status["usage"][0]["caller"], &status["usage"][0]["requests"]),
        (&"alice".into(), &1.into())
    );
}
