//! Generated wire messages of `proto/weir/v1`; their documentation is in those files.
#![allow(missing_docs, clippy::all, clippy::pedantic, clippy::restriction)]

tonic::include_proto!("weir.v1");
