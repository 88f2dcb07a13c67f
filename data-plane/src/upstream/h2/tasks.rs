//! Where the tasks of a connection run: on its own worker.

use std::rc::Rc;

use hyper::rt::Executor;
use tokio::task::spawn_local;

use crate::upstream::connect::Open;

/// Runs tasks of one connection, which is open as long as one of them runs.
#[derive(Debug, Clone)]
pub(super) struct Tasks(pub(super) Rc<Open>);

impl<F: Future + 'static> Executor<F> for Tasks {
    fn execute(&self, task: F) {
        let open = self.0.clone();
        spawn_local(async move {
            task.await;
            drop(open);
        });
    }
}
