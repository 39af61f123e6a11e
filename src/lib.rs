//! sanggwond keeps a `PostgreSQL` database of the places around every urban rail station in Korea fresh.

pub mod clock;
pub mod config;
pub mod domain;
pub mod kakao;
pub mod shutdown;
pub mod store;
pub mod telemetry;
