//! What the program does, shown on the real binary against a real PostgreSQL and a stand-in of the API.

#[path = "../support/lib.rs"]
mod support;

mod crawl;
