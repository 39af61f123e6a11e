//! sanggwond keeps a `PostgreSQL` database of the places around every urban rail station in Korea fresh.

pub mod clock;
pub mod config;
pub mod domain;
pub mod shutdown;
pub mod telemetry;
