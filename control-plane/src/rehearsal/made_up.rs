//! The Pool and the Backends around the Plugins that are tested.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Map, Value, json};
use weir_proto::model::{Key, Kind, ResourceName};

use crate::api::API_VERSION;
use crate::finding::Finding;
use crate::manifest::{self, Manifest};
use crate::source::{Given, Object};

/// The name of the Pool.
pub(super) const NAME: &str = "plugin-test";

/// What is made up around the Plugins.
#[derive(Debug, Clone, Default)]
pub struct Setting {
    /// Which Plugins, in the order in which they run, with or without their namespace; none: all, as they stand.
    pub plugins: Vec<String>,
    /// What the Pool says of the parameter.
    pub param: Option<Value>,
    /// The Pool's `config`.
    pub config: Map<String, Value>,
    /// Its Backends; none: three, called `web-1` to `web-3`.
    pub servers: Vec<Server>,
}

/// A Backend.
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// Its name.
    pub name: String,
    /// Where it is; nothing is sent there.
    pub address: SocketAddr,
    /// Its weight.
    pub weight: u32,
    /// Its score.
    pub score: i64,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

impl Server {
    /// One of weight 1, without score and labels.
    #[must_use]
    pub fn new(name: impl Into<String>, address: SocketAddr) -> Self {
        Self { name: name.into(), address, weight: 1, score: 0, labels: BTreeMap::new() }
    }
}

impl Setting {
    /// The Plugins that the Pool uses, and their namespace.
    pub(super) fn uses<'a>(&self, all: impl Iterator<Item = &'a Given>) -> Result<(Vec<Key>, String), String> {
        let mut all: Vec<&Given> = all.collect();
        all.sort_by_key(|given| given.place());
        let names: Vec<&ResourceName> = all.iter().map(|given| &given.key().name).collect();
        let used = match self.plugins.as_slice() {
            [] => names,
            wanted => wanted.iter().map(|wanted| find(wanted, &names)).collect::<Result<_, _>>()?,
        };
        let namespaces: BTreeSet<&str> = used.iter().map(|name| name.namespace()).collect();
        let namespace = match namespaces.into_iter().collect::<Vec<_>>()[..] {
            [] => return Err("there is no Plugin".to_owned()),
            [namespace] => namespace.to_owned(),
            _ => return Err(format!("Plugins of several namespaces, of which a Pool uses one: {}", list(&used))),
        };
        if self.param.is_some() && used.len() > 1 {
            return Err(format!("one parameter for {} Plugins: name one of {}", used.len(), list(&used)));
        }
        Ok((used.into_iter().map(|name| Key::plugin(name.clone())).collect(), namespace))
    }

    /// The Pool of this name.
    pub(super) fn pool(&self, name: &ResourceName, uses: &[Key]) -> Result<Given, Vec<Finding>> {
        let plugin_use = |key: &Key| match &self.param {
            Some(param) => json!({"name": key.name.name(), "param": param}),
            None => json!({"name": key.name.name()}),
        };
        let uses: Vec<Value> = uses.iter().map(plugin_use).collect();
        made_up(Kind::Pool, name, &json!({"plugins": uses, "config": self.config}))
    }

    /// Its Backends.
    pub(super) fn backends(&self, pool: &ResourceName) -> Result<Vec<Given>, Vec<Finding>> {
        let some = (1..=3).map(|number| Server::new(format!("web-{number}"), ([127, 0, 0, 1], 9_000 + number).into()));
        let servers = if self.servers.is_empty() { some.collect() } else { self.servers.clone() };
        servers.iter().map(|server| backend(pool, server)).collect()
    }
}

fn backend(pool: &ResourceName, server: &Server) -> Result<Given, Vec<Finding>> {
    let Server { name, address, weight, score, labels } = server;
    let spec = json!({"pool": pool.name(), "address": address, "weight": weight, "score": score, "labels": labels});
    let name = pool.sibling(name).map_err(|error| vec![super::said(error)])?;
    made_up(Kind::Backend, &name, &spec)
}

/// Where the Pool is.
pub(super) fn pool_name(namespace: &str) -> Result<ResourceName, String> {
    ResourceName::new(namespace, NAME).map_err(|error| error.to_string())
}

fn find<'a>(wanted: &str, names: &[&'a ResourceName]) -> Result<&'a ResourceName, String> {
    let is_it = |name: &&&ResourceName| name.name() == wanted || name.to_string() == wanted;
    let mut found = names.iter().filter(is_it);
    match (found.next(), found.next()) {
        (Some(name), None) => Ok(name),
        (None, _) if names.is_empty() => Err("there is no Plugin".to_owned()),
        (None, _) => Err(format!("there is no Plugin {wanted}: there is {}", list(names))),
        (Some(_), Some(_)) => Err(format!("more than one Plugin {wanted}: {}", list(names))),
    }
}

fn list(names: &[&ResourceName]) -> String {
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// A resource that stands in no file.
///
/// # Errors
/// If it is none.
pub(super) fn made_up(kind: Kind, name: &ResourceName, spec: &Value) -> Result<Given, Vec<Finding>> {
    let metadata = json!({"name": name.name(), "namespace": name.namespace()});
    let text = json!({"apiVersion": API_VERSION, "kind": kind.as_str(), "metadata": metadata, "spec": spec});
    let read = manifest::read(&Path::new("").into(), &text.to_string()).pop();
    match read.ok_or_else(|| vec![super::said(format!("{name} is no {}", kind.as_str()))])? {
        Manifest::Good(object) => Ok(Given::Object(Object { origin: None, ..object })),
        Manifest::Broken { key, findings, origin: _ } => {
            Ok(Given::Broken { key, generation: None, findings: placeless(findings), origin: None })
        }
        Manifest::Unknown { findings, .. } | Manifest::Content { findings, .. } => Err(placeless(findings)),
    }
}

fn placeless(findings: Vec<Finding>) -> Vec<Finding> {
    findings.into_iter().map(|finding| Finding { place: None, ..finding }).collect()
}
