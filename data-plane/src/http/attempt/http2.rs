//! A try at an endpoint that speaks HTTP/2.

use bytes::Bytes;
use http::header::{CONNECTION, HOST, TRANSFER_ENCODING, UPGRADE};
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Request, Response, StatusCode, Uri, Version};
use tokio::time::Instant;

use super::{Attempt, Unsent};
use crate::http::body::{Source, UpstreamBody};
use crate::http::failure::Failure;
use crate::http::limit::shorter;
use crate::http::request::Refusal;
use crate::upstream::h2::{Slot, Wish};
use crate::upstream::{Connection, Incoming};

/// How often a request goes to another connection, because that which it was sent on says that it has not looked at it: a
/// backend that closes each connection after so many requests refuses what was sent meanwhile.
const MOST_RESENT: u32 = 4;

impl Attempt {
    pub(super) async fn send_http2(&self) -> Result<(Response<Incoming>, Connection), Failure> {
        let mut resent = 0;
        loop {
            let mut connection = Connection::stream(self.slot().await?);
            connection.write_limit.set(self.pool.config.timeouts.write);
            match self.send_on(&mut connection, &Bytes::new()).await {
                Ok(response) => return Ok((response, connection)),
                Err(Unsent { replaceable: true, .. }) if resent < MOST_RESENT => resent += 1,
                Err(Unsent { failure, .. }) => return Err(failure),
            }
        }
    }

    async fn slot(&self) -> Result<Slot, Failure> {
        let (worker, config) = (&self.connection.worker, &self.pool.config);
        let connect = config.timeouts.connect;
        let now = Instant::now();
        let patience = shorter(connect, self.time_left(now));
        let wish = Wish { worker: worker.id, keepalive: &config.keepalive, connect, patience };
        let slot = worker.idle.shared.slot(self.in_flight.endpoint(), wish).await;
        if !slot.as_ref().is_ok_and(|slot| slot.reused) {
            self.note_connect(now, slot.as_ref().err().map(|error| &**error));
        }
        slot.map_err(|error| Failure::from(&*error))
    }

    pub(super) async fn send_stream(&self, slot: &Slot) -> Result<Response<hyper::body::Incoming>, Unsent> {
        let request = self.http2_request().map_err(|failure| Unsent { failure, replaceable: false })?;
        match slot.send(request).await {
            Ok(response) => Ok(response),
            Err(mut error) => {
                let never_written = error.take_message().is_some();
                Err(self.classify_http2(error.error(), never_written, slot.reused))
            }
        }
    }

    /// The same request as over HTTP/1.1: what is of a connection stays behind, and the host becomes the authority.
    fn http2_request(&self) -> Result<Request<UpstreamBody>, Failure> {
        let mut request = self.bare_request();
        *request.uri_mut() = self.http2_target(request.headers().get(HOST))?;
        *request.version_mut() = Version::HTTP_2;
        for name in [HOST, CONNECTION, TRANSFER_ENCODING, UPGRADE] {
            request.headers_mut().remove(name);
        }
        self.prepare_body();
        Ok(request)
    }

    /// Whatever the method, a stream that was not looked at may be sent again: its body is kept for that.
    fn prepare_body(&self) {
        let Some(body) = &self.template.body else { return };
        body.keep_at_most(self.pool.config.retry.buffer_limit);
        if let Some(gate) = body.gate() {
            // Nobody says that the upstream wants it: of a stream hyper tells no 100.
            gate.open();
        }
    }

    fn http2_target(&self, host: Option<&HeaderValue>) -> Result<Uri, Failure> {
        let authority = match host {
            Some(host) => Authority::try_from(host.as_bytes()).map_err(|_| Failure::Unfit(NO_AUTHORITY))?,
            None => Authority::from_static("localhost"),
        };
        let within_tls = self.in_flight.endpoint().terms().is_some();
        let mut parts = self.template.uri.clone().into_parts();
        parts.scheme = Some(if within_tls { Scheme::HTTPS } else { Scheme::HTTP });
        parts.authority = Some(authority);
        Uri::from_parts(parts).map_err(|_| Failure::Unfit(NO_AUTHORITY))
    }

    fn classify_http2(&self, error: &hyper::Error, never_written: bool, reused: bool) -> Unsent {
        let body = self.template.body.as_ref();
        if let Some(body) = body.filter(|body| body.client_failed()) {
            return Unsent { failure: Failure::of_client(body), replaceable: false };
        }
        let there_again = body.is_none_or(Source::is_replayable);
        let failure = match Failure::of_http2(error, never_written) {
            Failure::Unprocessed { .. } => Failure::Unprocessed { repeatable: there_again },
            failure => failure,
        };
        let died = matches!(failure, Failure::Reset { .. }) && reused;
        let repeatable = self.pool.policy.repeatable(&self.template.method) && there_again;
        let unprocessed = matches!(failure, Failure::Unprocessed { repeatable: true });
        Unsent { failure, replaceable: never_written || unprocessed || (died && repeatable) }
    }
}

const NO_AUTHORITY: Refusal = Refusal { status: StatusCode::BAD_REQUEST, text: "the Host header is no authority\n" };
