//! A container, made from its specification: what is run where, with which rights, and how it is probed.

use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::{Context, bail};
use k8s_openapi::api::core::v1::{Container as Spec, Pod, VolumeMount};
use kube::ResourceExt;
use tokio::process::Command;

use super::environment::{Surroundings, expand, variables};
use super::probe::Prober;
use super::root::{Mount, Root, Security, program_path};
use super::stop::PreStop;
use super::volumes::Volumes;
use crate::program::program;

/// The user of our images, for pods that name none.
const IMAGE_USER: i64 = 65532;

/// A container that can be started.
#[derive(Debug)]
pub(super) struct Container {
    /// Its place among the pod's containers.
    pub(super) index: usize,
    pub(super) name: String,
    pub(super) probers: Probers,
    pub(super) pre_stop: PreStop,
    root: Root,
    network: PathBuf,
    host: String,
    security: Security,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
}

#[derive(Debug)]
pub(super) struct Probers {
    pub(super) startup: Option<Prober>,
    pub(super) liveness: Option<Prober>,
    pub(super) readiness: Option<Prober>,
}

/// Where a container of a pod is put together.
pub(super) struct Place<'a> {
    pub(super) pod: &'a Pod,
    pub(super) dir: PathBuf,
    pub(super) network: PathBuf,
    pub(super) ip: IpAddr,
    pub(super) around: &'a Surroundings,
    pub(super) volumes: &'a Volumes,
}

impl Container {
    pub(super) fn new(index: usize, spec: &Spec, place: Place<'_>) -> anyhow::Result<Self> {
        supported(spec)?;
        let variables = variables(place.pod, spec, place.around)?;
        let image = spec.image.as_deref().unwrap_or_default();
        let program = program(image_name(image));
        if !program.is_file() {
            bail!("no program of this workspace makes the image {image}");
        }
        let root = Root::make(place.dir.clone(), &program, mounts(spec, place.volumes))?;
        configure(&root, &place)?;
        Ok(Self {
            index,
            name: spec.name.clone(),
            probers: Probers::new(spec, place.ip)?,
            pre_stop: PreStop::new(spec, place.ip)?,
            root,
            host: place.pod.name_any(),
            security: security(place.pod, spec)?,
            arguments: arguments(spec, &program_path(&program), &variables),
            network: place.network,
            variables,
        })
    }

    /// The command that runs it.
    pub(super) fn command(&self) -> Command {
        let mut command = self.root.command(&self.network, &self.host, &self.security, &self.arguments);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }
}

impl Probers {
    fn new(spec: &Spec, ip: IpAddr) -> anyhow::Result<Self> {
        let prober = |probe| Prober::new(probe, spec, ip);
        Ok(Self {
            startup: prober(spec.startup_probe.as_ref())?,
            liveness: prober(spec.liveness_probe.as_ref())?,
            readiness: prober(spec.readiness_probe.as_ref())?,
        })
    }
}

/// Refuses what would be ignored otherwise.
fn supported(spec: &Spec) -> anyhow::Result<()> {
    let mut mounts = spec.volume_mounts.iter().flatten();
    if mounts.any(|mount| mount.sub_path.is_some() || mount.sub_path_expr.is_some()) {
        bail!("subPath is not supported here");
    }
    if spec.working_dir.is_some() || spec.lifecycle.as_ref().is_some_and(|lifecycle| lifecycle.post_start.is_some()) {
        bail!("workingDir and postStart are not supported here");
    }
    let security = spec.security_context.as_ref();
    if security.and_then(|s| s.capabilities.as_ref()).is_some_and(|capabilities| capabilities.add.is_some()) {
        bail!("added capabilities are not supported here");
    }
    Ok(())
}

/// Writes the files by which names are resolved.
fn configure(root: &Root, place: &Place<'_>) -> std::io::Result<()> {
    let domains =
        format!("{}.svc.cluster.local svc.cluster.local cluster.local", place.pod.namespace().unwrap_or_default());
    let server = &place.around.node_address;
    root.configure("resolv.conf", &format!("nameserver {server}\nsearch {domains}\noptions ndots:5\n"))?;
    root.configure("hosts", &format!("127.0.0.1 localhost\n{} {}\n", place.ip, place.pod.name_any()))?;
    root.configure("nsswitch.conf", "hosts: files dns\n")
}

/// The last part of an image's name, without tag and digest.
fn image_name(image: &str) -> &str {
    let name = image.rsplit('/').next().unwrap_or_default();
    name.split([':', '@']).next().unwrap_or_default()
}

fn arguments(spec: &Spec, entry: &str, variables: &[(String, String)]) -> Vec<String> {
    let entry = [entry.to_owned()];
    let command = spec.command.as_deref().filter(|command| !command.is_empty()).unwrap_or(&entry);
    command.iter().chain(spec.args.iter().flatten()).map(|text| expand(text, variables)).collect()
}

fn mounts(spec: &Spec, volumes: &Volumes) -> Vec<Mount> {
    let mount = |mount: &VolumeMount| Mount {
        source: volumes.folder(&mount.name),
        target: mount.mount_path.clone(),
        read_only: mount.read_only == Some(true),
    };
    spec.volume_mounts.iter().flatten().map(mount).collect()
}

fn security(pod: &Pod, spec: &Spec) -> anyhow::Result<Security> {
    let of_pod = pod.spec.as_ref().and_then(|spec| spec.security_context.clone()).unwrap_or_default();
    let own = spec.security_context.clone().unwrap_or_default();
    let id = |value: i64| u32::try_from(value).with_context(|| format!("{value} is no id"));
    let user = id(own.run_as_user.or(of_pod.run_as_user).unwrap_or(IMAGE_USER))?;
    if own.run_as_non_root.or(of_pod.run_as_non_root) == Some(true) && user == 0 {
        bail!("the container is to run as non-root, and its user is root");
    }
    let groups = of_pod.supplemental_groups.into_iter().flatten().chain(of_pod.fs_group);
    Ok(Security {
        user,
        group: id(own.run_as_group.or(of_pod.run_as_group).unwrap_or(IMAGE_USER))?,
        groups: groups.map(id).collect::<anyhow::Result<_>>()?,
        read_only_root: own.read_only_root_filesystem == Some(true),
        no_new_privileges: own.allow_privilege_escalation == Some(false),
    })
}

#[cfg(test)]
mod tests {
    use super::image_name;

    #[test]
    fn an_image_is_the_program_of_its_last_name() {
        for image in ["weir:1", "weir", "registry.example:5000/team/weir", "a/weir@sha256:0", "a/weir:1@sha256:0"] {
            assert_eq!(image_name(image), "weir", "{image}");
        }
    }
}
