//! The command `issue-certificates`: makes what both planes need to trust each other, and renews it, so that a cluster
//! without a certificate manager has mutual TLS too. Run again it changes only what is due.
//!
//! [`plan`] decides, [`certificate`] makes and reads certificates, [`place`] keeps them. Nothing here logs a key.

mod args;
mod certificate;
mod place;
mod plan;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use kube::{Api, Client};

pub use args::{IssueArgs, SecretArgs};

use certificate::{Authority, Wanted};
use place::{Held, Place};

/// Others that change the same place at the same time are given way to so many times.
const ATTEMPTS: usize = 5;

/// File names and what is in them: the data of a Secret.
type Content = BTreeMap<String, Vec<u8>>;

/// Why there are no certificates.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cluster cannot be reached, or does not let us.
    #[error("Kubernetes: {0}")]
    Kubernetes(#[from] kube::Error),
    /// Nothing says which cluster it is.
    #[error("no cluster: {0}")]
    NoCluster(#[from] kube::config::InferConfigError),
    /// A file cannot be read or written.
    #[error("{}: {cause}", file.display())]
    File {
        /// Which one.
        file: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// A certificate cannot be made.
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The authority was put there by somebody else, without what we need.
    #[error("{0} was not made by this command, and cannot be used to sign: {1}")]
    Authority(String, String),
    /// Somebody else is always faster.
    #[error("{0} changes all the time")]
    Contended(String),
}

/// Makes and renews what is due.
///
/// # Errors
/// If something cannot be read, made or written; what was written until then is complete in itself.
pub async fn run(args: &IssueArgs) -> Result<(), Error> {
    let places = Places::open(args).await?;
    let now = seconds_now();
    let authority = settle(&places.authority, |held| plan::authority(held, now, &places.authority.to_string())).await?;
    let authority = Authority::read(&authority).map_err(|why| Error::Authority(places.authority.to_string(), why))?;
    let leaves = [(&places.control_plane, args.server()), (&places.data_plane, args.client())];
    for (place, wanted) in leaves {
        settle(place, |held| plan::leaf(held, &wanted, &authority, now, &place.to_string())).await?;
    }
    Ok(())
}

fn seconds_now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// Where each set of files is kept.
struct Places {
    authority: Place,
    control_plane: Place,
    data_plane: Place,
    /// Held as long as a folder is worked on.
    _lock: Option<std::fs::File>,
}

impl Places {
    async fn open(args: &IssueArgs) -> Result<Self, Error> {
        match &args.dir {
            Some(dir) => {
                let folder = |name| Place::Folder(dir.join(name));
                let [authority, control_plane, data_plane] = ["ca", "control-plane", "data-plane"].map(folder);
                Ok(Self { authority, control_plane, data_plane, _lock: Some(place::lock(dir)?) })
            }
            None => Self::secrets(args).await,
        }
    }

    async fn secrets(args: &IssueArgs) -> Result<Self, Error> {
        let client = Client::try_from(kube::Config::infer().await?)?;
        let api = Api::namespaced(client, &args.secrets.namespace.clone().unwrap_or_default());
        let secret = |name: &Option<String>| Place::Secret(Box::new(api.clone()), name.clone().unwrap_or_default());
        let args::SecretArgs { namespace: _, control_plane_secret, data_plane_secret, ca_secret } = &args.secrets;
        Ok(Self {
            authority: secret(ca_secret),
            control_plane: secret(control_plane_secret),
            data_plane: secret(data_plane_secret),
            _lock: None,
        })
    }
}

/// Brings a place to what `plan` makes of it; gives what is there then. Who loses a race looks again, so that all who
/// take part end with the same.
async fn settle(
    place: &Place,
    plan: impl Fn(Option<&Held>) -> Result<Option<Content>, Error>,
) -> Result<Content, Error> {
    for _ in 0..ATTEMPTS {
        let held = place.read().await?;
        let Some(next) = plan(held.as_ref())? else {
            return Ok(held.map(|held| held.content).unwrap_or_default());
        };
        if place.write(&next, held.as_ref()).await? {
            return Ok(next);
        }
    }
    Err(Error::Contended(place.to_string()))
}

impl IssueArgs {
    fn server(&self) -> Wanted {
        Wanted { role: certificate::Role::Server, names: self.dns_name.iter().cloned().collect(), life: self.valid_for }
    }

    fn client(&self) -> Wanted {
        let uri = |namespace: &String| format!("{}{namespace}", crate::mtls::identity::PREFIX);
        let names = self.allow_namespace.iter().map(uri).collect();
        Wanted { role: certificate::Role::Client, names, life: self.valid_for }
    }
}
