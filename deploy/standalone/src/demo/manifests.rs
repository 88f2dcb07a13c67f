//! The resources of `deploy/examples/demo`, copied to a folder where people may edit them.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context;
use tempfile::TempDir;

/// The name and text of each file.
const FILES: [(&str, &str); 2] = [
    ("web.yaml", include_str!("../../../examples/demo/web.yaml")),
    ("backends.yaml", include_str!("../../../examples/demo/backends.yaml")),
];

/// The file a person is told to edit.
pub(super) const EDIT: &str = "backends.yaml";

/// The servers that the files name: name, and port on 127.0.0.1 if nobody chose another.
pub(super) const SERVERS: [(&str, u16); 3] = [("web-1", 9701), ("web-2", 9702), ("web-3", 9703)];

/// Writes the files to a new temporary folder, the servers having these addresses.
pub(super) fn write(addresses: &[SocketAddr; SERVERS.len()]) -> anyhow::Result<TempDir> {
    let folder = TempDir::with_prefix("weir-demo-").context("cannot make a temporary folder")?;
    for (name, text) in FILES {
        write_file(&folder.path().join(name), &with_addresses(text, addresses))?;
    }
    Ok(folder)
}

fn write_file(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn with_addresses(text: &str, addresses: &[SocketAddr; SERVERS.len()]) -> String {
    // In one pass over the lines: a new port may be another server's old one.
    let line = |line: &str| {
        let found = SERVERS.iter().zip(addresses).find(|((_, port), _)| line.ends_with(&format!("127.0.0.1:{port}")));
        match found {
            Some(((_, port), address)) => line.replace(&format!("127.0.0.1:{port}"), &address.to_string()),
            None => line.to_owned(),
        }
    };
    text.lines().map(|l| line(l) + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_server_of_the_files_gets_its_address() {
        let addresses = [9703, 9701, 1].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let folder = write(&addresses).unwrap();
        let text = fs::read_to_string(folder.path().join(EDIT)).unwrap();
        let written: Vec<_> = text.lines().filter_map(|l| l.trim().strip_prefix("address: ")).collect();
        assert_eq!(written, ["127.0.0.1:9703", "127.0.0.1:9701", "127.0.0.1:1"]);
    }

    #[test]
    fn files_are_unchanged_with_the_default_ports() {
        let addresses = SERVERS.map(|(_, port)| SocketAddr::from(([127, 0, 0, 1], port)));
        for (_, text) in FILES {
            assert_eq!(with_addresses(text, &addresses), text);
        }
    }
}
