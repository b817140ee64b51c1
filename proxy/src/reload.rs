//! Puts changes of mounted or named files in force while the server runs.
//!
//! Each part is read whole, checked whole and swapped in at once. What cannot be used changes nothing: the last good
//! content stays in force, and log, metric and fleet report say why.

pub mod files;
