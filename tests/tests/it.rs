//! Weir's integration tests: one binary, so that there is one link step. The names of tests carry the promises they
//! hold (M1, C3, ...), see `ARCHITECTURE.md`.
#![allow(missing_docs, clippy::unwrap_used)]

mod it {
    mod harness;
    mod repository;
}
