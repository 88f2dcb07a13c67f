//! Idle connections of one worker, newest first (U2).

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use tokio::time::Instant;
use weir_proto::model::Keepalive;

use super::{Connection, h2};
use crate::pool::{Endpoint, EndpointId};

/// Idle connections by endpoint. The newest is reused first: it is the least likely to be closed by the
/// peer, and those not needed age at the bottom.
#[derive(Debug, Default)]
pub struct IdlePool {
    stacks: RefCell<HashMap<EndpointId, Stack>>,
    /// Those of HTTP/2, idle or not.
    pub shared: h2::Pool,
}

#[derive(Debug)]
struct Stack {
    endpoint: Arc<Endpoint>,
    timeout: Duration,
    connections: Vec<Connection>,
}

impl IdlePool {
    /// The newest idle connection to `endpoint` that is still open and, by the pool's settings of now, not
    /// too old.
    pub fn take(&self, endpoint: &Endpoint, keepalive: &Keepalive, now: Instant) -> Option<Connection> {
        let mut stacks = self.stacks.borrow_mut();
        let stack = stacks.get_mut(&endpoint.id)?;
        stack.timeout = keepalive.idle_timeout;
        while let Some(connection) = stack.connections.pop() {
            if !stack.is_fresh(&connection, now) || keepalive.max_idle == 0 {
                // All below it are older still.
                stack.connections.clear();
            } else if connection.is_ready() && connection.is_current(endpoint) {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps `connection` for the next request, unless there are enough, it is in the way of another request, or the
    /// endpoint has left.
    pub fn put(&self, endpoint: &Arc<Endpoint>, mut connection: Connection, keepalive: &Keepalive) {
        if keepalive.max_idle == 0 || endpoint.is_retired() || endpoint.wants_room() {
            return;
        }
        connection.reused = true;
        let mut stacks = self.stacks.borrow_mut();
        let stack = stacks.entry(endpoint.id).or_insert_with(|| Stack {
            endpoint: endpoint.clone(),
            timeout: keepalive.idle_timeout,
            connections: Vec::new(),
        });
        stack.timeout = keepalive.idle_timeout;
        let max_idle = keepalive.max_idle as usize;
        if stack.connections.len() >= max_idle {
            // The setting may have shrunk; the oldest go first.
            let surplus = stack.connections.len() + 1 - max_idle;
            stack.connections.drain(..surplus);
        }
        stack.connections.push(connection);
    }

    /// Closes those that are in the way of a request, the oldest first.
    pub fn make_room(&self) {
        for stack in self.stacks.borrow_mut().values_mut() {
            while !stack.connections.is_empty() && stack.endpoint.wants_room() {
                stack.connections.remove(0);
            }
        }
    }

    /// Closes what was idle too long, closed by its peer, or belongs to an endpoint that left.
    pub fn sweep(&self, now: Instant) {
        self.shared.sweep(now);
        self.stacks.borrow_mut().retain(|_, stack| {
            let mut connections = std::mem::take(&mut stack.connections);
            connections.retain(|c| !c.is_closed() && stack.is_fresh(c, now) && c.is_current(&stack.endpoint));
            if stack.endpoint.is_retired() {
                connections.clear();
            }
            stack.connections = connections;
            !stack.connections.is_empty()
        });
    }
}

impl Stack {
    fn is_fresh(&self, connection: &Connection, now: Instant) -> bool {
        self.timeout.is_zero() || now.saturating_duration_since(connection.idle_since) < self.timeout
    }
}
