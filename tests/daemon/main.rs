//! Tests of the real binary against a real PostgreSQL and the stand-in for the API.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../support/lib.rs"]
#[expect(dead_code, reason = "some of it serves the chaos tests only")]
mod support;

mod answers;
mod changes;
mod circles;
mod closings;
mod command_line;
mod complete;
mod connections;
mod consent;
mod costs;
mod crawl;
mod daemon;
mod documents;
mod doubts;
mod drift;
mod export;
mod faults;
mod feed;
mod floors;
mod guard;
mod hand;
mod handbook;
mod held;
mod history;
mod history_model;
mod hostile;
mod http2;
mod input;
mod ledger;
mod links;
mod logs;
mod mutated;
mod notify;
mod observe;
mod outages;
mod output;
mod output_files;
mod owners;
mod pages;
mod pooler;
mod private;
mod purge;
mod purpose;
mod reading;
mod replication;
mod report;
mod resuming;
mod roles;
mod search;
mod secrets;
mod settings;
mod signals;
mod stations;
mod status;
mod systemd;
mod terminal;
mod threads;
mod tls;
mod unread;
mod waits;
mod weeks;
