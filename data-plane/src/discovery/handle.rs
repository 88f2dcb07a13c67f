//! The way to the control loop: the stream and the admin server ask, the loop owns the answers.

use tokio::sync::{mpsc, oneshot};
use weir_proto::pb;

use super::apply::Rejected;
use super::orphans::Orphans;

/// What the control loop is asked.
#[derive(Debug)]
pub enum Request {
    /// What is held?
    Held(oneshot::Sender<Vec<pb::Held>>),
    /// Apply this; what was refused?
    Apply(pb::Delta, oneshot::Sender<Vec<Rejected>>),
    /// What is of no use?
    Orphans(oneshot::Sender<Orphans>),
}

/// Asks the control loop. The loop never waits for who asks.
#[derive(Debug, Clone)]
pub struct ControlHandle(mpsc::Sender<Request>);

/// The control loop has ended, so the process is about to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the control loop has ended")]
pub struct Ended;

impl ControlHandle {
    /// A handle, and where its requests arrive.
    #[must_use]
    pub fn new() -> (Self, mpsc::Receiver<Request>) {
        // One stream, which waits for each answer, and people.
        let (sender, receiver) = mpsc::channel(1);
        (Self(sender), receiver)
    }

    /// What this proxy holds, for a new stream.
    ///
    /// # Errors
    /// If the control loop has ended.
    pub async fn held(&self) -> Result<Vec<pb::Held>, Ended> {
        self.ask(Request::Held).await
    }

    /// Makes a whole delta live; gives what was refused.
    ///
    /// # Errors
    /// If the control loop has ended.
    pub async fn apply(&self, delta: pb::Delta) -> Result<Vec<Rejected>, Ended> {
        self.ask(|answer| Request::Apply(delta, answer)).await
    }

    /// What this proxy holds and has no use for.
    ///
    /// # Errors
    /// If the control loop has ended.
    pub async fn orphans(&self) -> Result<Orphans, Ended> {
        self.ask(Request::Orphans).await
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, Ended> {
        let (sender, answer) = oneshot::channel();
        self.0.send(request(sender)).await.map_err(|_| Ended)?;
        answer.await.map_err(|_| Ended)
    }
}
