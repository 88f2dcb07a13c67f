//! Copies of requests to another pool, whose answers nobody sees.
//!
//! LIFECYCLE of a copy: its body is kept beside the original's -> it is whole -> sent as a request of its own, with what
//! its pool says of plugins, retries and time-outs -> its answer is read and thrown away. The original waits for none of
//! this, and a worker that ends does not either.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::header::{EXPECT, UPGRADE};
use http::{HeaderName, HeaderValue};
use http_body_util::BodyExt;
use tokio::sync::oneshot;
use tokio::task::spawn_local;
use tokio::time::Instant;
use weir_proto::model::{PoolProtocol, ResourceName};

use super::attempt::Template;
use super::body::Source;
use super::connection::ClientConnection;
use super::exchange::Exchange;
use super::forward::Forward;
use super::tee::{Pieces, TooLarge};
use crate::plugin::session::Scene;
use crate::pool::Pool;

/// Names the pool that a copy is from.
pub const MIRRORED_FROM: HeaderName = HeaderName::from_static("x-weir-mirrored-from");

/// Most bytes of a body that is copied.
const MAX_BODY: usize = 64 << 10;

/// Most copies under way, of one mirror on one worker.
const MAX_IN_FLIGHT: usize = 128;

/// Why a request was not copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum NotMirrored {
    /// The other pool is not there, disabled, or of TCP.
    NoPool,
    /// Too many copies are under way.
    Busy,
    /// Its body is too large.
    TooLarge,
    /// Its body never came to an end.
    Incomplete,
    /// It asks for another protocol.
    Upgrade,
}

impl NotMirrored {
    /// Every reason, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::NoPool, Self::Busy, Self::TooLarge, Self::Incomplete, Self::Upgrade];

    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoPool => "no_pool",
            Self::Busy => "busy",
            Self::TooLarge => "too_large",
            Self::Incomplete => "incomplete",
            Self::Upgrade => "upgrade",
        }
    }
}

/// Copies that one mirror has under way on one worker.
#[derive(Debug, Default)]
pub struct InFlight(Cell<usize>);

/// One of them.
struct Slot(Rc<InFlight>);

impl Slot {
    fn take(in_flight: Rc<InFlight>) -> Result<Self, NotMirrored> {
        if in_flight.0.get() >= MAX_IN_FLIGHT {
            return Err(NotMirrored::Busy);
        }
        in_flight.0.set(in_flight.0.get() + 1);
        Ok(Self(in_flight))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.0.set(self.0.0.get() - 1);
    }
}

/// Sends a copy of `request`, as it is now, to the pool `to`, in a task of its own. Counted in the pool that it is from.
pub fn start(scene: &Scene<'_>, request: &Template, to: ResourceName, in_flight: Rc<InFlight>) {
    let copy = Copy {
        connection: scene.connection.copy(),
        from: scene.pool.clone(),
        template: template(request, &scene.pool.config.name),
        to,
    };
    if request.headers.contains_key(UPGRADE) {
        return copy.count(Err(NotMirrored::Upgrade));
    }
    let body = request.body.as_ref().map(|body| body.tee(MAX_BODY));
    spawn_local(copy.run(body, in_flight));
}

/// What the other pool gets; the body is still to come. Nothing in it keeps the original alive, whose body may never
/// come to its end.
fn template(request: &Template, from: &ResourceName) -> Template {
    let Template { method, uri, version, headers, id, origin, .. } = request;
    let mut headers = headers.clone();
    headers.remove(EXPECT);
    // Names of resources are legal values.
    if let Ok(from) = HeaderValue::try_from(from.to_string()) {
        headers.insert(MIRRORED_FROM, from);
    }
    let (method, uri) = (method.clone(), uri.clone());
    Template {
        method,
        uri,
        version: *version,
        headers,
        body: None,
        id: *id,
        origin: *origin,
        began: Instant::now(),
        patience: Duration::ZERO,
        trace: None,
    }
}

/// A copy of a request.
struct Copy {
    connection: Rc<ClientConnection>,
    from: Arc<Pool>,
    template: Template,
    to: ResourceName,
}

type Teed = oneshot::Receiver<Result<Pieces, TooLarge>>;

impl Copy {
    async fn run(mut self, body: Option<Teed>, in_flight: Rc<InFlight>) {
        let begun = self.begin(body, in_flight).await;
        self.count(begun.as_ref().map(|_| ()).map_err(|reason| *reason));
        if let Ok((number, slot)) = begun {
            self.send(number).await;
            drop(slot);
        }
    }

    fn count(&self, copied: Result<(), NotMirrored>) {
        let shard = self.from.runtime.shards.of(self.connection.worker.id);
        match copied {
            Ok(()) => shard.mirrored.increment(),
            Err(reason) => shard.not_mirrored[reason as usize].increment(),
        }
    }

    /// Waits for the body; then the number of the pool and a place among those under way.
    async fn begin(&mut self, body: Option<Teed>, in_flight: Rc<InFlight>) -> Result<(usize, Slot), NotMirrored> {
        if let Some(teed) = body {
            self.template.body = Some(whole(teed).await?);
        }
        self.template.began = Instant::now();
        let slot = Slot::take(in_flight)?;
        let pools = &self.connection.worker.table().pools;
        let takes_requests = |pool: &Arc<Pool>| pool.config.enabled && pool.config.protocol == PoolProtocol::Http;
        let number = pools.number(&self.to).filter(|number| pools.at(*number).is_some_and(takes_requests));
        Ok((number.ok_or(NotMirrored::NoPool)?, slot))
    }

    /// Gets an answer and reads it for nobody.
    async fn send(self, number: usize) {
        let mut exchange = Exchange::begin(self.connection, self.template.origin);
        exchange.enter_pool(number);
        let mut forward = Forward::new(exchange, self.template, None);
        forward.search_here().await;
        let mut body = forward.finish().into_body();
        // How it ends is counted where it is read.
        while let Some(Ok(_)) = body.frame().await {}
    }
}

async fn whole(teed: Teed) -> Result<Source, NotMirrored> {
    match teed.await {
        Ok(Ok(pieces)) => Ok(Source::whole(pieces)),
        Ok(Err(TooLarge)) => Err(NotMirrored::TooLarge),
        Err(_) => Err(NotMirrored::Incomplete),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_has_a_bounded_number_of_copies_under_way() {
        let in_flight = Rc::<InFlight>::default();
        let mut slots: Vec<Slot> = (0..MAX_IN_FLIGHT).map(|_| Slot::take(in_flight.clone()).ok().unwrap()).collect();
        assert_eq!(Slot::take(in_flight.clone()).err(), Some(NotMirrored::Busy));
        slots.pop();
        assert!(Slot::take(in_flight.clone()).is_ok());
        slots.clear();
        assert_eq!(in_flight.0.get(), 0);
    }
}
