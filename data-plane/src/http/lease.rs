//! An upstream connection on loan to one request.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use tokio::time::{Instant, timeout};
use weir_proto::model::Keepalive;

use crate::pool::{Endpoint, Pool};
use crate::reason::Reason;
use crate::upstream::{Connection, Incoming, Link};
use crate::worker::Worker;

/// Released when the response is complete; dropped otherwise, which closes the connection.
#[derive(Debug)]
pub struct Lease {
    /// Whose idle connections it goes back to.
    pub worker: Rc<Worker>,
    /// Where it leads.
    pub endpoint: Arc<Endpoint>,
    /// The connection.
    pub connection: Connection,
}

impl Lease {
    /// Gives the connection back, now or once it has finished with this request.
    pub fn release(self, pool: &Arc<Pool>) {
        if self.connection.is_ready() {
            return self.put(&pool.config.keepalive);
        }
        if self.connection.is_closed() {
            return;
        }
        let pool = pool.clone();
        tokio::task::spawn_local(async move {
            let mut lease = self;
            if lease.finished(&pool).await {
                lease.put(&pool.config.keepalive);
            }
        });
    }

    /// Waits until the upstream has finished with the request, too; whether the connection can serve another.
    async fn finished(&mut self, pool: &Pool) -> bool {
        match &mut self.connection.link {
            Link::Http(sender) => sender.ready().await.is_ok(),
            Link::Http2(_) => false,
            Link::FastCgi(session) => {
                let read = pool.config.timeouts.read;
                let ended =
                    if read.is_zero() { Ok(session.ended().await) } else { timeout(read, session.ended()).await };
                if let Ok(Err(_)) = ended {
                    // The client has its whole answer, but it was not what was announced.
                    pool.runtime.fail(&self.endpoint, Reason::BadResponse);
                }
                self.connection.is_ready()
            }
        }
    }

    fn put(mut self, keepalive: &Keepalive) {
        self.connection.idle_since = Instant::now();
        self.worker.idle.put(&self.endpoint, self.connection, keepalive);
    }
}

/// Reads `incoming` to its end for nobody, then gives the connection back. `until_then` is what counts
/// the request as running; it is dropped at the end.
pub async fn drain<T>(incoming: Incoming, lease: Lease, settings: Arc<Pool>, until_then: T) {
    match read_all(incoming, settings.config.timeouts.read).await {
        None => lease.release(&settings),
        Some(reason) => settings.runtime.fail(&lease.endpoint, reason),
    }
    drop(until_then);
}

/// Why the body did not come to its end, if it did not.
async fn read_all(mut incoming: Incoming, read_timeout: Duration) -> Option<Reason> {
    loop {
        let next = incoming.frame();
        let frame = if read_timeout.is_zero() { Ok(next.await) } else { timeout(read_timeout, next).await };
        match frame {
            Ok(Some(Ok(_))) => {}
            Ok(None) => return None,
            Ok(Some(Err(_))) => return Some(Reason::Reset),
            Err(_) => return Some(Reason::Timeout),
        }
    }
}
