//! Weir's data plane: the proxy.
//!
//! [`discovery`] brings resources, [`table`] turns them into what the request path reads, [`worker`]s
//! serve requests with it, and [`admin`] shows how it goes. ARCHITECTURE.md has the picture.

pub mod admin;
pub mod app;
pub mod backoff;
pub mod balance;
mod causes;
pub mod config;
pub mod discovery;
pub mod drain;
pub mod explain;
pub mod gather;
pub mod handover;
pub mod health;
pub mod http;
pub mod limits;
pub mod listener;
pub mod matcher;
pub mod plugin;
pub mod pool;
pub mod proxy_protocol;
pub mod readiness;
pub mod reason;
pub mod resolve;
pub mod share;
pub mod stats;
pub mod table;
pub mod tcp;
pub mod tls;
pub mod trace;
pub mod trusted;
pub mod tunnel;
pub mod upstream;
pub mod worker;
