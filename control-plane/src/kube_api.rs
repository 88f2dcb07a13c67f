//! The Kubernetes resource protocol for the resources of a folder, as far as kubectl and other clients go: discovery,
//! schemas, get, list, watch, create, replace, patch, delete. What a change comes to is written into the user's files
//! and in force before it is answered.
//!
//! The way of a request: [`access`] -> [`route`] -> [`read`], [`watch`] or [`write`] -> [`reply`].

pub(crate) mod access;
mod body;
mod candidate;
mod discovery;
mod kinds;
mod list;
mod openapi;
mod patch;
mod query;
mod read;
mod refusal;
mod reply;
mod route;
mod selector;
mod table;
mod watch;
mod write;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use access::Access;
use hyper::body::Incoming;
use hyper::{Method, Request};
use query::Query;
use refusal::Refusal;
pub(crate) use reply::Reply;
use route::{Collection, Route};
use tokio::sync::{Mutex, watch as channel};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use weir_proto::page::Changes;

use crate::objects::Objects;
use crate::snapshot::Snapshot;
use crate::source::file::Editor;

/// Who asks before the folder has been looked at waits so long.
const READY_WITHIN: Duration = Duration::from_secs(5);

/// The API of a control plane.
#[derive(Debug)]
pub(crate) struct KubeApi {
    files: Result<Arc<Files>, Absent>,
    /// Streams end with it.
    stop: CancellationToken,
}

/// Why there is no API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Absent {
    /// Resources come from a cluster, which has its own.
    Cluster,
    /// Others than this machine could reach it, and there is no token.
    Open,
}

/// The folder, and who may get at it.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) access: Access,
    pub(crate) folder: PathBuf,
    pub(crate) objects: Arc<Objects>,
    pub(crate) editor: Editor,
    pub(crate) snapshot: channel::Receiver<Option<Arc<Snapshot>>>,
    /// Writers come one after the other, so that each sees what the one before has done.
    pub(crate) writing: Mutex<()>,
}

impl Files {
    /// Waits a while for the first look at the folder.
    async fn ready(&self) -> Result<(), Refusal> {
        let mut snapshot = self.snapshot.clone();
        let ready = timeout(READY_WITHIN, snapshot.wait_for(Option::is_some)).await;
        if matches!(ready, Ok(Ok(_))) { Ok(()) } else { Err(Refusal::starting()) }
    }
}

impl KubeApi {
    pub(crate) fn new(files: Result<Files, Absent>, stop: CancellationToken) -> Self {
        Self { files: files.map(Arc::new), stop }
    }

    /// Whether a path is of this API.
    pub(crate) fn serves(path: &str) -> bool {
        let is_below =
            |root: &str| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        path == "/api"
            || path == "/version"
            || is_below("/apis")
            || is_below("/openapi")
            || is_below("/api/v1/namespaces")
    }

    /// Who can change resources here.
    pub(crate) fn changes(&self) -> Changes {
        match self.files.as_ref().map(|files| &files.access) {
            Err(_) => Changes::No,
            Ok(Access::Loopback) => Changes::Yes,
            Ok(Access::Token(_)) => Changes::Token,
        }
    }

    /// Answers any request.
    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Reply {
        match self.try_answer(request).await {
            Ok(reply) => reply,
            Err(refusal) => reply::refused(&refusal),
        }
    }

    async fn try_answer(&self, request: Request<Incoming>) -> Result<Reply, Refusal> {
        let files = self.files.as_ref().map_err(|absent| match absent {
            Absent::Cluster => {
                Refusal::not_found("this API is there in file mode only: ask the API server of the cluster")
            }
            Absent::Open => Refusal::forbidden(
                "this API needs --api-token-file, or an address on loopback: others than this machine could reach it",
            ),
        })?;
        files.access.admit(&request)?;
        let route = Route::of(request.uri().path())?;
        let query = Query::of(&request)?;
        files.ready().await?;
        match (route, request.method()) {
            (Route::Document(document), &Method::GET | &Method::HEAD) => Ok(reply::json(&document())),
            (Route::Namespace(name), &Method::GET | &Method::HEAD) => Ok(reply::json(&discovery::namespace(&name))),
            (Route::Collection(all), &Method::GET) if query.watch => watch::start(files, &all, &query, &self.stop),
            (Route::Object(key), &Method::GET) if query.watch => {
                watch::start(files, &Collection::of(&key), &query.only(&key), &self.stop)
            }
            (Route::Collection(all), &Method::GET | &Method::HEAD) => read::list(files, &all, &query),
            (Route::Object(key), &Method::GET | &Method::HEAD) => read::get(files, &key, &query),
            (Route::Collection(all), &Method::POST) => write::create(files, &all, &query, request).await,
            (Route::Object(key), &Method::PUT) => write::replace(files, &key, &query, request).await,
            (Route::Object(key), &Method::PATCH) => patch::patch(files, &key, &query, request).await,
            (Route::Object(key), &Method::DELETE) => write::delete(files, &key, &query, request).await,
            (Route::Group, &Method::GET | &Method::HEAD) => Ok(reply::json(&discovery::resources())),
            (Route::Group, &Method::POST) => list::apply(files, &query, request).await,
            (route, _) => Err(Refusal::method_not_allowed(route.methods())),
        }
    }
}
