//! A bridge of one node, and a network namespace per pod.
//!
//! The number N of a free bridge `weir-N` also chooses everything else: addresses 10.224.N.0/24, namespaces
//! `weir-N-I`, links `weirN-I`. The bridge's alias is the id of the process that made it, so that what a killed test
//! left behind is found and removed by the next one.

use std::io::Write;
use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};

use serde_json::Value;

/// The network of one node; removed when dropped.
#[derive(Debug)]
pub(super) struct Network {
    number: u8,
    next: AtomicU8,
}

/// The network namespace of one pod; removed when dropped.
#[derive(Debug)]
pub(super) struct PodNetwork {
    namespace: String,
    link: String,
    address: Ipv4Addr,
}

impl Network {
    /// Makes a bridge; pods reach this machine also by the address of the Service `kubernetes`.
    pub(super) fn start(service: std::net::IpAddr) -> Self {
        let own = std::fs::metadata("/proc/self").expect("this process");
        assert!(own.uid() == 0, "pods get network namespaces, which only root can make: run this test as root");
        sweep();
        let number = (0..=255).find(|&n| ip(&["link", "add", &bridge(n), "type", "bridge"]).is_ok());
        let network = Self { number: number.expect("a free number from 0 to 255"), next: AtomicU8::new(1) };
        let name = bridge(network.number);
        batch(&[
            format!("link set {name} alias {}", std::process::id()),
            format!("address add {}/24 dev {name}", network.gateway()),
            format!("address add {service}/32 dev {name}"),
            format!("link set {name} up"),
        ]);
        network
    }

    /// The address of this machine on the bridge.
    pub(super) fn gateway(&self) -> Ipv4Addr {
        self.address(1)
    }

    fn address(&self, last: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 224, self.number, last)
    }

    /// Makes a namespace with an address that no other pod ever had.
    pub(super) fn pod(&self) -> PodNetwork {
        let last = self.next.fetch_add(1, SeqCst) + 1;
        assert!(last < 255, "a test has no more than 253 pods");
        let bridge = bridge(self.number);
        let (namespace, link) = (format!("{bridge}-{last}"), format!("{}{last}", links(self.number)));
        let pod = PodNetwork { namespace, link, address: self.address(last) };
        let PodNetwork { namespace: name, link, .. } = &pod;
        batch(&[
            format!("netns add {name}"),
            format!("link add {link} type veth peer name eth0 netns {name}"),
            format!("link set {link} master {bridge} up"),
        ]);
        let inside = [
            "link set lo up".to_owned(),
            format!("address add {}/24 dev eth0", pod.address),
            "link set eth0 up".to_owned(),
            format!("route add default via {}", self.gateway()),
        ];
        batch_in(&["-n", name], &inside);
        pod
    }
}

impl PodNetwork {
    pub(super) fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// The file by which a process enters it.
    pub(super) fn file(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.namespace)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = ip(&["link", "delete", &bridge(self.number)]);
    }
}

impl Drop for PodNetwork {
    fn drop(&mut self) {
        // The link would go with the namespace, but that lives on while it has connections that were not closed well.
        let _ = ip(&["link", "delete", &self.link]);
        let _ = ip(&["netns", "delete", &self.namespace]);
    }
}

fn bridge(number: u8) -> String {
    format!("weir-{number}")
}

/// What the names of the links to a bridge begin with.
fn links(number: u8) -> String {
    format!("weir{number}-")
}

/// Removes the networks of processes that are no more.
fn sweep() {
    for (name, alias) in interfaces() {
        let number = name.strip_prefix("weir-").and_then(|number| number.parse().ok());
        let gone = alias.is_some_and(|process| !Path::new("/proc").join(process).exists());
        if let Some(number) = number.filter(|_| gone) {
            remove(number);
        }
    }
}

/// Names and aliases of this machine's network interfaces.
fn interfaces() -> Vec<(String, Option<String>)> {
    let listed = ip(&["-json", "link", "show"]).expect("ip of iproute2");
    let interfaces: Vec<Value> = serde_json::from_str(&listed).expect("a list of interfaces");
    let text = |value: &Value| value.as_str().map(str::to_owned);
    interfaces.iter().map(|i| (text(&i["ifname"]).unwrap_or_default(), text(&i["ifalias"]))).collect()
}

fn remove(number: u8) {
    for (name, _) in interfaces().iter().filter(|(name, _)| name.starts_with(&links(number))) {
        let _ = ip(&["link", "delete", name]);
    }
    let namespaces = ip(&["netns", "list"]).expect("ip of iproute2");
    let prefix = format!("{}-", bridge(number));
    for name in namespaces.lines().filter_map(|line| line.split_whitespace().next()) {
        if name.starts_with(&prefix) {
            let _ = ip(&["netns", "delete", name]);
        }
    }
    let _ = ip(&["link", "delete", &bridge(number)]);
}

fn batch(lines: &[String]) {
    batch_in(&[], lines);
}

/// # Panics
/// If one of the lines fails.
fn batch_in(options: &[&str], lines: &[String]) {
    let mut child = Command::new("ip")
        .args(options)
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("ip of iproute2");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(lines.join("\n").as_bytes()).expect("ip reads its lines");
    drop(stdin);
    let output = child.wait_with_output().expect("the end of ip");
    assert!(output.status.success(), "ip: {lines:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn ip(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("ip").args(arguments).output().expect("ip of iproute2");
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}
