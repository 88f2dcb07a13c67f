//! A container's root file system and the command that enters it.
//!
//! The root holds the image's program, and from this machine, read-only, the libraries that it is linked to. It is put
//! together in a mount namespace of the process itself, so it goes with it. Each step replaces the process by the next
//! one (`exec`), so the process that is started is the one that signals reach.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

/// What of this machine every container sees: the folders where libraries are.
const SYSTEM: [&str; 3] = ["usr", "lib", "lib64"];
const DEVICES: [&str; 4] = ["null", "zero", "random", "urandom"];

/// A folder that becomes a root file system.
#[derive(Debug)]
pub(super) struct Root {
    dir: PathBuf,
    mounts: Vec<Mount>,
}

/// Something of this machine at a place of the container.
#[derive(Debug)]
pub(super) struct Mount {
    pub(super) source: PathBuf,
    /// A path in the container.
    pub(super) target: String,
    pub(super) read_only: bool,
}

/// With which rights a container runs.
#[derive(Debug)]
pub(super) struct Security {
    pub(super) user: u32,
    pub(super) group: u32,
    pub(super) groups: Vec<u32>,
    pub(super) read_only_root: bool,
    pub(super) no_new_privileges: bool,
}

impl Root {
    /// Makes the folder, with `program` at its top.
    pub(super) fn make(dir: PathBuf, program: &Path, volumes: Vec<Mount>) -> io::Result<Self> {
        let mut mounts = vec![mount(program, &program_path(program))];
        for name in SYSTEM {
            let source = Path::new("/").join(name);
            if let Ok(link) = fs::read_link(&source) {
                fs::create_dir_all(&dir)?;
                symlink(link, dir.join(name))?;
            } else if source.is_dir() {
                mounts.push(mount(&source, &format!("/{name}")));
            }
        }
        mounts.extend(
            DEVICES.map(|name| Mount {
                read_only: false,
                ..mount(&Path::new("/dev").join(name), &format!("/dev/{name}"))
            }),
        );
        mounts.extend(volumes);
        for Mount { source, target, .. } in &mounts {
            let place = dir.join(target.trim_start_matches('/'));
            if source.is_dir() {
                fs::create_dir_all(place)?;
            } else {
                fs::create_dir_all(place.parent().unwrap_or(&dir))?;
                fs::write(place, "")?;
            }
        }
        fs::create_dir_all(dir.join("proc"))?;
        Ok(Self { dir, mounts })
    }

    /// Writes a file below `/etc`.
    pub(super) fn configure(&self, name: &str, text: &str) -> io::Result<()> {
        fs::create_dir_all(self.dir.join("etc"))?;
        fs::write(self.dir.join("etc").join(name), text)
    }

    /// The command that runs `arguments` in it.
    pub(super) fn command(&self, network: &Path, host: &str, security: &Security, arguments: &[String]) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", network.display()));
        command.args(["unshare", "--mount", "--uts", "sh", "-euc", &self.script(host, security), "sh"]);
        command.args(arguments);
        command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    fn script(&self, host: &str, security: &Security) -> String {
        let root = self.dir.display();
        let mut lines = vec![format!("hostname {host}"), format!("mount --bind {root} {root}")];
        for Mount { source, target, read_only } in &self.mounts {
            lines.push(format!("mount --bind {} {root}{target}", source.display()));
            if *read_only {
                lines.push(format!("mount -o remount,bind,ro {root}{target}"));
            }
        }
        lines.push(format!("mount -t proc proc {root}/proc"));
        if security.read_only_root {
            lines.push(format!("mount -o remount,bind,ro {root}"));
        }
        lines.push(format!("exec chroot {root} setpriv {} -- \"$@\"", security.options()));
        lines.join("\n")
    }
}

/// Where a program is in its container.
pub(super) fn program_path(program: &Path) -> String {
    format!("/{}", program.file_name().unwrap_or_default().to_string_lossy())
}

fn mount(source: &Path, target: &str) -> Mount {
    Mount { source: source.to_owned(), target: target.to_owned(), read_only: true }
}

impl Security {
    fn options(&self) -> String {
        let Self { user, group, groups, read_only_root: _, no_new_privileges } = self;
        let groups = groups.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        let groups = if groups.is_empty() { "--clear-groups".to_owned() } else { format!("--groups={groups}") };
        let privileges = if *no_new_privileges { "--no-new-privs" } else { "" };
        // Every container loses all capabilities; a test that is killed takes its containers with it.
        format!(
            "--reuid={user} --regid={group} {groups} {privileges} --inh-caps=-all --ambient-caps=-all \
             --bounding-set=-all --pdeathsig=KILL"
        )
    }
}
