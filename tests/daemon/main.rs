//! What the program does, shown on the real binary against a real PostgreSQL and a stand-in of the API.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../support/lib.rs"]
#[expect(dead_code, reason = "some of it serves the chaos tests only")]
mod support;

mod changes;
mod closings;
mod command_line;
mod complete;
mod crawl;
mod daemon;
mod documents;
mod export;
mod faults;
mod floors;
mod guard;
mod held;
mod history;
mod ledger;
mod observe;
mod outages;
mod private;
mod purge;
mod reading;
mod report;
mod resuming;
mod roles;
mod secrets;
mod stations;
mod systemd;
mod tls;
mod weeks;
