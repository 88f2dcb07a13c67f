//! Where resources come from. A source watches something and tells every change as an [`Event`].

pub mod any;
pub mod file;
pub mod kubernetes;

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use weir_proto::model::{Key, Kind};

use crate::api::{BackendSpec, PluginSpec, PoolSpec};
use crate::contents::{ContentKey, Told};
use crate::finding::{Finding, Place};
use crate::keep::Keep;
use crate::manifest::Origin;
use crate::services::ServiceEvent;

/// A resource as its user wrote it; it keeps every rule of its schema.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// Which resource.
    pub key: Key,
    /// What the user wants.
    pub spec: Spec,
    /// `metadata.generation`; none in file mode without an API.
    pub generation: Option<i64>,
    /// Where it is written, if that is a file.
    pub origin: Option<Arc<Origin>>,
}

/// The specification of one kind, shared by all who look at it.
#[derive(Debug, Clone, PartialEq)]
pub enum Spec {
    /// Of a Pool.
    Pool(Arc<PoolSpec>),
    /// Of a Backend.
    Backend(Arc<BackendSpec>),
    /// Of a Plugin.
    Plugin(Arc<PluginSpec>),
}

/// A resource that is there, with or without a usable body.
#[derive(Debug, Clone, PartialEq)]
pub enum Given {
    /// Usable.
    Object(Object),
    /// Known by name, but broken: its last good version, if any, stays in force.
    Broken {
        /// Which resource.
        key: Key,
        /// `metadata.generation` of the broken version; none in file mode without an API.
        generation: Option<i64>,
        /// What is wrong; never empty.
        findings: Vec<Finding>,
        /// Where it is written, if that is a file.
        origin: Option<Arc<Origin>>,
    },
}

impl Given {
    /// Which resource.
    #[must_use]
    pub fn key(&self) -> &Key {
        match self {
            Self::Object(object) => &object.key,
            Self::Broken { key, .. } => key,
        }
    }

    /// Where it is written, if that is a file.
    #[must_use]
    pub fn origin(&self) -> Option<&Arc<Origin>> {
        match self {
            Self::Object(object) => object.origin.as_ref(),
            Self::Broken { origin, .. } => origin.as_ref(),
        }
    }

    /// Gives it its `metadata.generation`.
    pub(crate) fn set_generation(&mut self, new: i64) {
        let (Self::Object(Object { generation, .. }) | Self::Broken { generation, .. }) = self;
        *generation = Some(new);
    }

    /// Where it begins, if that is in a file.
    #[must_use]
    pub fn place(&self) -> Option<Place> {
        match self {
            Self::Object(object) => object.origin.as_ref().map(|origin| origin.place("")),
            Self::Broken { findings, .. } => findings.first()?.place.clone(),
        }
    }
}

/// A change.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A resource is new or changed.
    Apply(Given),
    /// A resource is gone.
    Delete(Key),
    /// These are all the resources of a kind: others are gone. The first one makes the kind complete, and
    /// nothing is published before every kind is.
    Reset(Kind, Vec<Given>),
    /// These are all the resources of a kind in a namespace, once the kind is complete: others there are gone.
    ResetIn(Kind, Arc<str>, Vec<Given>),
    /// Something about Services is new; only a cluster has them.
    Service(ServiceEvent),
    /// Something about a Secret or ConfigMap is new. In a cluster only those are told that were asked for, elsewhere
    /// all there are, not later than the first lists.
    Content(ContentKey, Told),
    /// What is wrong with a place apart from the resources that are in force; empty = nothing any more.
    Problems(String, Vec<Finding>),
    /// What may be in parts of the source that could not be read since the start: nobody knows whether it is
    /// gone. Replaces what was said before; at first, nothing is hidden.
    Hidden(Keep),
}

/// Changes that belong together: they take effect in one step.
pub type Changes = Vec<Event>;

/// Changes, and when the first of them was noticed.
#[derive(Debug)]
pub struct Batch {
    /// In order.
    pub changes: Changes,
    /// From here the time is counted until proxies have them.
    pub since: Instant,
    /// Who waits until they are in force.
    pub done: Option<oneshot::Sender<()>>,
}

/// Something that resources come from.
pub trait Source: Send + 'static {
    /// Tells all resources that there are, then each change, until cancelled or the receiver is gone.
    fn run(self, batches: mpsc::Sender<Batch>, stop: CancellationToken) -> impl Future<Output = ()> + Send;
}
