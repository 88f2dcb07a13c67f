//! One try: one request to one endpoint, until the head of its response.

mod fastcgi;
mod http2;

use std::borrow::Cow;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, Version};
use http_body::Body;
use hyper::client::conn::http1::SendRequest;
use tokio::sync::oneshot;
use tokio::time::Instant;
use weir_proto::model::ClientAbort;

use super::body::{Source, UpstreamBody};
use super::connection::ClientConnection;
use super::failure::Failure;
use super::framing;
use super::lease::{self, Lease};
use super::limit::{left, shorter};
use super::origin::Origin;
use super::request_id::RequestId;
use crate::pool::{InFlight, Pool};
use crate::trace::{Recorder, TRACEPARENT};
use crate::upstream::{self, ConnectError, Connection, Incoming, Link, Speaks};

/// What every try of a request sends; plugins may change it for one pool or one try.
#[derive(Debug, Clone)]
pub struct Template {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub uri: Uri,
    /// The client's version of HTTP.
    pub version: Version,
    /// Headers as the upstream shall see them.
    pub headers: HeaderMap,
    /// The body, if there is one.
    pub body: Option<Source>,
    /// Names the request in logs.
    pub id: RequestId,
    /// Who it is from.
    pub origin: Origin,
    /// When the request came.
    pub began: Instant,
    /// How long its client waits, if it says that; zero = as long as it takes.
    pub patience: Duration,
    /// Collects what is done for it, if it is sampled.
    pub trace: Option<Rc<Recorder>>,
}

impl Template {
    /// Of a request without a body, which comes now.
    #[must_use]
    pub fn of(head: Parts, id: RequestId, origin: Origin) -> Self {
        let Parts { method, uri, version, headers, .. } = head;
        let (began, patience) = (Instant::now(), Duration::ZERO);
        Self { method, uri, version, headers, body: None, id, origin, began, patience, trace: None }
    }
}

/// One try. Owns what it needs, as it may outlive its client (F6, `Ignore`).
#[derive(Debug)]
pub struct Attempt {
    /// Whose request it is. Held to the end, so that the worker waits for it.
    pub connection: Rc<ClientConnection>,
    /// Whose settings it follows.
    pub pool: Arc<Pool>,
    /// Where it goes.
    pub in_flight: InFlight,
    /// What it sends.
    pub template: Rc<Template>,
    /// When its endpoint was chosen.
    pub began: Instant,
    /// Names it as a span, if the request is sampled.
    pub traceparent: Option<HeaderValue>,
}

/// The head of a response.
#[derive(Debug)]
pub struct Answer {
    /// Head, and the body to come.
    pub response: Response<Incoming>,
    /// The connection it comes on.
    pub lease: Lease,
    /// Where it comes from.
    pub in_flight: InFlight,
    /// Time since the endpoint was chosen.
    pub after: Duration,
}

/// A try that failed, and where.
#[derive(Debug)]
pub struct Failed {
    /// What happened.
    pub failure: Failure,
    /// Where.
    pub in_flight: InFlight,
}

impl Failed {
    /// Counts the failure, if it is the upstream's.
    pub fn count(&self, pool: &Pool) {
        if self.failure.is_of_upstream() {
            pool.runtime.fail(self.in_flight.endpoint(), self.failure.reason());
        }
    }
}

impl Attempt {
    /// Runs the try; with `onClientAbort: Ignore` it goes on when the caller is dropped.
    ///
    /// # Errors
    /// If there is no response head.
    pub async fn run(self) -> Result<Answer, Failed> {
        match self.pool.config.on_client_abort {
            ClientAbort::Close => self.run_here().await,
            ClientAbort::Ignore => self.run_detached().await,
        }
    }

    async fn run_detached(self) -> Result<Answer, Failed> {
        let (answer, waiting) = oneshot::channel();
        tokio::task::spawn_local(async move {
            let (pool, connection) = (self.pool.clone(), self.connection.clone());
            match answer.send(self.run_here().await) {
                // Nobody waits any more: the upstream still gets to finish its response.
                Err(Ok(Answer { response, lease, in_flight, .. })) => {
                    lease::drain(response.into_body(), lease, pool, (in_flight, connection)).await;
                }
                Err(Err(failed)) => failed.count(&pool),
                Ok(()) => {}
            }
        });
        match waiting.await {
            Ok(result) => result,
            // The task cannot end without sending, short of a panic in it, which is passed on here.
            Err(closed) => std::panic::panic_any(closed.to_string()),
        }
    }

    async fn run_here(self) -> Result<Answer, Failed> {
        let sent = self.send().await;
        let after = self.began.elapsed();
        self.note_latency(&sent, self.began + after, after);
        self.note_end(&sent, self.began + after);
        match sent {
            Ok((response, connection)) => {
                let endpoint = self.in_flight.endpoint().clone();
                let lease = Lease { worker: self.connection.worker.clone(), endpoint, connection };
                Ok(Answer { response, lease, in_flight: self.in_flight, after })
            }
            Err(failure) => Err(Failed { failure, in_flight: self.in_flight }),
        }
    }

    /// For `PeakEwma` only. A time-out is a latency, too; other failures say nothing about it.
    fn note_latency<T>(&self, sent: &Result<T, Failure>, now: Instant, after: Duration) {
        if self.pool.policy.tracks_latency && matches!(sent, Ok(_) | Err(Failure::Timeout)) {
            self.in_flight.endpoint().latency.observe(now, after);
        }
    }

    /// For the trace, if there is one.
    fn note_end<T>(&self, sent: &Result<(Response<T>, Connection), Failure>, at: Instant) {
        let Some(trace) = &self.template.trace else { return };
        match sent {
            Ok((response, _)) => trace.attempt_answered(response.status().as_u16(), at),
            Err(failure) => trace.attempt_failed(failure.reason()),
        }
    }

    async fn send(&self) -> Result<(Response<Incoming>, Connection), Failure> {
        let (idle, endpoint) = (&self.connection.worker.idle, self.in_flight.endpoint());
        let environment = match &endpoint.speaks {
            Speaks::Http1 => Bytes::new(),
            Speaks::FastCgi(application) => self.environment(application)?,
            // Boxed, as the future of every request would grow.
            Speaks::Http2 => return Box::pin(self.send_http2()).await,
        };
        let mut connection = match idle.take(endpoint, &self.pool.config.keepalive, self.began) {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        loop {
            connection.write_limit.set(self.pool.config.timeouts.write);
            match self.send_on(&mut connection, &environment).await {
                Ok(response) => return Ok((response, connection)),
                // F3: it died while idle. Its replacement is new, so this happens once.
                Err(Unsent { replaceable: true, .. }) if connection.reused => connection = self.connect().await?,
                Err(Unsent { failure, .. }) => return Err(failure),
            }
        }
    }

    async fn connect(&self) -> Result<Connection, Failure> {
        let now = Instant::now();
        let limit = shorter(self.pool.config.timeouts.connect, self.time_left(now));
        let connected = upstream::connect(self.connection.worker.id, self.in_flight.endpoint(), limit, now).await;
        self.note_connect(now, connected.as_ref().err());
        Ok(connected?)
    }

    /// For the trace, if there is one.
    fn note_connect(&self, since: Instant, error: Option<&ConnectError>) {
        if let Some(trace) = &self.template.trace {
            trace.connected(since, error.map(|error| Failure::from(error).reason()));
        }
    }

    async fn send_on(&self, connection: &mut Connection, environment: &Bytes) -> Result<Response<Incoming>, Unsent> {
        let reused = connection.reused;
        // A connection that was idle is sent on at once; a new one took time to make.
        let began = if reused { self.began } else { Instant::now() };
        let sent = match &mut connection.link {
            Link::Http(sender) => {
                let sent = self.head_in_time(began, self.send_http(sender)).await;
                sent.map(|sent| sent.map(|response| response.map(Incoming::Http)))
            }
            Link::FastCgi(session) => {
                // Boxed, as the future of every request would grow.
                let sending = Box::pin(self.send_fastcgi(session, environment.clone(), reused));
                let sent = self.head_in_time(began, sending).await;
                sent.map(|sent| sent.map(|response| response.map(Incoming::FastCgi)))
            }
            Link::Http2(slot) => {
                let sent = self.head_in_time(began, Box::pin(self.send_stream(slot))).await;
                sent.map(|sent| sent.map(|response| response.map(Incoming::Http)))
            }
        };
        sent.unwrap_or_else(|failure| Err(Unsent { failure, replaceable: false }))
    }

    async fn send_http(
        &self,
        sender: &mut SendRequest<UpstreamBody>,
    ) -> Result<Response<hyper::body::Incoming>, Unsent> {
        match sender.try_send_request(self.request()).await {
            // With a length there is no coding, and most have one.
            Ok(response)
                if response.body().size_hint().exact().is_none() && framing::has_unknown_coding(response.headers()) =>
            {
                Err(Unsent { failure: Failure::BadResponse, replaceable: false })
            }
            Ok(response) => Ok(response),
            Err(mut error) => {
                let never_written = error.take_message().is_some();
                Err(self.classify(error.error(), never_written))
            }
        }
    }

    fn request(&self) -> Request<UpstreamBody> {
        let mut request = self.bare_request();
        if let Some(gate) = self.template.body.as_ref().and_then(Source::gate) {
            gate.open_on_continue(&mut request);
        }
        request
    }

    /// The request, whose body nobody has asked for yet.
    fn bare_request(&self) -> Request<UpstreamBody> {
        let Template { method, uri, body, .. } = &*self.template;
        let mut request = Request::new(body.as_ref().map_or(UpstreamBody::Empty, Source::stream));
        *request.method_mut() = method.clone();
        *request.uri_mut() = uri.clone();
        *request.headers_mut() = self.headers().into_owned();
        request
    }

    /// Those of the template, with the name of this try if somebody records it.
    fn headers(&self) -> Cow<'_, HeaderMap> {
        let mut headers = Cow::Borrowed(&self.template.headers);
        if let Some(traceparent) = &self.traceparent {
            headers.to_mut().insert(TRACEPARENT, traceparent.clone());
        }
        headers
    }

    fn classify(&self, error: &hyper::Error, never_written: bool) -> Unsent {
        let body = self.template.body.as_ref();
        if let Some(body) = body.filter(|body| body.client_failed()) {
            return Unsent { failure: Failure::of_client(body), replaceable: false };
        }
        let failure = Failure::of(error, never_written);
        // Sent twice, a request that is not idempotent may act twice (RFC 9110, 9.2.2).
        let repeatable = self.pool.policy.repeatable(&self.template.method) && body.is_none_or(Source::is_replayable);
        let died = matches!(failure, Failure::Reset { .. });
        Unsent { failure, replaceable: never_written || (died && repeatable) }
    }

    /// Waits for the response head. `timeouts.read` starts anew while the body makes progress;
    /// `retry.perTry` and `timeouts.request` do not.
    async fn head_in_time<T>(&self, began: Instant, sending: impl Future<Output = T>) -> Result<T, Failure> {
        let mut sending = pin!(sending);
        let hard = shorter(self.pool.config.retry.per_try, self.time_left(began));
        let hard_end = (!hard.is_zero()).then(|| began + hard);
        let mut waits_since = began;
        loop {
            let soft = self.pool.config.timeouts.read;
            let soft_end = (!soft.is_zero()).then(|| waits_since + soft);
            let Some(end) = [hard_end, soft_end].into_iter().flatten().min() else {
                return Ok(sending.await);
            };
            let progress = self.body_progress();
            if let Some(done) = self.connection.alarms.before(end, sending.as_mut()).await {
                return Ok(done);
            }
            waits_since = Instant::now();
            let out_of_time = hard_end.is_some_and(|end| waits_since >= end);
            if out_of_time || self.body_progress() == progress {
                return Err(self.timed_out(out_of_time));
            }
        }
    }

    fn timed_out(&self, out_of_time: bool) -> Failure {
        let waits_for_client = self.template.body.as_ref().is_some_and(Source::waits_for_client);
        if waits_for_client && !out_of_time { Failure::ClientStalled } else { Failure::Timeout }
    }

    fn body_progress(&self) -> u64 {
        self.template.body.as_ref().map_or(0, Source::progress)
    }

    /// What is left of `timeouts.request`; zero = no limit.
    fn time_left(&self, now: Instant) -> Duration {
        let limit = shorter(self.pool.config.timeouts.request, self.template.patience);
        left(limit, now.saturating_duration_since(self.template.began))
    }
}

/// A send without a response head.
struct Unsent {
    failure: Failure,
    /// A new connection may be tried in place of a reused one.
    replaceable: bool,
}
