//! `init-config` and `config`: a person's own file, from nothing to served.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::run;

const PLACE: &str = ".config/vibectl/server/config.yaml";

#[test]
fn a_new_config_is_private_valid_and_never_overwritten_without_being_told() {
    let home = tempfile::tempdir().expect("a home");

    let made = run(home.path(), &["init-config"]);
    let again = run(home.path(), &["init-config"]);
    let forced = run(home.path(), &["init-config", "--force"]);
    let valid = run(home.path(), &["config", "validate"]);

    assert_eq!((made.code, again.code, forced.code), (Some(0), Some(1), Some(0)), "{}", made.err);
    assert!(again.err.contains("--force"), "{}", again.err);
    let mode = fs::metadata(home.path().join(PLACE)).expect("the file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!((valid.code, valid.err.as_str()), (Some(0), ""));
}

#[test]
fn a_value_is_set_only_if_the_file_stays_good() {
    let home = tempfile::tempdir().expect("a home");
    run(home.path(), &["init-config"]);

    let good = run(home.path(), &["config", "set", "server.port", "6000"]);
    let before = fs::read(home.path().join(PLACE)).expect("the file");
    let bad = run(home.path(), &["config", "set", "server.port", "70000"]);
    let unknown = run(home.path(), &["config", "set", "server.prot", "1"]);

    assert_eq!((good.code, bad.code, unknown.code), (Some(0), Some(64), Some(64)), "{}", good.err);
    assert!(unknown.err.contains("did you mean port"), "the nearest key: {}", unknown.err);
    assert_eq!(fs::read(home.path().join(PLACE)).expect("the file"), before);
    assert_eq!(run(home.path(), &["config", "show", "server.port"]).out, "6000\n");
}

#[test]
fn what_is_shown_hides_secrets() {
    let home = tempfile::tempdir().expect("a home");
    fs::write(home.path().join("c.yaml"), "jwt: {secret_key: not-for-your-eyes-0123456789abcdef}")
        .expect("written");

    let shown = run(home.path(), &["config", "show", "--config", "c.yaml"]);

    assert_eq!(shown.code, Some(0), "{}", shown.err);
    assert!(shown.out.contains("<hidden>") && !shown.out.contains("not-for-your"), "{}", shown.out);
}

#[test]
fn a_key_at_its_default_is_told_from_one_that_does_not_exist() {
    let home = tempfile::tempdir().expect("a home");
    run(home.path(), &["init-config"]);

    assert_eq!(run(home.path(), &["config", "show", "server.port"]).out, "# server.port is at its default\n");
    assert_eq!(run(home.path(), &["config", "show", "server.prot"]).code, Some(64));
}
