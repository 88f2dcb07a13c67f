//! The stream, for those who pass resources on without looking into them: a control plane encodes a resource once,
//! whatever the number of proxies that get it.

use bytes::Bytes;

use crate::pb;

pub use generated::{discovery_client, discovery_server};

/// As [`pb::Delta`], and the same on the wire; each upsert is an encoded [`pb::Resource`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct Delta {
    /// Names this delta on this stream.
    #[prost(uint64, tag = "1")]
    pub nonce: u64,
    /// New and changed resources.
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub upserts: Vec<Bytes>,
    /// Resources that are gone.
    #[prost(message, repeated, tag = "3")]
    pub removed: Vec<pb::Key>,
    /// True on the last chunk.
    #[prost(bool, tag = "4")]
    pub last: bool,
    /// Hash over the snapshot this delta leads to.
    #[prost(bytes = "vec", tag = "5")]
    pub snapshot_version: Vec<u8>,
}

mod generated {
    #![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, clippy::restriction)]

    include!(concat!(env!("OUT_DIR"), "/encoded/weir.v1.rs"));
}
