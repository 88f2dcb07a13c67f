//! The control plane from outside: real folders, real gRPC and HTTP on loopback. One binary: one link step.
#![allow(missing_docs, clippy::unwrap_used)]

mod it {
    mod delivery;
    mod discovery;
    mod files;
    mod golden;
    mod kube_api;
    mod plugins;
    mod program;
    mod proxy;
    mod world;
}
