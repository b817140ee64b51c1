//! Changes of files come into force while the server runs; bad ones never do.

use std::fs;

use crate::support::Server;

fn applied(server: &Server, outcome: &str) -> i64 {
    server.metric(&format!("vibectl_reloads_total{{part=\"config\",outcome=\"{outcome}\"}}"))
}

#[test]
fn a_changed_config_comes_into_force_without_a_restart() {
    let server = Server::insecure("server: {log_level: error}");
    assert_eq!(server.get("/before").0, 404);

    fs::write(server.config_file(), "server: {log_level: info}").expect("written");
    server.wait_for("the change", |server| applied(server, "applied") == 1);
    assert_eq!(server.get("/after").0, 404);

    server.wait_for("log lines at the new level", |server| server.log().contains("\"message\":\"request\""));
    assert_eq!(server.log().matches("\"message\":\"request\"").count(), 1, "none before the change");
}

#[test]
fn a_bad_config_is_refused_whole_and_said_in_log_and_metric_until_it_is_mended() {
    let server = Server::insecure("");

    fs::write(server.config_file(), "server: {log_level: loud}").expect("written");
    server.wait_for("the refusal", |server| applied(server, "rejected") == 1);

    assert_eq!(server.metric("vibectl_part_rejected{part=\"config\"}"), 1);
    server.logs("server.log_level");
    assert_eq!(server.admin_get("/readyz").expect("an answer").0, 200);

    fs::write(server.config_file(), "server: {log_level: debug}").expect("written");
    server.wait_for("the mended one", |server| applied(server, "applied") == 1);
    assert_eq!(server.metric("vibectl_part_rejected{part=\"config\"}"), 0);
}

#[test]
fn what_cannot_change_while_running_is_refused_and_named() {
    let server = Server::insecure("");

    fs::write(server.config_file(), "server: {require_auth: true}").expect("written");
    server.wait_for("the refusal", |server| applied(server, "rejected") == 1);

    server.logs("server.require_auth cannot change");
}
