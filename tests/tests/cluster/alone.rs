//! What others cannot bear: tests that stop the operator, or take away what it works with. They are together because each of them waits
//! until no other test runs, and no other begins meanwhile.

mod acme;
mod cert_manager;
mod outage;
