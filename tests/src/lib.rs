//! The real parts that Weir's integration tests are made of: mock backends, clients, both planes joined over gRPC,
//! child processes, a DNS server. Each owns its ports (always port 0) and ends with its value.
//!
//! Nothing here asserts what Weir does; that is in `tests/it/`.

pub mod authority;
pub mod backend;
pub mod browser;
pub mod chart;
pub mod client;
pub mod cluster;
pub mod collector;
pub mod component;
pub mod decode;
pub mod dns;
pub mod echo;
pub mod edge;
pub mod eventually;
pub mod fastcgi;
pub mod figures;
pub mod flock;
pub mod full;
pub mod http2;
pub mod image;
pub mod kube;
pub mod kubelet;
pub mod load;
pub mod manifest;
pub mod metrics;
pub mod php;
pub mod port;
pub mod program;
pub mod prometheus;
pub mod raw;
pub mod redis;
pub mod relay;
pub mod release;
pub mod replica;
pub mod scripted;
pub mod signer;
pub mod stand;
pub mod talk;
pub mod tls;
pub mod unix_relay;
pub mod websocket;

pub use backend::{Backend, Behaviour, Reply, Speech};
pub use client::{Client, Response, get, send};
pub use cluster::{DataPlane, Weir};
pub use collector::Collector;
pub use dns::Dns;
pub use echo::Echo;
pub use eventually::{eventually, within};
pub use flock::Flock;
pub use full::FullListener;
pub use kube::Kube;
pub use kubelet::Kubelet;
pub use load::Load;
pub use php::Php;
pub use prometheus::Prometheus;
pub use raw::RawClient;
pub use redis::Redis;
pub use relay::Relay;
pub use replica::Replica;
pub use scripted::Scripted;
pub use signer::Signer;
pub use stand::Stand;
pub use tls::TlsClient;
pub use unix_relay::UnixRelay;
