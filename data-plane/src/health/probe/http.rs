//! Probes of type HTTP: one request, whose status must be among those that pass.

use bytes::Bytes;
use http::header::{HOST, USER_AGENT};
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};
use weir_proto::model::{HttpProbe, StatusMask};

use super::sender::Sender;
use super::{AGENT, ProbeTarget, connect};
use crate::http::failure::Failure;

/// A connection is used again if no more than this has to be read away.
const MOST_BODY: usize = 64 << 10;

/// Keeps its connection from probe to probe: a handshake costs several times as much as the request.
#[derive(Debug)]
pub(in crate::health) struct HttpProber {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    statuses: Vec<StatusMask>,
    connection: Option<Sender>,
}

impl HttpProber {
    pub(super) fn new(target: &ProbeTarget, probe: &HttpProbe) -> Self {
        let HttpProbe { method, path, host, headers, statuses } = probe;
        let mut all = HeaderMap::new();
        let host = host.as_ref().unwrap_or(&target.host);
        if !target.http2 {
            all.insert(HOST, host.clone());
        }
        all.insert(USER_AGENT, AGENT);
        let own: HeaderMap = headers.iter().cloned().collect();
        all.extend(own);
        // The path was parsed when it came.
        let path: Uri = path.parse().unwrap_or_default();
        let uri = if target.http2 { absolute(&path, host, target.tls.is_some()) } else { path };
        Self { method: method.clone(), uri, headers: all, statuses: statuses.clone(), connection: None }
    }

    /// A kept connection may have died while it was idle, which says nothing: a new one decides then.
    pub(super) async fn run(&mut self, target: &ProbeTarget, deadline: Instant) -> Result<(), Failure> {
        if let Some(kept) = self.connection.take().filter(Sender::is_ready) {
            match self.ask(kept, deadline).await {
                Err(Failure::Reset { .. } | Failure::Unprocessed { .. }) => {}
                outcome => return outcome,
            }
        }
        let stream = connect(target, Sender::spoken(target), deadline).await?;
        self.ask(Sender::start(target, stream).await?, deadline).await
    }

    async fn ask(&mut self, mut sender: Sender, deadline: Instant) -> Result<(), Failure> {
        let asking = sender.send(self.request());
        let response = timeout_at(deadline, asking).await.map_err(|_| Failure::Timeout)??;
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

/// The target as HTTP/2 has it.
fn absolute(path: &Uri, host: &HeaderValue, within_tls: bool) -> Uri {
    let scheme = if within_tls { Scheme::HTTPS } else { Scheme::HTTP };
    let path = path.path_and_query().map_or("/", PathAndQuery::as_str);
    Uri::builder().scheme(scheme).authority(host.as_bytes()).path_and_query(path).build().unwrap_or_default()
}

/// The status has decided; whether the body ends says only whether the connection can be kept.
async fn read_away(response: Response<Incoming>, deadline: Instant) -> bool {
    let body = Limited::new(response.into_body(), MOST_BODY).collect();
    matches!(timeout_at(deadline, body).await, Ok(Ok(_)))
}
