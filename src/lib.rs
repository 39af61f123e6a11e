//! sanggwond keeps a `PostgreSQL` database of the places around every urban rail station in Korea fresh.

pub mod domain;
pub mod standin;
