//! Weir's integration tests: one binary, so that there is one link step. The names of tests carry the promises they
//! hold (M1, C3, ...), see `ARCHITECTURE.md`.
#![allow(missing_docs, clippy::unwrap_used)]

mod it {
    mod bad_requests;
    mod bad_resources;
    mod balance;
    mod chart_admission;
    mod chart_apply;
    mod chart_release;
    mod chart_render;
    mod chart_values;
    mod command;
    mod examples;
    mod failover;
    mod harness;
    mod headers;
    mod health;
    mod images;
    mod issue;
    mod kubelet;
    mod kubernetes;
    mod kubernetes_source;
    mod kubernetes_status;
    mod monitoring;
    mod mtls;
    mod nack;
    mod plugin_auth;
    mod plugin_builtin;
    mod plugin_compress;
    mod plugin_command;
    mod plugin_examples;
    mod plugin_languages;
    mod plugin_lua;
    mod plugin_metrics;
    mod plugin_mirror;
    mod plugin_wasm;
    mod plugins;
    mod readme;
    mod redis;
    mod replicas;
    mod repository;
    mod routing;
    mod service;
    mod snapshot;
    mod state;
    mod stop;
    mod tcp;
    mod tcp_bytes;
    mod uploads;
    mod upstream;
}
