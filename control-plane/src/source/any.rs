//! The source that the flags name.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::file::FileSource;
use super::kubernetes::{ClientError, KubernetesSource, connect};
use super::{Batch, Source};
use crate::config::SourceConfig;
use crate::metrics::Metrics;

/// One of the sources there are.
#[derive(Debug)]
pub enum AnySource {
    /// The manifests of a folder.
    Folder(FileSource),
    /// A cluster.
    Kubernetes(KubernetesSource),
}

/// Why a source cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder cannot be read.
    #[error("folder {}: {cause}", folder.display())]
    Folder {
        /// Which folder.
        folder: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// There is no way to a cluster.
    #[error(transparent)]
    Kubernetes(#[from] ClientError),
}

impl AnySource {
    /// Opens what the flags name.
    ///
    /// # Errors
    /// Says what is not there.
    pub async fn open(config: SourceConfig, metrics: Arc<Metrics>) -> Result<Self, OpenError> {
        match config {
            SourceConfig::Folder(folder) => {
                let source = FileSource::open(&folder).map_err(|cause| OpenError::Folder { folder, cause })?;
                Ok(Self::Folder(source))
            }
            SourceConfig::Kubernetes { namespaces } => {
                Ok(Self::Kubernetes(KubernetesSource::new(connect().await?, &namespaces, metrics)))
            }
        }
    }

    /// If it is that of a cluster.
    #[must_use]
    pub fn kubernetes(&self) -> Option<&KubernetesSource> {
        match self {
            Self::Kubernetes(source) => Some(source),
            Self::Folder(_) => None,
        }
    }
}

impl Source for AnySource {
    async fn run(self, batches: mpsc::Sender<Batch>, stop: CancellationToken) {
        match self {
            Self::Folder(source) => source.run(batches, stop).await,
            Self::Kubernetes(source) => source.run(batches, stop).await,
        }
    }
}
