//! Settings of the process: the command line, and what comes of it.

mod listen_file;

use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::thread::available_parallelism;
use std::time::Duration;

use clap::Args as ClapArgs;
use http::Uri;
use weir_proto::model::PoolProtocol;
use weir_proto::model::plugin::param::admission::Network;
use weir_proto::model::units::parse_duration;

use crate::limits::Limits;
use crate::listener::Served;
use crate::stats::access_log::{self, AccessLogArgs};
use crate::trace::{self, TraceArgs};
use crate::trusted::{TrustedProxies, parse_network};

/// Examples for the help of a program with these arguments.
pub const EXAMPLES: &str = "\
Examples:
  weir-data-plane --control-plane http://weir-control-plane:9800
  weir-data-plane --control-plane http://10.0.0.5:9800 --listen http=0.0.0.0:80 --listen internal=127.0.0.1:8081
  weir-data-plane --control-plane http://10.0.0.5:9800 --listen https=0.0.0.0:443,tls,proxy --trusted-proxies 10.0.0.0/8
  weir-data-plane --control-plane http://10.0.0.5:9800 --listen redis=0.0.0.0:6379,tcp
  weir-data-plane --control-plane http://10.0.0.5:9800 --listen http=0.0.0.0:80 --listen https=0.0.0.0:443,tls
  weir-data-plane --control-plane https://weir-control-plane:9800 --control-plane-tls /etc/weir/tls
  weir-data-plane --control-plane http://10.0.0.5:9800 --workers 4 --cache-dir /var/cache/weir --access-log stdout

Signals:
  TERM, INT  finish running requests, then end; a second one ends at once
  HUP        open the file of the access log anew, if there is one
  USR2       upgrade in place: the program at the same path, with the same arguments, takes over";

/// What the proxy may be told; can be flattened into another command.
#[derive(Debug, Clone, ClapArgs)]
pub struct Args {
    /// Where a control plane listens, such as http://10.0.0.5:9800; may be repeated (in the variable: separated by
    /// spaces). Each address of each URL's host is one to go to, in random order
    #[arg(
        long,
        value_name = "URL",
        env = "WEIR_CONTROL_PLANE",
        value_delimiter = ' ',
        required = true,
        value_parser = parse_control_plane
    )]
    pub control_plane: Vec<Uri>,
    /// Folder with tls.crt, tls.key and ca.crt, such as a mounted Secret: what control planes at https URLs are shown,
    /// and whom they must be certified by. Followed while it changes
    #[arg(long, value_name = "DIR", env = "WEIR_CONTROL_PLANE_TLS")]
    pub control_plane_tls: Option<PathBuf>,
    /// Name and address of a listener, with ,tls if it speaks HTTP over TLS, or ,tcp if it does not speak HTTP, and
    /// with ,proxy if each connection begins with the PROXY protocol, version 1 or 2; may be repeated (in the variable:
    /// separated by spaces). Pools name the listeners that they serve
    #[arg(
        long,
        value_name = "NAME=ADDR[,tls|,tcp][,proxy]",
        env = "WEIR_LISTEN",
        value_delimiter = ' ',
        default_value = "http=0.0.0.0:8080"
    )]
    pub listen: Vec<Listen>,
    /// The same in a file, one a line, in place of --listen. Read again by the process that takes over in an upgrade in
    /// place (SIGUSR2), which is how listeners are added and taken away without touching the others
    #[arg(long, value_name = "FILE", env = "WEIR_LISTEN_FILE", conflicts_with = "listen")]
    pub listen_file: Option<PathBuf>,
    /// Proxies before this one, by address or network, which say who a client is: by the PROXY protocol at listeners
    /// with ,proxy, where nobody else may connect, and in X-Forwarded-For, -Proto and -Host
    #[arg(
        long,
        value_name = "CIDR[,CIDR]",
        env = "WEIR_TRUSTED_PROXIES",
        value_delimiter = ',',
        value_parser = parse_network
    )]
    pub trusted_proxies: Vec<Network>,
    /// Certificates besides those of Pools, which go first: of a folder with NAME.crt and NAME.key, shown for the hosts
    /// that they are for, default.crt to all that ask for none with a certificate. Followed while it changes
    #[arg(long, value_name = "DIR", env = "WEIR_TLS_DIR")]
    pub tls_dir: Option<PathBuf>,
    /// Address of /metrics, /healthz, /readyz and /api/v1/pools
    #[arg(long, value_name = "ADDR", env = "WEIR_ADMIN", default_value = "0.0.0.0:9900")]
    pub admin: SocketAddr,
    /// Threads that serve requests [default: one per CPU]
    #[arg(long, value_name = "N", env = "WEIR_WORKERS")]
    pub workers: Option<NonZeroUsize>,
    /// Folder for the last good table, from which the proxy starts when there is no control plane
    #[arg(long, value_name = "DIR", env = "WEIR_CACHE_DIR")]
    pub cache_dir: Option<PathBuf>,
    /// DNS server to ask in place of those of the system, such as 10.0.0.53:53
    #[arg(long, value_name = "ADDR", env = "WEIR_DNS_SERVER")]
    pub dns_server: Option<SocketAddr>,
    /// When told to stop: time for the load balancer in front to notice, while requests are still taken
    #[arg(long, value_name = "TIME", env = "WEIR_DRAIN_DELAY", default_value = "5s", value_parser = parse_duration)]
    pub drain_delay: Duration,
    /// After that: time for running requests to finish
    #[arg(long, value_name = "TIME", env = "WEIR_DRAIN_TIMEOUT", default_value = "30s", value_parser = parse_duration)]
    pub drain_timeout: Duration,
    /// File for the number of this process; one that takes its place writes its own
    #[arg(long, value_name = "PATH", env = "WEIR_PID_FILE")]
    pub pid_file: Option<PathBuf>,
    /// Name of this proxy at the control plane [default: made of host name, process and chance]
    #[arg(long, value_name = "NAME", env = "WEIR_NODE_ID")]
    pub node_id: Option<String>,
    /// What is logged of requests.
    #[command(flatten)]
    pub access_log: AccessLogArgs,
    /// What is traced.
    #[command(flatten)]
    pub trace: TraceArgs,
    /// What clients may ask of it.
    #[command(flatten)]
    pub limits: Limits,
}

/// A listener to bind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// The name that pools use.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// What clients speak.
    pub protocol: PoolProtocol,
    /// Whether they speak it within TLS.
    pub tls: bool,
    /// Whether each connection begins with the PROXY protocol.
    pub proxy: bool,
}

/// Valid settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// Control planes, of which any will do; all by TLS, or none.
    pub control_planes: Vec<Uri>,
    /// Folder of the certificates for them, if they come by TLS.
    pub control_plane_tls: Option<PathBuf>,
    /// Listeners, each name once.
    pub listeners: Vec<Listen>,
    /// Who may say who a client is.
    pub trusted_proxies: TrustedProxies,
    /// Folder of certificates for clients.
    pub tls_dir: Option<PathBuf>,
    /// Address of the admin server.
    pub admin: SocketAddr,
    /// Threads that serve requests.
    pub workers: NonZeroUsize,
    /// Folder of the last good table.
    pub cache_dir: Option<PathBuf>,
    /// Asked in place of the system's DNS servers.
    pub dns_server: Option<SocketAddr>,
    /// What is logged of requests.
    pub access_log: Option<access_log::Settings>,
    /// What is traced.
    pub trace: Option<trace::Settings>,
    /// Time between not ready and closed listeners.
    pub drain_delay: Duration,
    /// Time for running requests to finish.
    pub drain_timeout: Duration,
    /// File for the number of the process.
    pub pid_file: Option<PathBuf>,
    /// Name of this proxy at the control plane.
    pub node_id: String,
    /// What clients may ask of it.
    pub limits: Limits,
}

/// Arguments that do not fit together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Pools could not tell the two apart.
    #[error("--listen names {0:?} twice: give each listener a name of its own")]
    DuplicateListener(String),
    /// A file that is no list of listeners.
    #[error("--listen-file {}:{line}: {what}", path.display())]
    ListenFile {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// What is wrong there.
        what: String,
    },
    /// Certificates that nobody would see.
    #[error("--tls-dir would not be used: write ,tls after the address of a --listen")]
    NoTlsListener,
    /// A listener that nobody could connect to.
    #[error("--listen {0} needs --trusted-proxies: nobody else may connect there")]
    NobodyTrusted(Listen),
    /// TLS without certificates.
    #[error("--control-plane {0} needs --control-plane-tls DIR, with tls.crt, tls.key and ca.crt")]
    NoCertificates(Uri),
    /// Certificates without TLS.
    #[error("--control-plane {0} would not use --control-plane-tls: write https")]
    NotSecure(Uri),
}

impl TryFrom<Args> for Config {
    type Error = Invalid;

    fn try_from(args: Args) -> Result<Self, Invalid> {
        let trusted_proxies = TrustedProxies::new(args.trusted_proxies);
        let listeners = args.listen_file.as_deref().map_or(Ok(args.listen), listen_file::read)?;
        check_listeners(&listeners, args.tls_dir.is_some(), &trusted_proxies)?;
        check_schemes(&args.control_plane, args.control_plane_tls.is_some())?;
        let node_id = args.node_id.unwrap_or_else(default_node_id);
        Ok(Self {
            control_planes: args.control_plane,
            control_plane_tls: args.control_plane_tls,
            listeners,
            trusted_proxies,
            tls_dir: args.tls_dir,
            admin: args.admin,
            workers: args.workers.unwrap_or_else(default_workers),
            cache_dir: args.cache_dir,
            dns_server: args.dns_server,
            access_log: args.access_log.settings(),
            trace: args.trace.settings(&node_id),
            drain_delay: args.drain_delay,
            drain_timeout: args.drain_timeout,
            pid_file: args.pid_file,
            node_id,
            limits: args.limits,
        })
    }
}

/// Refuses listeners that share a name, certificates without a listener of TLS, and the PROXY protocol from nobody.
///
/// # Errors
/// Names the first listener that is wrong.
pub fn check_listeners(
    listeners: &[Listen],
    has_certificates: bool,
    trusted_proxies: &TrustedProxies,
) -> Result<(), Invalid> {
    if let Some(listen) = listeners.iter().find(|listen| listen.proxy && trusted_proxies.is_empty()) {
        return Err(Invalid::NobodyTrusted(listen.clone()));
    }
    if has_certificates && !listeners.iter().any(|listen| listen.tls) {
        return Err(Invalid::NoTlsListener);
    }
    let mut names = std::collections::BTreeSet::new();
    match listeners.iter().find(|listen| !names.insert(listen.name.as_str())) {
        Some(twice) => Err(Invalid::DuplicateListener(twice.name.clone())),
        None => Ok(()),
    }
}

fn check_schemes(urls: &[Uri], with_tls: bool) -> Result<(), Invalid> {
    let is_https = |url: &Uri| url.scheme_str() == Some("https");
    match urls.iter().find(|url| is_https(url) != with_tls) {
        Some(url) if with_tls => Err(Invalid::NotSecure(url.clone())),
        Some(url) => Err(Invalid::NoCertificates(url.clone())),
        None => Ok(()),
    }
}

/// One worker per CPU that this process may use.
#[must_use]
pub fn default_workers() -> NonZeroUsize {
    available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// Stable while the process lives, and unlike that of any other.
#[must_use]
pub fn default_node_id() -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = if host.trim().is_empty() { "weir" } else { host.trim() };
    format!("{host}-{}-{:08x}", std::process::id(), rand::random::<u32>())
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            |what: &str| format!("{what}: write NAME=ADDRESS:PORT[,tls|,tcp][,proxy], for example http=0.0.0.0:8080");
        let (name, rest) = text.split_once('=').ok_or_else(|| wrong("there is no ="))?;
        let is_name = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
        if name.is_empty() || !name.bytes().all(is_name) {
            return Err(wrong("the name must be of letters, digits, - and _"));
        }
        let (rest, proxy) = rest.strip_suffix(",proxy").map_or((rest, false), |rest| (rest, true));
        let (address, protocol, tls) = match rest.split_once(',') {
            None => (rest, PoolProtocol::Http, false),
            Some((address, "tls")) => (address, PoolProtocol::Http, true),
            Some((address, "tcp")) => (address, PoolProtocol::Tcp, false),
            Some((_, other)) => return Err(wrong(&format!("{other:?} is no protocol of a listener"))),
        };
        let address = address.parse().map_err(|_| wrong(&format!("{address:?} is no IP address and port")))?;
        Ok(Self { name: name.to_owned(), address, protocol, tls, proxy })
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.address)?;
        f.write_str(match (self.protocol, self.tls) {
            (PoolProtocol::Http, false) => "",
            (PoolProtocol::Http, true) => ",tls",
            (PoolProtocol::Tcp, _) => ",tcp",
        })?;
        f.write_str(if self.proxy { ",proxy" } else { "" })
    }
}

impl Listen {
    /// How a URL of it begins.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        match (self.protocol, self.tls) {
            (PoolProtocol::Http, false) => "http",
            (PoolProtocol::Http, true) => "https",
            (PoolProtocol::Tcp, _) => "tcp",
        }
    }

    /// What tables need to know of it.
    #[must_use]
    pub fn served(&self) -> Served {
        Served { name: self.name.clone(), protocol: self.protocol, tls: self.tls, proxy: self.proxy }
    }
}

fn parse_control_plane(text: &str) -> Result<Uri, String> {
    let wrong = || "write http://HOST:PORT or https://HOST:PORT, for example http://10.0.0.5:9800".to_owned();
    let url: Uri = text.parse().map_err(|_| wrong())?;
    let plain = matches!(url.scheme_str(), Some("http" | "https")) && url.path() == "/" && url.query().is_none();
    if plain && url.port_u16().is_some() { Ok(url) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        args: Args,
    }

    fn parse(arguments: &[&str]) -> Result<Config, String> {
        let all = ["weir-data-plane", "--control-plane", "http://127.0.0.1:9800"].iter().chain(arguments);
        let program = Program::try_parse_from(all).map_err(|e| e.to_string())?;
        Config::try_from(program.args).map_err(|e| e.to_string())
    }

    #[test]
    fn defaults_are_those_of_the_help() {
        let config = parse(&[]).unwrap();
        assert_eq!(config.listeners, ["http=0.0.0.0:8080".parse().unwrap()]);
        assert_eq!(config.admin.to_string(), "0.0.0.0:9900");
        assert_eq!((config.drain_delay.as_secs(), config.drain_timeout.as_secs()), (5, 30));
        assert!(config.cache_dir.is_none() && config.access_log.is_none());
        assert_ne!(config.node_id, parse(&[]).unwrap().node_id);
    }

    #[test]
    fn listeners_may_be_repeated_but_not_their_names() {
        let texts = ["a=127.0.0.1:1", "b=[::1]:2,tcp", "c=127.0.0.1:3,tls,proxy"];
        let trusted = ["--trusted-proxies", "::1"];
        let config = parse(&[&texts.map(|text| ["--listen", text]).concat()[..], &trusted].concat()).unwrap();
        assert_eq!(config.listeners.iter().map(Listen::to_string).collect::<Vec<_>>(), texts);
        let protocols: Vec<PoolProtocol> = config.listeners.iter().map(|listen| listen.protocol).collect();
        assert_eq!(protocols, [PoolProtocol::Http, PoolProtocol::Tcp, PoolProtocol::Http]);
        assert_eq!(config.listeners.iter().map(|listen| listen.tls).collect::<Vec<_>>(), [false, false, true]);
        assert_eq!(config.listeners.iter().map(|listen| listen.proxy).collect::<Vec<_>>(), [false, false, true]);
        let error = parse(&["--listen", "a=127.0.0.1:1", "--listen", "a=127.0.0.1:2"]).unwrap_err();
        assert!(error.contains("\"a\" twice"), "{error}");
    }

    #[test]
    fn control_planes_may_be_repeated_and_https_goes_with_certificates() {
        let config = parse(&["--control-plane", "http://[::1]:9801"]).unwrap();
        assert_eq!(config.control_planes.len(), 2);
        let error = parse(&["--control-plane", "https://a:1"]).unwrap_err();
        assert!(error.contains("--control-plane https://a:1/ needs --control-plane-tls"), "{error}");
        let error = parse(&["--control-plane-tls", "tls"]).unwrap_err();
        assert!(error.contains("--control-plane http://127.0.0.1:9800/ would not use"), "{error}");
    }

    #[test]
    fn certificates_go_with_a_listener_of_tls() {
        let error = parse(&["--tls-dir", "tls"]).unwrap_err();
        assert!(error.contains("write ,tls"), "{error}");
        let config = parse(&["--tls-dir", "tls", "--listen", "https=127.0.0.1:1,tls"]).unwrap();
        assert_eq!((config.tls_dir, config.limits.tls_handshake_timeout.as_secs()), (Some("tls".into()), 10));
    }

    #[test]
    fn the_proxy_protocol_is_for_trusted_proxies_only() {
        let error = parse(&["--listen", "a=127.0.0.1:1,tcp,proxy"]).unwrap_err();
        assert!(error.contains("--listen a=127.0.0.1:1,tcp,proxy needs --trusted-proxies"), "{error}");
        let config = parse(&["--trusted-proxies", "10.0.0.0/8,::1"]).unwrap();
        assert!(config.trusted_proxies.has([10, 0, 0, 1].into()) && !config.trusted_proxies.has([127, 0, 0, 1].into()));
    }

    #[test]
    fn wrong_usage_says_what_to_write() {
        for (flag, value, hint) in [
            ("--listen", "8080", "NAME=ADDRESS:PORT"),
            ("--listen", "=1.2.3.4:80", "letters, digits"),
            ("--listen", "a=localhost:80", "no IP address"),
            ("--listen", "a=127.0.0.1:80,udp", "\"udp\" is no protocol"),
            ("--listen", "a=127.0.0.1:80,", "--listen"),
            ("--listen", "a=127.0.0.1:80,proxy,tls", "no protocol"),
            ("--trusted-proxies", "10.0.0.0/33", "no address or network"),
            ("--control-plane", "ftp://a:1", "https://HOST:PORT"),
            ("--control-plane", "10.0.0.5:9800", "http://HOST:PORT"),
            ("--control-plane", "http://a", "http://HOST:PORT"),
            ("--workers", "0", "invalid value '0'"),
            ("--drain-delay", "5", "250ms"),
            ("--admin", "9900", "--admin <ADDR>"),
        ] {
            let error = Program::try_parse_from(["weir-data-plane", flag, value]).unwrap_err();
            assert!(error.to_string().contains(hint), "{flag} {value}: {error}");
            assert_eq!(error.exit_code(), 2);
        }
    }

    #[test]
    fn every_flag_has_a_variable_and_a_help() {
        let command = Program::command();
        command.clone().debug_assert();
        for flag in command.get_arguments() {
            let variable = flag.get_env().unwrap().to_string_lossy().into_owned();
            let name = flag.get_long().unwrap().to_uppercase().replace('-', "_");
            assert_eq!(variable, format!("WEIR_{name}"));
            assert!(flag.get_help().is_some(), "{name}");
        }
    }
}
