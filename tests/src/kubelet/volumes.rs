//! Volumes of a pod, as folders of files that follow their Secrets and ConfigMaps.
//!
//! Files change all at once, as the kubelet's do: each is a link through `..data` to a folder that is never changed,
//! and `..data` is replaced by another link.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use k8s_openapi::api::authentication::v1::BoundObjectReference;
use k8s_openapi::api::core::v1::{
    ConfigMapProjection, ConfigMapVolumeSource, DownwardAPIVolumeFile, KeyToPath, Pod, SecretProjection,
    SecretVolumeSource, Volume, VolumeProjection,
};
use kube::ResourceExt;

use super::environment::{Surroundings, field};
use super::node::Node;

const DEFAULT_MODE: i32 = 0o644;

/// Content and mode by path.
type Files = BTreeMap<String, (Vec<u8>, u32)>;

/// The volumes of one pod.
#[derive(Debug)]
pub(super) struct Volumes {
    node: Arc<Node>,
    pod: Arc<Pod>,
    around: Surroundings,
    dir: PathBuf,
    /// Tokens by volume and path; made once, as they outlive every test.
    tokens: BTreeMap<(String, String), String>,
    written: BTreeMap<String, Files>,
}

impl Volumes {
    pub(super) async fn new(
        node: &Arc<Node>,
        pod: &Arc<Pod>,
        around: Surroundings,
        dir: PathBuf,
    ) -> anyhow::Result<Self> {
        let tokens = BTreeMap::new();
        let mut volumes = Self { node: node.clone(), pod: pod.clone(), around, dir, tokens, written: BTreeMap::new() };
        volumes.ask_for_tokens().await?;
        Ok(volumes)
    }

    /// The folder of a volume.
    pub(super) fn folder(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    async fn ask_for_tokens(&mut self) -> anyhow::Result<()> {
        let spec = self.pod.spec.as_ref().context("a pod with a specification")?;
        let account = spec.service_account_name.as_deref().unwrap_or("default");
        for volume in spec.volumes.iter().flatten() {
            for source in projections(volume) {
                let Some(token) = &source.service_account_token else { continue };
                if token.audience.is_some() {
                    bail!("tokens for an audience are not supported here");
                }
                let to = BoundObjectReference {
                    api_version: Some("v1".to_owned()),
                    kind: Some("Pod".to_owned()),
                    name: Some(self.pod.name_any()),
                    uid: self.pod.uid(),
                };
                let text = self.node.kube.bound_token(&self.node.namespace, account, Some(to)).await;
                self.tokens.insert((volume.name.clone(), token.path.clone()), text);
            }
        }
        Ok(())
    }

    /// Writes what is new. Gives the name of a Secret or ConfigMap that is missing, if one is.
    pub(super) fn write(&mut self) -> anyhow::Result<Option<String>> {
        let pod = self.pod.clone();
        for volume in pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()) {
            match self.files(volume).with_context(|| format!("volume {}", volume.name))? {
                Wanted::Missing(name) => return Ok(Some(name)),
                Wanted::Empty => self.make_empty(&volume.name)?,
                Wanted::Files(files) => self.replace(&volume.name, files)?,
            }
        }
        Ok(None)
    }

    fn files(&self, volume: &Volume) -> anyhow::Result<Wanted> {
        if volume.empty_dir.is_some() {
            return Ok(Wanted::Empty);
        }
        let mut files = Files::new();
        let missing = if let Some(source) = &volume.secret {
            let SecretVolumeSource { default_mode, items, optional, secret_name } = source;
            let name = secret_name.as_deref().unwrap_or_default();
            let from = Object { kind: "Secret", name, data: self.secret(name), optional: *optional };
            from.add(&mut files, items.as_deref(), default_mode.unwrap_or(DEFAULT_MODE))?
        } else if let Some(source) = &volume.config_map {
            let ConfigMapVolumeSource { default_mode, items, name, optional } = source;
            let from = Object { kind: "ConfigMap", name, data: self.config_map(name), optional: *optional };
            from.add(&mut files, items.as_deref(), default_mode.unwrap_or(DEFAULT_MODE))?
        } else if let Some(projected) = &volume.projected {
            let mode = projected.default_mode.unwrap_or(DEFAULT_MODE);
            let mut sources = projections(volume).map(|source| self.project(&mut files, &volume.name, source, mode));
            sources.find_map(Result::transpose).transpose()?
        } else {
            bail!("only secret, configMap, projected and emptyDir are supported here");
        };
        Ok(missing.map_or(Wanted::Files(files), Wanted::Missing))
    }

    /// Adds the files of one source. Gives what is missing.
    fn project(
        &self,
        files: &mut Files,
        volume: &str,
        source: &VolumeProjection,
        mode: i32,
    ) -> anyhow::Result<Option<String>> {
        if let Some(token) = &source.service_account_token {
            let text = self.tokens[&(volume.to_owned(), token.path.clone())].clone();
            files.insert(token.path.clone(), (text.into_bytes(), mode.unsigned_abs()));
        } else if let Some(ConfigMapProjection { items, name, optional }) = &source.config_map {
            let from = Object { kind: "ConfigMap", name, data: self.config_map(name), optional: *optional };
            return from.add(files, items.as_deref(), mode);
        } else if let Some(SecretProjection { items, name, optional }) = &source.secret {
            let from = Object { kind: "Secret", name, data: self.secret(name), optional: *optional };
            return from.add(files, items.as_deref(), mode);
        } else if let Some(downward) = &source.downward_api {
            for DownwardAPIVolumeFile { field_ref, mode: own, path, resource_field_ref: _ } in
                downward.items.iter().flatten()
            {
                let from = field_ref.as_ref().context("only fieldRef is supported here")?;
                let text = field(&self.pod, &from.field_path, &self.around)?;
                files.insert(path.clone(), (text.into_bytes(), own.unwrap_or(mode).unsigned_abs()));
            }
        }
        Ok(None)
    }

    fn secret(&self, name: &str) -> Option<BTreeMap<String, Vec<u8>>> {
        let secret = self.node.secrets.get(name)?;
        Some(secret.data.iter().flatten().map(|(key, value)| (key.clone(), value.0.clone())).collect())
    }

    fn config_map(&self, name: &str) -> Option<BTreeMap<String, Vec<u8>>> {
        let map = self.node.config_maps.get(name)?;
        Some(map.data.iter().flatten().map(|(key, value)| (key.clone(), value.clone().into_bytes())).collect())
    }

    fn make_empty(&self, name: &str) -> io::Result<()> {
        let folder = self.folder(name);
        if !folder.exists() {
            fs::create_dir_all(&folder)?;
            chown(&folder, None, self.group())?;
            fs::set_permissions(&folder, Permissions::from_mode(0o2777))?;
        }
        Ok(())
    }

    /// The group that may read and write volumes.
    fn group(&self) -> Option<u32> {
        let security = self.pod.spec.as_ref()?.security_context.as_ref()?;
        security.fs_group.and_then(|group| u32::try_from(group).ok())
    }

    fn replace(&mut self, name: &str, files: Files) -> io::Result<()> {
        if self.written.get(name) == Some(&files) {
            return Ok(());
        }
        let folder = self.folder(name);
        let before = fs::read_link(folder.join("..data")).ok();
        let next = format!("..{}", before.as_deref().map_or(1, number));
        fs::create_dir_all(folder.join(&next))?;
        for (path, (content, mode)) in &files {
            self.write_file(&folder.join(&next).join(path), content, *mode)?;
        }
        symlink(&next, folder.join("..data_tmp"))?;
        fs::rename(folder.join("..data_tmp"), folder.join("..data"))?;
        for path in files.keys().filter(|path| fs::symlink_metadata(folder.join(path)).is_err()) {
            symlink(Path::new("..data").join(path), folder.join(path))?;
        }
        if let Some(before) = before {
            fs::remove_dir_all(folder.join(before))?;
        }
        self.written.insert(name.to_owned(), files);
        Ok(())
    }

    fn write_file(&self, file: &Path, content: &[u8], mode: u32) -> io::Result<()> {
        fs::write(file, content)?;
        let group = self.group();
        chown(file, None, group)?;
        // The group of volumes may read whatever else the mode says.
        let mode = if group.is_some() { mode | 0o440 } else { mode };
        fs::set_permissions(file, Permissions::from_mode(mode))
    }
}

/// What a volume is to hold.
enum Wanted {
    Empty,
    Files(Files),
    /// Nothing yet: this is missing.
    Missing(String),
}

fn projections(volume: &Volume) -> impl Iterator<Item = &VolumeProjection> {
    volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten())
}

/// A Secret or ConfigMap that a volume names.
struct Object<'a> {
    kind: &'static str,
    name: &'a str,
    data: Option<BTreeMap<String, Vec<u8>>>,
    optional: Option<bool>,
}

impl Object<'_> {
    /// Adds all entries, or the items. Gives what is missing.
    fn add(self, files: &mut Files, items: Option<&[KeyToPath]>, mode: i32) -> anyhow::Result<Option<String>> {
        let Some(data) = self.data else {
            return Ok((self.optional != Some(true)).then(|| format!("{} {}", self.kind, self.name)));
        };
        let Some(items) = items else {
            files.extend(data.into_iter().map(|(key, content)| (key, (content, mode.unsigned_abs()))));
            return Ok(None);
        };
        for KeyToPath { key, mode: own, path } in items {
            let content = data.get(key).with_context(|| format!("there is no key {key}"))?;
            files.insert(path.clone(), (content.clone(), own.unwrap_or(mode).unsigned_abs()));
        }
        Ok(None)
    }
}

/// The number after that of a folder called `..NUMBER`.
fn number(folder: &Path) -> u64 {
    let text = folder.to_string_lossy();
    text.trim_start_matches('.').parse::<u64>().map_or(1, |number| number + 1)
}
