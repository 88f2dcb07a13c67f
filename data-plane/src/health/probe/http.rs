//! Probes of type HTTP: one request, whose status must be among those that pass.

use bytes::Bytes;
use http::header::{HOST, USER_AGENT};
use http::{HeaderMap, Method, Request, Response, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::task::spawn_local;
use tokio::time::{Instant, timeout_at};
use weir_proto::model::{HttpProbe, StatusMask};

use super::{AGENT, ProbeTarget, connect};
use crate::http::failure::Failure;
use crate::upstream::tls::Spoken;

/// A connection is used again if no more than this has to be read away.
const MOST_BODY: usize = 64 << 10;

/// Keeps its connection from probe to probe: a handshake costs several times as much as the request.
#[derive(Debug)]
pub(in crate::health) struct HttpProber {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    statuses: Vec<StatusMask>,
    connection: Option<SendRequest<Empty<Bytes>>>,
}

impl HttpProber {
    pub(super) fn new(target: &ProbeTarget, probe: &HttpProbe) -> Self {
        let HttpProbe { method, path, host, headers, statuses } = probe;
        let mut all = HeaderMap::new();
        all.insert(HOST, host.as_ref().unwrap_or(&target.host).clone());
        all.insert(USER_AGENT, AGENT);
        let own: HeaderMap = headers.iter().cloned().collect();
        all.extend(own);
        // The path was parsed when it came.
        let uri = path.parse().unwrap_or_default();
        Self { method: method.clone(), uri, headers: all, statuses: statuses.clone(), connection: None }
    }

    /// A kept connection may have died while it was idle, which says nothing: a new one decides then.
    pub(super) async fn run(&mut self, target: &ProbeTarget, deadline: Instant) -> Result<(), Failure> {
        if let Some(kept) = self.connection.take().filter(SendRequest::is_ready) {
            match self.ask(kept, deadline).await {
                Err(Failure::Reset { .. }) => {}
                outcome => return outcome,
            }
        }
        let stream = connect(target, Spoken::Http1, deadline).await?;
        let (sender, driver) = http1::handshake(TokioIo::new(stream)).await.map_err(|e| Failure::of(&e, true))?;
        spawn_local(driver);
        self.ask(sender, deadline).await
    }

    async fn ask(&mut self, mut sender: SendRequest<Empty<Bytes>>, deadline: Instant) -> Result<(), Failure> {
        let asking = sender.send_request(self.request());
        let response = timeout_at(deadline, asking).await.map_err(|_| Failure::Timeout)?;
        let response = response.map_err(|error| Failure::of(&error, false))?;
        let status = response.status().as_u16();
        if read_away(response, deadline).await {
            self.connection = Some(sender);
        }
        if self.statuses.iter().any(|mask| mask.matches(status)) { Ok(()) } else { Err(Failure::BadResponse) }
    }

    fn request(&self) -> Request<Empty<Bytes>> {
        let mut request = Request::new(Empty::new());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }
}

/// The status has decided; whether the body ends says only whether the connection can be kept.
async fn read_away(response: Response<Incoming>, deadline: Instant) -> bool {
    let body = Limited::new(response.into_body(), MOST_BODY).collect();
    matches!(timeout_at(deadline, body).await, Ok(Ok(_)))
}
