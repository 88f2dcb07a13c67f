//! HTTP/1.1 with a client, request after request.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::rc::Rc;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::debug;

use super::client_io::{ClientIo, Watch};
use super::drive;
use crate::http::activity::Activity;
use crate::http::connection::ClientConnection;
use crate::http::framing::HeadWatch;
use crate::http::response::ReplyBody;
use crate::http::serve;
use crate::reason::Reason;

/// Serves `stream`, from which `first` was read, until it ends or is told to.
pub(super) async fn run<S>(stream: S, first: Bytes, connection: Rc<ClientConnection>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let io = ClientIo::new(stream, first, connection.handle.activity.clone(), HeadWatch::default());
    let service = service_fn(|request| answer(connection.clone(), request));
    let mut server = http1::Builder::new();
    // Silent clients are found by the worker's sweep, which arms no timer per request.
    server.max_buf_size(connection.worker.shared.limits.head_buffer()).header_read_timeout(None);
    let serving = pin!(server.serve_connection(TokioIo::new(io), service).with_upgrades());
    if let Err(error) = drive(serving, &connection.handle, |serving| serving.graceful_shutdown()).await {
        note(&connection, &error);
    }
}

async fn answer(
    connection: Rc<ClientConnection>,
    request: Request<Incoming>,
) -> Result<Response<ReplyBody>, Infallible> {
    let (worker, number, is_last) = (connection.worker.clone(), connection.number.get(), connection.count_request());
    let mut response = serve::serve(connection, request).await;
    if (is_last || worker.shared.drain.is_turn_of(number)) && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

/// hyper answered 400, 414 or 431 by itself: count it like our own.
fn note(connection: &ClientConnection, error: &hyper::Error) {
    debug!(%error, client = %connection.peer, "a connection ended");
    if error.is_parse() {
        let worker = &connection.worker;
        let unrouted = worker.shared.stats.unrouted.of(worker.id);
        unrouted.responses[3].increment();
        let reason = if error.is_parse_too_large() { Reason::TooLarge } else { Reason::BadRequest };
        unrouted.reasons[reason as usize].increment();
    }
}

impl Watch for HeadWatch {
    /// Watches request heads as they come in.
    fn read(&mut self, activity: &Activity, bytes: &[u8]) -> io::Result<()> {
        if !activity.is_busy() {
            if activity.head_begins() {
                self.next_message();
            }
            self.observe(bytes);
            activity.set_has_length(self.has_length());
        }
        Ok(())
    }
}
