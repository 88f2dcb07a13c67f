//! Where certificates are kept: a Secret, or a folder of the same form.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::PostParams;
use kube::core::ObjectMeta;
use kube::{Api, ResourceExt};

use super::{Content, Error};

const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
const MANAGER: &str = "weir-control-plane";
const TLS: &str = "kubernetes.io/tls";
/// Of a file that is not written to its end.
const NEW: &str = "new";

/// Keeps one set of files.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// A Secret by its name.
    Secret(Box<Api<Secret>>, String),
    /// A folder.
    Folder(PathBuf),
}

/// What was found there.
#[derive(Clone)]
pub(super) struct Held {
    /// The files.
    pub(super) content: Content,
    /// As it was read, if it is a Secret.
    pub(super) secret: Option<Secret>,
    /// Whether this command may change it.
    pub(super) is_ours: bool,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret(_, name) => write!(f, "Secret {name}"),
            Self::Folder(folder) => write!(f, "{}", folder.display()),
        }
    }
}

impl Place {
    /// What is there, if anything.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) async fn read(&self) -> Result<Option<Held>, Error> {
        match self {
            Self::Secret(api, name) => Ok(api.get_opt(name).await?.map(Held::of_secret)),
            Self::Folder(folder) => read_folder(folder),
        }
    }

    /// Puts `content` in the place of what was `held`; false if that has changed meanwhile.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) async fn write(&self, content: &Content, held: Option<&Held>) -> Result<bool, Error> {
        match self {
            Self::Secret(api, name) => write_secret(api, name, content, held).await,
            Self::Folder(folder) => write_folder(folder, content).map(|()| true),
        }
    }
}

impl Held {
    fn of_secret(secret: Secret) -> Self {
        let content = secret.data.clone().unwrap_or_default().into_iter().map(|(name, bytes)| (name, bytes.0));
        let is_ours = secret.labels().get(MANAGED_BY).is_some_and(|manager| manager == MANAGER);
        Self { content: content.collect(), secret: Some(secret), is_ours }
    }
}

/// The resource version that was read goes along, so that a change in between is a conflict.
async fn write_secret(api: &Api<Secret>, name: &str, content: &Content, held: Option<&Held>) -> Result<bool, Error> {
    let data = content.iter().map(|(name, bytes)| (name.clone(), ByteString(bytes.clone()))).collect();
    let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
    let written = match held.and_then(|held| held.secret.clone()) {
        Some(secret) => api.replace(name, &params, &Secret { data: Some(data), ..secret }).await,
        None => api.create(&params, &new_secret(name, data)).await,
    };
    match written {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn new_secret(name: &str, data: std::collections::BTreeMap<String, ByteString>) -> Secret {
    let labels = [(MANAGED_BY.to_owned(), MANAGER.to_owned())].into();
    let metadata = ObjectMeta { name: Some(name.to_owned()), labels: Some(labels), ..ObjectMeta::default() };
    Secret { metadata, data: Some(data), type_: Some(TLS.to_owned()), ..Secret::default() }
}

/// Keeps other runs of this command away from a folder until it is dropped.
///
/// # Errors
/// If the folder cannot be written to.
pub(super) fn lock(folder: &Path) -> Result<File, Error> {
    let file = folder.join(".lock");
    let locked = fs::create_dir_all(folder).and_then(|()| File::create(&file)).and_then(|lock| {
        lock.lock()?;
        Ok(lock)
    });
    locked.map_err(|cause| Error::File { file, cause })
}

fn read_folder(folder: &Path) -> Result<Option<Held>, Error> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        entries => entries.and_then(Iterator::collect::<io::Result<Vec<_>>>),
    };
    let entries = entries.map_err(|cause| Error::File { file: folder.to_owned(), cause })?;
    let mut content = Content::new();
    let is_whole = |path: &PathBuf| path.is_file() && path.extension() != Some(NEW.as_ref());
    for file in entries.into_iter().map(|entry| entry.path()).filter(is_whole) {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        content.insert(name, fs::read(&file).map_err(|cause| Error::File { file, cause })?);
    }
    Ok(Some(Held { content, secret: None, is_ours: true }))
}

fn write_folder(folder: &Path, content: &Content) -> Result<(), Error> {
    let failed = |file: PathBuf| move |cause| Error::File { file, cause };
    fs::create_dir_all(folder).map_err(failed(folder.to_owned()))?;
    for (name, bytes) in content {
        let file = folder.join(name);
        replace(&file, bytes).map_err(failed(file.clone()))?;
    }
    let old = read_folder(folder)?.map(|held| held.content).unwrap_or_default();
    for name in old.keys().filter(|name| !content.contains_key(*name)) {
        let file = folder.join(name);
        fs::remove_file(&file).map_err(failed(file.clone()))?;
    }
    Ok(())
}

/// Appears complete; a key is nobody else's to read at any moment.
fn replace(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let is_key = file.extension().is_some_and(|extension| extension == "key");
    let new = file.with_extension(NEW);
    let mode = if is_key { 0o600 } else { 0o644 };
    // What a run that was killed has left keeps the mode that it had.
    if new.exists() {
        fs::remove_file(&new)?;
    }
    let mut writer = OpenOptions::new().write(true).create_new(true).mode(mode).open(&new)?;
    writer.write_all(bytes)?;
    writer.sync_all()?;
    fs::rename(&new, file)
}
