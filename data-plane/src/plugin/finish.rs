//! The last hook, after the response.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::Effects;
use super::session::Scene;
use crate::http::connection::ClientConnection;
use crate::pool::{Candidate, Pool};
use crate::table;

/// What has become of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Status of the response; 499 if the client left before.
    pub status: u16,
    /// From the request head to the end of the response.
    pub duration: Duration,
    /// From the choice of the backend to its response head, if it gave one.
    pub upstream: Option<Duration>,
    /// Bytes of the response body.
    pub bytes: u64,
}

/// What `done` needs to run when the response has ended.
#[derive(Debug)]
pub struct Finish {
    /// The pool in which the request ended.
    pub pool: Arc<Pool>,
    /// Of the rule that matched; `None` of a copy, which goes by none.
    pub rule: Option<Arc<table::Chain>>,
    /// The request as the upstream saw it.
    pub effects: Effects,
    /// Who answered.
    pub server: Option<Candidate>,
}

impl Finish {
    /// Runs the hooks.
    pub fn run(&self, connection: &Rc<ClientConnection>, outcome: &Outcome) {
        let Self { pool, rule, effects, server } = self;
        let rule = rule.as_ref().map(|rule| rule.rule());
        let scene = Scene { connection, pool, rule, server: server.as_ref() };
        if let Some(chain) = &pool.plugins {
            chain.done(scene, effects, outcome);
        }
    }
}
