//! What the owner of a file with mistakes is told.

use vibectl_config::Config;

fn mistakes(text: &str) -> String {
    Config::parse(text, "config.yaml").unwrap_err().to_string()
}

#[test]
fn every_mistake_of_a_file_is_reported_in_one_go_with_its_place() {
    let mistakes = mistakes(include_str!("files/mistakes.yaml"));

    insta::assert_snapshot!(mistakes);
}

#[test]
fn no_mistake_shows_a_secret() {
    let mistakes = mistakes(include_str!("files/mistakes.yaml"));

    for secret in ["hunter2", "1234567890"] {
        assert!(!mistakes.contains(secret), "{mistakes}");
    }
}
