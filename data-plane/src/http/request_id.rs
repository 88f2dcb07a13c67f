//! Names a request in the access log and in what is logged of it elsewhere.

use std::fmt;

/// A request of this process; unique for as long as it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RequestId {
    /// Number of the worker that serves it.
    pub worker: usize,
    /// Which of the worker's requests it is, from 1.
    pub number: u64,
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.worker, self.number)
    }
}
