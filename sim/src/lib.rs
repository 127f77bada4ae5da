//! The seeded world: a real PostgreSQL in a scratch folder, the sample shop, a browser to drive. Development only.
//!
//! Everything here starts real programs and puts them away again, whatever becomes of the process that
//! started them (see [`running`]). It knows nothing of requests, policies or the log.

pub mod chaos;
pub mod clients;
pub mod configured;
pub mod crowd;
pub mod decided;
pub mod house;
pub mod http;
pub mod kill9;
pub mod link;
pub mod pgbench;
pub mod pgbouncer;
pub mod process;
pub mod psql;
pub mod running;
pub mod scratch;
pub mod scratch_pg;
pub mod shop;
pub mod signed;
pub mod tls;
pub mod webdriver;
