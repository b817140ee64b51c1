//! Who may call a proxy: ProxyTokens become rows, rows become the shards of the access table.

pub mod departures;

pub use departures::Departures;
