//! Both planes in this process, joined by real gRPC on loopback.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use clap::Args;
use http::{Request, StatusCode};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use weir_control_plane::config::SourceConfig;
use weir_control_plane::status::StatusSink;
use weir_control_plane::{app as control_plane, config as control_config};
use weir_data_plane::limits::Limits;
use weir_data_plane::stats::access_log::AccessLogArgs;
use weir_data_plane::trace::TraceArgs;
use weir_data_plane::trusted::{TrustedProxies, parse_network};
use weir_data_plane::{app as data_plane, config as data_config};
use weir_proto::model::plugin::param::admission::Network;

use crate::client::Client;

/// How long the first table may take.
const READY_WITHIN: Duration = Duration::from_secs(20);
const READY_POLL: Duration = Duration::from_millis(20);
/// How long running requests may take to finish: a person waits for the prompt.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Where both planes listen, and what the proxy may use.
#[derive(Debug, Args)]
pub(crate) struct PlaneArgs {
    /// Where requests are taken, with ,tls over TLS, or with ,tcp connections of any protocol, and with ,proxy those that
    /// begin with the PROXY protocol; may be repeated (in the variable: separated by spaces)
    #[arg(
        long,
        value_name = "NAME=ADDR[,tls|,tcp][,proxy]",
        env = "WEIR_LISTEN",
        value_delimiter = ' ',
        default_value = "http=127.0.0.1:8080"
    )]
    listen: Vec<data_config::Listen>,
    /// Proxies before this one, by address or network, which say who a client is: by the PROXY protocol at listeners
    /// with ,proxy, where nobody else may connect, and in X-Forwarded-For, -Proto and -Host
    #[arg(
        long,
        value_name = "CIDR[,CIDR]",
        env = "WEIR_TRUSTED_PROXIES",
        value_delimiter = ',',
        value_parser = parse_network
    )]
    trusted_proxies: Vec<Network>,
    /// Certificates besides those of Pools: a folder with NAME.crt and NAME.key, shown for the hosts that they are for,
    /// default.crt to all that ask for none with a certificate. Followed while it changes
    #[arg(long, value_name = "DIR", env = "WEIR_TLS_DIR")]
    tls_dir: Option<PathBuf>,
    /// The proxy's metrics, probes and state
    #[arg(long, value_name = "ADDR", env = "WEIR_ADMIN", default_value = "127.0.0.1:9900")]
    admin: SocketAddr,
    /// The stream between the planes
    #[arg(long, value_name = "ADDR", env = "WEIR_GRPC", default_value = "127.0.0.1:9800")]
    grpc: SocketAddr,
    /// The control plane's metrics, probes, proxies and resources, with the API for kubectl
    #[arg(long, value_name = "ADDR", env = "WEIR_API", default_value = "127.0.0.1:9801")]
    api: SocketAddr,
    /// File with a token that clients of the API for kubectl must show; without it that API is there only if --api is an
    /// address on loopback. It may be changed while we run
    #[arg(long, value_name = "FILE", env = "WEIR_API_TOKEN_FILE")]
    api_token_file: Option<PathBuf>,
    /// Threads that serve requests [default: one per CPU]
    #[arg(long, value_name = "N", env = "WEIR_WORKERS")]
    workers: Option<NonZeroUsize>,
    /// Folder for the last good table, from which the proxy starts at once
    #[arg(long, value_name = "DIR", env = "WEIR_CACHE_DIR")]
    cache_dir: Option<PathBuf>,
    /// DNS server to ask in place of those of the system, such as 127.0.0.53:53
    #[arg(long, value_name = "ADDR", env = "WEIR_DNS_SERVER")]
    dns_server: Option<SocketAddr>,
    #[command(flatten)]
    access_log: AccessLogArgs,
    #[command(flatten)]
    trace: TraceArgs,
    #[command(flatten)]
    limits: Limits,
}

impl PlaneArgs {
    /// How the URL of each listener begins.
    pub(crate) fn schemes(&self) -> impl Iterator<Item = &'static str> {
        self.listen.iter().map(data_config::Listen::scheme)
    }

    fn control(&self, folder: &Path) -> control_config::Config {
        let mut config = control_config::Config::new(SourceConfig::Folder(folder.to_owned()), self.grpc, self.api);
        config.admin.flag = "--api";
        config.api_token_file.clone_from(&self.api_token_file);
        config
    }

    fn data(&self, grpc: SocketAddr) -> anyhow::Result<data_config::Config> {
        let trusted_proxies = TrustedProxies::new(self.trusted_proxies.clone());
        data_config::check_listeners(&self.listen, self.tls_dir.is_some(), &trusted_proxies)?;
        let node_id = data_config::default_node_id();
        Ok(data_config::Config {
            control_planes: vec![format!("http://{}", reachable(grpc)).parse()?],
            control_plane_tls: None,
            listeners: self.listen.clone(),
            trusted_proxies,
            tls_dir: self.tls_dir.clone(),
            admin: self.admin,
            workers: self.workers.unwrap_or_else(data_config::default_workers),
            cache_dir: self.cache_dir.clone(),
            dns_server: self.dns_server,
            access_log: self.access_log.clone().settings(),
            trace: self.trace.clone().settings(&node_id),
            drain_delay: Duration::ZERO, // nothing stands in front that would have to notice
            drain_timeout: DRAIN_TIMEOUT,
            pid_file: None,
            node_id,
            limits: self.limits.clone(),
        })
    }
}

/// Where to connect to reach a socket bound to `address`.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() });
    }
    address
}

/// Both planes, running.
#[derive(Debug)]
pub(crate) struct Planes {
    listeners: Vec<(String, SocketAddr)>,
    admin: SocketAddr,
    api: SocketAddr,
    control: Plane,
    proxy: Plane,
}

impl Planes {
    /// Binds every port, then starts both. `sink` is told what is wrong with resources.
    pub(crate) async fn start(folder: &Path, args: &PlaneArgs, sink: impl StatusSink) -> anyhow::Result<Self> {
        let control = control_plane::bind(args.control(folder)).await?;
        let proxy = data_plane::bind(args.data(control.grpc)?)?;
        let (listeners, admin, api) = (proxy.listeners.clone(), reachable(proxy.admin), reachable(control.admin));
        let control =
            Plane::start("the control plane", |stop| tokio::spawn(async { Ok(control.run_with(sink, stop).await?) }));
        let proxy = Plane::start("the proxy", |stop| tokio::spawn(async { Ok(proxy.run(stop).await?) }));
        Ok(Self { listeners, admin, api, control, proxy })
    }

    /// Name and address of each listener, in the order of their flags.
    pub(crate) fn listeners(&self) -> &[(String, SocketAddr)] {
        &self.listeners
    }

    /// The proxy's admin address.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The control plane's admin address.
    pub(crate) fn api(&self) -> SocketAddr {
        self.api
    }

    /// Waits until the proxy has its first table.
    pub(crate) async fn ready(&self) -> anyhow::Result<()> {
        let end = Instant::now() + READY_WITHIN;
        let mut admin = Client::connect(self.admin).await?;
        while admin.send(Request::get("/readyz").body(String::new())?).await?.status() != StatusCode::OK {
            ensure!(Instant::now() < end, "the proxy is not ready after {READY_WITHIN:?}");
            sleep(READY_POLL).await;
        }
        Ok(())
    }

    /// Waits until a plane ends by itself, which it should not, and says why.
    pub(crate) async fn failed(&mut self) -> anyhow::Error {
        tokio::select! {
            error = self.control.failed() => error,
            error = self.proxy.failed() => error,
        }
    }

    /// Stops the proxy, which finishes running requests, then the control plane.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.proxy.stop().await?;
        self.control.stop().await
    }
}

/// One of the two.
#[derive(Debug)]
struct Plane {
    name: &'static str,
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Plane {
    fn start(name: &'static str, spawn: impl FnOnce(CancellationToken) -> JoinHandle<anyhow::Result<()>>) -> Self {
        let stop = CancellationToken::new();
        Self { name, task: spawn(stop.clone()), stop }
    }

    async fn failed(&mut self) -> anyhow::Error {
        match (&mut self.task).await {
            Ok(Ok(())) => anyhow!("{} ended", self.name),
            Ok(Err(error)) => error.context(format!("{} failed", self.name)),
            Err(panic) => anyhow!("{} failed: {panic}", self.name),
        }
    }

    async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.task.await.with_context(|| self.name)?
    }
}
