//! The HTTP endpoints for monitoring: `/metrics` for Prometheus, `/livez` and `/readyz` for health checks, and pages for people.
//!
//! They are disabled unless `observe.listen` is set. Responses to programs are made from memory only, so they work even when the
//! database is unreachable.

mod pages;
mod process;
mod server;
mod slots;
mod vitals;

pub use hyper::body::Bytes;
pub use pages::{Made, Page, Pages};
pub use server::Observer;
pub use vitals::Vitals;
