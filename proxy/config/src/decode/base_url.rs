//! Whether a text can be the address of a provider.

/// Nothing when `text` is an `http` or `https` address without user, query and fragment; else what is wrong with
/// it, without showing any of it.
pub(super) fn check(text: &str) -> Result<(), &'static str> {
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"))
        .ok_or("expected an address that starts with http:// or https://")?;
    if !text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\\\"<>^`{|}".contains(&byte)) {
        return Err("expected an address, found a character that has no place in one");
    }
    if rest.contains(['?', '#']) {
        return Err("expected an address without query and fragment (? and #)");
    }
    let authority = rest.split('/').next().unwrap_or_default();
    if authority.contains('@') {
        return Err("expected an address without user and password; use api_key_file or api_key_env");
    }
    let (host, port) =
        split_port(authority).ok_or("expected an address with a host name or an IP address")?;
    if !is_host(host) {
        return Err("expected an address with a host name or an IP address");
    }
    if port.is_some_and(|port| !port.parse::<u16>().is_ok_and(|port| port > 0)) {
        return Err("expected an address with a port from 1 to 65535");
    }
    Ok(())
}

/// The host, brackets included, and the text of the port.
fn split_port(authority: &str) -> Option<(&str, Option<&str>)> {
    let end_of_host = if authority.starts_with('[') {
        authority.find(']')? + 1
    } else {
        authority.find(':').unwrap_or(authority.len())
    };
    let (host, rest) = authority.split_at_checked(end_of_host)?;
    match rest {
        "" => Some((host, None)),
        rest => rest.strip_prefix(':').map(|port| (host, Some(port))),
    }
}

fn is_host(host: &str) -> bool {
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            (1..=253).contains(&host.len())
                && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn addresses_of_providers_are_taken() {
        for address in [
            "https://api.openai.com/v1",
            "http://llama.ai.svc:8000/v1/",
            "http://127.0.0.1:1",
            "http://[::1]:8000/v1",
            "https://example.org",
            "http://under_score/a%20b",
        ] {
            assert_eq!(check(address), Ok(()), "{address}");
        }
    }

    #[test]
    fn anything_else_is_refused_without_showing_it() {
        for address in [
            "",
            "api.openai.com/v1",
            "ftp://example.org",
            "https://",
            "https:///v1",
            "https://user:hunter2@example.org",
            "https://example.org?key=hunter2",
            "https://example.org/#hunter2",
            "https://example.org:0",
            "https://example.org:65536",
            "https://example.org:",
            "https://[::1",
            "https://[::1]x",
            "https://[not-an-address]",
            "https://exa mple.org",
            "https://ex\\ample.org",
            "https://bücher.example",
        ] {
            let problem = check(address).unwrap_err();

            assert!(!problem.contains("hunter2") && problem.starts_with("expected"), "{address} {problem}");
        }
    }
}
