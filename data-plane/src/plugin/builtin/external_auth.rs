//! `ExternalAuth`: lets requests in that another server lets in. It is asked with a GET for each; 2xx lets the request in,
//! anything else is the answer to the client. Without an answer the plugin fails, and its failure policy decides.

mod answer;
mod question;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, Request, Response};
use http_body_util::Empty;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};
use weir_proto::model::plugin::param;

use crate::causes::chain;
use crate::plugin::client::{self, Client};
use crate::plugin::local::LocalKey;
use crate::plugin::says::suppose;
use crate::plugin::{Cause, Failure, Flow, Hooks, Resumed, Session, Stage, Step, Waiting};

/// Beyond the time for an answer: what has been answered must never be taken for a failure.
const SLACK: Duration = Duration::from_secs(1);

/// The type.
#[derive(Debug)]
pub(super) struct ExternalAuth {
    param: Arc<param::ExternalAuth>,
    /// A client on each worker.
    clients: LocalKey,
}

impl ExternalAuth {
    pub(super) fn new(param: param::ExternalAuth) -> Self {
        client::prepare();
        Self { param: Arc::new(param), clients: LocalKey::default() }
    }
}

async fn ask(
    client: Rc<Client>,
    question: Request<Empty<Bytes>>,
    param: Arc<param::ExternalAuth>,
) -> Result<Resumed, Failure> {
    let deadline = Instant::now() + param.timeout;
    let late = |_| Failure::new(Cause::Timeout, format!("{} gives no answer in {:?}", param.url, param.timeout));
    let response = timeout_at(deadline, send(&client, &question)).await.map_err(late)??;
    Ok(answer::conclude(response, deadline, &param).await)
}

/// Once more, if a connection that was kept ends just then: that says nothing about the server.
async fn send(client: &Client, question: &Request<Empty<Bytes>>) -> Result<Response<Incoming>, Failure> {
    let first = client.request(question.clone()).await;
    let answer = match first {
        Err(error) if !error.is_connect() => client.request(question.clone()).await,
        answer => answer,
    };
    answer.map_err(|e| Failure::new(Cause::Unavailable, format!("{}: {}", question.uri(), chain(&e))))
}

impl Stage for ExternalAuth {
    fn hooks(&self) -> Hooks {
        Hooks { pre: true, ..Hooks::default() }
    }

    fn dry(&self) -> Option<Arc<dyn Stage>> {
        Some(Arc::new(Dry(self.param.clone())))
    }

    fn wait_limit(&self) -> Option<Duration> {
        Some(self.param.timeout + SLACK)
    }

    fn own_headers(&self) -> &[HeaderName] {
        &self.param.response_headers
    }

    fn pre(&self, session: &mut Session<'_>) -> Step {
        let client = session.worker().locals.get(&self.clients, || Ok(client::new()))?;
        let question = question::of(session, &self.param)?;
        Ok(Flow::Wait(Waiting(Box::pin(ask(client, question, self.param.clone())))))
    }
}

/// The same without a question: as if the answer were that the request may come in.
#[derive(Debug)]
struct Dry(Arc<param::ExternalAuth>);

impl Stage for Dry {
    fn hooks(&self) -> Hooks {
        Hooks { pre: true, ..Hooks::default() }
    }

    fn own_headers(&self) -> &[HeaderName] {
        &self.0.response_headers
    }

    fn pre(&self, session: &mut Session<'_>) -> Step {
        question::of(session, &self.0)?;
        suppose(&format!("{} would be asked, and would let the request in", self.0.url));
        Ok(Flow::GoOn)
    }
}
