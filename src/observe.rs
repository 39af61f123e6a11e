//! The HTTP endpoints for monitoring: `/metrics` for Prometheus, `/livez` and `/readyz` for health checks.
//!
//! They are disabled unless `observe.listen` is set. Responses are made from memory only, so the endpoints work even when the
//! database is unreachable.

mod process;
mod server;
mod slots;
mod vitals;

pub use server::Observer;
pub use vitals::Vitals;
