//! Sessions that are taken up again: only under the same certificate and the same process, and never with early data.

use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, ServerConfig};
use vibectl_config::MinVersion;
use vibectl_pki::Usage;

use crate::{Pair, ca, client, leaf, state};

#[test]
fn b13_a_session_is_resumed_under_the_same_certificate_and_not_under_another() {
    let ca = ca();
    let state = state(&leaf(&ca, Usage::Server), None, MinVersion::V1_3);
    let client = client(&ca, &TLS13, None);
    let connect = || Pair::connect(&state, client.clone()).expect("connected").server.handshake_kind();

    let kinds = [connect(), connect()];
    state.replace(&leaf(&ca, Usage::Server)).expect("in force");
    let after = connect();

    assert_eq!(kinds, [Some(HandshakeKind::Full), Some(HandshakeKind::Resumed)]);
    assert_eq!(after, Some(HandshakeKind::Full));
}

#[test]
fn b13_a_ticket_of_before_a_restart_costs_a_full_handshake_and_nothing_else() {
    let ca = ca();
    let same = leaf(&ca, Usage::Server);
    for version in [&TLS13, &TLS12] {
        let (before, after) = (state(&same, None, MinVersion::V1_2), state(&same, None, MinVersion::V1_2));
        let client = client(&ca, version, None);
        let kind = |state| Pair::connect(state, client.clone()).expect("connected").server.handshake_kind();

        let kinds = [kind(&before), kind(&before), kind(&after), kind(&after)];

        let full = Some(HandshakeKind::Full);
        let resumed = Some(HandshakeKind::Resumed);
        assert_eq!(kinds, [full, resumed, full, resumed], "{version:?}");
    }
}

#[test]
fn b13_early_data_is_not_accepted_because_a_replayed_call_would_be_paid_for_twice() {
    let ca = ca();
    let state = state(&leaf(&ca, Usage::Server), None, MinVersion::V1_3);
    let config: &ServerConfig = &state.server_config().load_full();
    assert_eq!(config.max_early_data_size, 0);

    let mut client = client(&ca, &TLS13, None);
    client.enable_early_data = true;
    Pair::connect(&state, client.clone()).expect("connected");
    let name = rustls::pki_types::ServerName::try_from(crate::NAME).expect("a name");
    let mut again = rustls::ClientConnection::new(std::sync::Arc::new(client), name).expect("a client");

    assert!(again.early_data().is_none(), "the ticket allows early data");
}
