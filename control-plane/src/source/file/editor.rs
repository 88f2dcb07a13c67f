//! Whoever writes to the folder by the API, and its way to the source, which owns the files: nobody else writes them, so
//! that a change of ours is never taken for somebody else's.

use tokio::sync::{mpsc, oneshot};

use super::{Wish, WriteError};

/// Requests that may wait: writers come one after the other.
const REQUESTS: usize = 1;

/// Wishes that are fulfilled together, or not at all.
#[derive(Debug)]
pub(super) struct Write {
    pub(super) wishes: Vec<Wish>,
    pub(super) answer: oneshot::Sender<Result<(), WriteError>>,
}

/// Asks for changes of files; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Editor(mpsc::Sender<Write>);

/// What is asked for.
#[derive(Debug)]
pub(super) struct Requests(Option<mpsc::Receiver<Write>>);

/// Both ends.
pub(super) fn pair() -> (Editor, Requests) {
    let (asking, asked) = mpsc::channel(REQUESTS);
    (Editor(asking), Requests(Some(asked)))
}

impl Editor {
    /// Fulfils all wishes, or none; they are on the disk and in force when this returns.
    pub(crate) async fn write(&self, wishes: Vec<Wish>) -> Result<(), WriteError> {
        let (answer, answered) = oneshot::channel();
        self.0.send(Write { wishes, answer }).await.map_err(|_| WriteError::Stopped)?;
        answered.await.map_err(|_| WriteError::Stopped)?
    }
}

impl Requests {
    /// Nobody asks.
    pub(super) fn none() -> Self {
        Self(None)
    }

    /// The next one; never, if nobody asks (any more).
    pub(super) async fn next(&mut self) -> Write {
        let next = match &mut self.0 {
            Some(requests) => requests.recv().await,
            None => None,
        };
        match next {
            Some(write) => write,
            None => {
                self.0 = None;
                std::future::pending().await
            }
        }
    }
}
