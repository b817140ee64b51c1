//! Several processes, and many starts of one, with the same config directory.

use std::sync::Arc;

use super::pebble::Pebble;
use super::process::free_port;
use super::server::{NAME, Setup};

#[tokio::test]
async fn h03_three_servers_that_start_together_make_one_order_and_all_serve() {
    let pebble = Pebble::start();
    let first = Setup::new(&pebble);
    // They share a machine here, so only one can have the port of the challenge; any of them may be the one that orders.
    let others: Vec<_> = (0..2)
        .map(|_| Setup {
            home: Arc::clone(&first.home),
            port: free_port(),
            config: first.config.replace(&pebble.http_port.to_string(), &free_port().to_string()),
            ..Setup::new(&pebble)
        })
        .collect();

    let servers: Vec<_> = others.iter().chain([&first]).map(Setup::start).collect();
    servers.iter().for_each(super::server::Server::wait_until_ready);

    let root = pebble.root().await;
    for server in &servers {
        assert_eq!(server.call(NAME, &root).await.expect("an answer"), 200);
    }
    assert_eq!((pebble.orders(), pebble.accounts()), (1, 1), "{}", pebble.process.output());
}

#[test]
fn h04_fifty_restarts_make_no_further_order() {
    let pebble = Pebble::start();
    let setup = Setup::new(&pebble);
    let mut first = setup.start();
    first.wait_until_ready();
    first.process.kill();

    for _ in 0..50 {
        let mut server = setup.start();
        server.wait_until_ready();
        server.process.kill();
    }

    assert_eq!((pebble.orders(), pebble.accounts()), (1, 1));
}
