//! What a running server cannot change: its ports, how they are secured, and how callers are known. A config that
//! changes one of these is refused whole, so that nobody believes it to be in force.

use vibectl_config::Config;

/// Names the first section that would have to change.
pub fn check(old: &Config, new: &Config) -> Result<(), String> {
    let changed = [
        ("server.host", old.server.host != new.server.host),
        ("server.port", old.server.port != new.server.port),
        ("server.require_auth", old.server.require_auth != new.server.require_auth),
        ("jwt", old.jwt != new.jwt),
        ("tls", old.tls != new.tls),
        ("acme", old.acme != new.acme),
        ("admin", old.admin != new.admin),
        ("access", old.access != new.access),
        ("fleet", old.fleet != new.fleet),
    ];
    match changed.iter().find(|(_, changed)| *changed) {
        Some((key, _)) => Err(format!("{key} cannot change while the server runs; restart it")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_models_may_change_and_the_port_may_not() {
        let old = Config::default();
        let mut new = Config::default();
        new.server.limits.total.max_requests_per_minute = Some(5);
        new.models.clear();
        assert_eq!(check(&old, &new), Ok(()));

        new.server.port = 1;

        assert_eq!(
            check(&old, &new),
            Err("server.port cannot change while the server runs; restart it".to_owned())
        );
    }
}
