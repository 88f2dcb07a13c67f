//! One request to ask how an application is, without the request path.

use std::future::poll_fn;

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::Empty;
use weir_proto::model::{EndpointAddress, ResourceName};

use super::backlog::Backlog;
use super::error::Error;
use super::params::Params;
use super::session::{Begin, Session};
use super::stderr::Tag;
use super::upload::Upload;
use crate::upstream::io::{UpstreamIo, WriteLimit};
use crate::upstream::stream::Stream;

/// What to ask.
#[derive(Debug, Clone)]
pub struct Probe<'a> {
    /// Of the Backend, for the log.
    pub backend: &'a ResourceName,
    /// The method.
    pub method: &'a Method,
    /// Path of the script, as the application sees it.
    pub script_filename: &'a str,
    /// `HTTP_HOST`; empty = none.
    pub host: &'a str,
    /// More variables, such as `HTTP_USER_AGENT`.
    pub variables: &'a [(String, String)],
}

/// Runs the script on a new connection to `address` and reads its answer to the end; gives its status. Whoever asks
/// limits the time; one that is dropped before its end is aborted.
///
/// # Errors
/// If there is no complete answer.
pub async fn probe(stream: Stream, address: &EndpointAddress, probe: &Probe<'_>) -> Result<StatusCode, Error> {
    let mut session = Session::new(UpstreamIo::new(stream, WriteLimit::default()));
    session.begin(Begin {
        params: environment(probe),
        upload: Upload::<Empty<Bytes>>::none(),
        keep: false,
        head_only: false,
        tag: Tag { backend: probe.backend.clone(), request: None },
        waiting: Some(Backlog::of(address).wait()),
    });
    let head = poll_fn(|cx| session.poll_head(cx)).await?;
    poll_fn(|cx| session.poll_end(cx)).await?;
    Ok(head.status)
}

fn environment(probe: &Probe<'_>) -> Bytes {
    let mut params = Params::default();
    let name = &probe.script_filename[probe.script_filename.rfind('/').unwrap_or(0)..];
    let mut push = |name: &str, value: &str| {
        // What is too large is left out: the application then says what it thinks of that.
        let _ = params.push(name, value.as_bytes());
    };
    push("GATEWAY_INTERFACE", "CGI/1.1");
    push("SERVER_PROTOCOL", "HTTP/1.1");
    push("REDIRECT_STATUS", "200");
    push("REQUEST_METHOD", probe.method.as_str());
    push("SCRIPT_FILENAME", probe.script_filename);
    push("SCRIPT_NAME", name);
    push("REQUEST_URI", name);
    push("QUERY_STRING", "");
    if !probe.host.is_empty() {
        push("HTTP_HOST", probe.host);
    }
    probe.variables.iter().for_each(|(name, value)| push(name, value));
    params.finish()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::super::params::tests::pairs;
    use super::super::record::tests::{end, said};
    use super::*;

    /// What a probe gives when this is said to it, and what it sent.
    async fn probed(said: Vec<u8>) -> (Result<StatusCode, Error>, Vec<(String, String)>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().into();
        let backend = "shop/app".parse().unwrap();
        let variables = [("HTTP_USER_AGENT".to_owned(), "weir-health-check".to_owned())];
        let ask = Probe {
            backend: &backend,
            method: &Method::GET,
            script_filename: "/srv/ping.php",
            host: "a",
            variables: &variables,
        };
        let answering = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut sent = Vec::new();
            while !sent.ends_with(&[1, 5, 0, 1, 0, 0, 0, 0]) {
                sent.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(&said).await.unwrap();
            sent
        };
        let asking = async { probe(Stream::connect(&address).await?, &address, &ask).await };
        let (status, sent) = tokio::join!(asking, answering);
        (status, pairs(&sent[16..sent.len() - 16]))
    }

    #[tokio::test]
    async fn h2_a_probe_runs_a_script_and_reads_its_status() {
        let answer = [said(6, b"Status: 503 Busy\n\nnot now", 0), end(0, 0)].concat();
        let (status, sent) = probed(answer).await;
        assert_eq!(status.unwrap(), StatusCode::SERVICE_UNAVAILABLE);
        for (name, value) in [
            ("SCRIPT_FILENAME", "/srv/ping.php"),
            ("SCRIPT_NAME", "/ping.php"),
            ("REQUEST_METHOD", "GET"),
            ("HTTP_HOST", "a"),
            ("HTTP_USER_AGENT", "weir-health-check"),
        ] {
            assert!(sent.contains(&(name.to_owned(), value.to_owned())), "{name}");
        }
    }

    #[tokio::test]
    async fn h2_an_answer_that_breaks_off_is_none() {
        let (status, _) = probed(said(6, b"Status: 200\n\nhal", 0)).await;
        assert!(matches!(status, Err(Error::Closed)));
    }
}
