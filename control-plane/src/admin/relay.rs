//! Passes questions on to the admin servers of proxies, so that one page shows them all. Where these are is what the
//! proxies say themselves; only what people may see is passed on.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Body;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use percent_encoding::percent_decode_str;
use tokio::time::timeout;

use super::{JSON, Reply, TEXT, not_allowed, reply};
use crate::discovery::Nodes;

/// For a proxy to answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);
/// Most bytes of a question, and of an answer: the state of 30,000 pools is 30 MiB.
const LONGEST_QUESTION: usize = 64 << 10;
const LONGEST_ANSWER: usize = 128 << 20;

/// Why a body cannot be read.
pub(super) type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// Asks proxies.
#[derive(Debug, Clone)]
pub(super) struct Relay {
    nodes: Arc<Nodes>,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// Which proxy is asked what.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Question {
    node: String,
    /// Path and query there.
    path: String,
    method: Method,
}

/// Why there is no answer.
#[derive(Debug)]
struct Failed(StatusCode, String);

impl Failed {
    fn by(error: impl Display) -> Self {
        Self(StatusCode::BAD_GATEWAY, error.to_string())
    }
}

impl Relay {
    pub(super) fn new(nodes: Arc<Nodes>) -> Self {
        Self { nodes, client: Client::builder(TokioExecutor::new()).build(HttpConnector::new()) }
    }

    /// What this URL asks of which proxy, if it does.
    pub(super) fn question(&self, uri: &Uri) -> Option<Question> {
        let (node, path) = uri.path().strip_prefix("/api/v1/proxies/")?.split_once('/')?;
        let node = percent_decode_str(node).decode_utf8().ok()?.into_owned();
        let method = match path {
            "api/v1/explain" => Method::POST,
            "api/v1/overview" | "api/v1/pools" | "api/v1/orphans" => Method::GET,
            _ if path.starts_with("api/v1/pools/") => Method::GET,
            _ => return None,
        };
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        Some(Question { node, path: format!("/{path}{query}"), method })
    }

    /// What the proxy answers.
    pub(super) async fn ask<B>(&self, question: Question, request: Request<B>) -> Reply
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BodyError>,
    {
        if *request.method() != question.method {
            return not_allowed(if question.method == Method::POST { "POST" } else { "GET" });
        }
        let answer = timeout(ANSWERS_WITHIN, self.exchange(question, request.into_body())).await;
        let late = |_| Err(Failed(StatusCode::GATEWAY_TIMEOUT, format!("no answer within {ANSWERS_WITHIN:?}")));
        answer.unwrap_or_else(late).unwrap_or_else(|Failed(status, why)| reply(status, TEXT, why + "\n"))
    }

    async fn exchange<B>(&self, question: Question, body: B) -> Result<Reply, Failed>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BodyError>,
    {
        let Question { node, path, method } = question;
        let admin = self.nodes.admin(&node).ok_or_else(|| {
            Failed(StatusCode::NOT_FOUND, format!("no proxy {node} is connected that tells where its admin server is"))
        })?;
        let body = Limited::new(body, LONGEST_QUESTION).collect().await;
        let body = body.map_err(|error| Failed(StatusCode::BAD_REQUEST, error.to_string()))?.to_bytes();
        let request = Request::builder().method(method).uri(format!("http://{admin}{path}"));
        let request = request.header(CONTENT_TYPE, JSON).body(Full::new(body)).map_err(Failed::by)?;
        let answer = self.client.request(request).await;
        let (head, body) = answer.map_err(|error| Failed::by(format!("{node} at {admin}: {error}")))?.into_parts();
        let body = Limited::new(body, LONGEST_ANSWER).collect().await.map_err(Failed::by)?.to_bytes();
        let kind = head.headers.get(CONTENT_TYPE).cloned().unwrap_or(HeaderValue::from_static("text/plain"));
        Ok(reply(head.status, kind, body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[tokio::test]
    async fn only_what_people_may_see_is_asked_of_proxies() {
        let relay = Relay::new(Arc::new(Nodes::new(Arc::new(Metrics::new().unwrap()))));
        let of = |uri: &'static str| relay.question(&Uri::from_static(uri));
        let question = |node: &str, path: &str, method| Some(Question { node: node.into(), path: path.into(), method });
        assert_eq!(
            of("/api/v1/proxies/a%2Fb/api/v1/pools?limit=3"),
            question("a/b", "/api/v1/pools?limit=3", Method::GET)
        );
        assert_eq!(of("/api/v1/proxies/n/api/v1/pools/a/b"), question("n", "/api/v1/pools/a/b", Method::GET));
        assert_eq!(of("/api/v1/proxies/n/api/v1/explain"), question("n", "/api/v1/explain", Method::POST));
        for uri in
            ["/api/v1/proxies", "/api/v1/proxies/n", "/api/v1/proxies/n/metrics", "/api/v1/proxies/n/api/v1/poolsx"]
        {
            assert_eq!(of(uri), None, "{uri}");
        }
    }
}
