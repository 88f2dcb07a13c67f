//! The way of one connection through the proxy, step by step.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::TcpStream;
use tracing::debug;

use super::direction::{Direction, Fault, Tally};
use super::pace::Pace;
use super::search::{Search, Upstream};
use super::session::Session;
use crate::http::connection::ClientConnection;
use crate::reason::Reason;
use crate::tunnel::{self, Broken, Movement};
use crate::upstream::stream::Stream;
use crate::upstream::transport::Transport;

/// Serves a client's connection until it ends.
pub async fn serve(client: TcpStream, connection: Rc<ClientConnection>) {
    let mut session = Session::begin(connection);
    match Search::new(&mut session, &client).run().await {
        Ok(mut upstream) => {
            session.join(upstream.in_flight.endpoint().clone());
            let mut client = Transport::Plain(Stream::Tcp(client));
            let ended = pass(&session, &mut client, &mut upstream).await;
            session.reason = end(ended, &client, &upstream.stream);
        }
        // The client sees its connection closed, which is all that this protocol can say.
        Err(reason) => session.refuse(reason),
    }
}

/// Which side's bytes broke off, and how.
#[derive(Debug, thiserror::Error)]
enum Cut {
    #[error("the client's side: {0}")]
    Client(io::Error),
    #[error("the backend's side: {0}")]
    Upstream(io::Error),
}

/// Ends both sides, and says why if it is no proper end. A stream that broke off must not look complete to the other
/// side: it is closed with a reset.
fn end(ended: Result<Option<Reason>, Broken<Cut>>, client: &Transport, upstream: &Transport) -> Option<Reason> {
    match ended {
        Ok(reason) => reason,
        Err(Broken::Silent) => Some(Reason::Timeout),
        Err(Broken::Failed(cut)) => {
            debug!(%cut, "a connection broke off");
            let (other, reason) = match cut {
                Cut::Client(_) => (upstream, Reason::ClientAbort),
                Cut::Upstream(_) => (client, Reason::Reset),
            };
            if let Stream::Tcp(stream) = other.socket() {
                // Of a socket that is gone already there is nothing to reset.
                let _ = stream.set_zero_linger();
            }
            Some(reason)
        }
    }
}

/// Passes bytes both ways; gives the reason if one side took no more.
async fn pass(
    session: &Session,
    client: &mut Transport,
    upstream: &mut Upstream,
) -> Result<Option<Reason>, Broken<Cut>> {
    let endpoint = upstream.in_flight.endpoint().clone();
    let shard = endpoint.shards.of(session.worker());
    let (movement, refused) = (Movement::default(), Cell::new(None));
    let (from_client, to_client) = client.split();
    let (from_upstream, to_upstream) = upstream.stream.split();
    let direction = |from, to, tally| Direction { from, to, tally, buffers: session.buffers(), pace: Pace::default() };
    let tally = |endpoint, connection| Tally { endpoint, connection, movement: &movement };
    let there = direction(from_client, to_upstream, tally(&shard.bytes_upstream, &session.upstream));
    let back = direction(from_upstream, to_client, tally(&shard.bytes_downstream, &session.downstream));
    let there = async { judge(there.run().await, Cut::Client, Reason::Reset, &refused) };
    let back = async { judge(back.run().await, Cut::Upstream, Reason::ClientAbort, &refused) };
    let idle = session.pool().map_or(Duration::ZERO, |pool| pool.config.timeouts.idle);
    tunnel::join(idle, &movement, there, back).await?;
    Ok(refused.get())
}

/// What the end of a direction means. A side that takes no more may still have something to say, and ends by itself.
fn judge(
    ended: Result<(), Fault>,
    cut: fn(io::Error) -> Cut,
    takes_no_more: Reason,
    refused: &Cell<Option<Reason>>,
) -> Result<(), Cut> {
    match ended {
        Ok(()) => Ok(()),
        Err(Fault::From(error)) => Err(cut(error)),
        Err(Fault::To(error)) => {
            debug!(%error, reason = takes_no_more.as_str(), "a side takes no more");
            refused.set(Some(takes_no_more));
            Ok(())
        }
    }
}
