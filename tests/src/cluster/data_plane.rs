//! A proxy in this process.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use weir_data_plane::app::{self, Error};
use weir_data_plane::config::{Config, Listen, default_node_id};
use weir_data_plane::limits::Limits;
use weir_data_plane::stats::access_log::{Filter, Format, Settings, Target};
use weir_data_plane::trace;
use weir_data_plane::trusted::{TrustedProxies, parse_network};
use weir_proto::model::PoolProtocol;

use crate::{eventually, get, within};

/// A proxy with a listener `http`, and perhaps `tcp` and `https`; ends when dropped.
#[derive(Debug)]
pub struct DataPlane {
    address: SocketAddr,
    tcp: Option<SocketAddr>,
    https: Option<SocketAddr>,
    listeners: Vec<(String, SocketAddr)>,
    admin: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<Result<(), Error>>,
}

/// What a [`DataPlane`] is to be.
#[derive(Debug)]
pub struct Builder {
    control_planes: Vec<String>,
    tls: Option<PathBuf>,
    workers: usize,
    tcp: bool,
    https: bool,
    more: Vec<Listen>,
    trusted_proxies: TrustedProxies,
    tls_dir: Option<PathBuf>,
    dns: Option<SocketAddr>,
    cache: Option<PathBuf>,
    access_log: Option<Settings>,
    trace: Option<trace::Settings>,
    drain_delay: Duration,
    drain_timeout: Duration,
    limits: Limits,
}

impl Builder {
    /// With this control plane.
    #[must_use]
    pub fn control_plane(self, control_plane: SocketAddr) -> Self {
        self.control_planes(&[format!("http://{control_plane}")])
    }

    /// With these control planes, by URL.
    #[must_use]
    pub fn control_planes(self, urls: &[String]) -> Self {
        Self { control_planes: urls.to_vec(), ..self }
    }

    /// With this folder of certificates for them.
    #[must_use]
    pub fn tls(self, folder: &Path) -> Self {
        Self { tls: Some(folder.to_owned()), ..self }
    }

    /// With this many workers.
    #[must_use]
    pub fn workers(self, workers: usize) -> Self {
        Self { workers, ..self }
    }

    /// With a listener `tcp` besides.
    #[must_use]
    pub fn tcp(self) -> Self {
        Self { tcp: true, ..self }
    }

    /// With a listener `https` besides.
    #[must_use]
    pub fn https(self) -> Self {
        Self { https: true, ..self }
    }

    /// With a listener `https` besides, and this folder of certificates.
    #[must_use]
    pub fn tls_dir(self, folder: &Path) -> Self {
        Self { https: true, tls_dir: Some(folder.to_owned()), ..self }
    }

    /// With another listener, as `--listen` has it.
    ///
    /// # Panics
    /// If it is malformed.
    #[must_use]
    pub fn listen(mut self, listener: &str) -> Self {
        self.more.push(listener.parse().expect("a listener"));
        self
    }

    /// Believes these networks.
    ///
    /// # Panics
    /// If one is none.
    #[must_use]
    pub fn trusted_proxies(self, networks: &[&str]) -> Self {
        let networks = networks.iter().map(|text| parse_network(text).expect("a network"));
        Self { trusted_proxies: TrustedProxies::new(networks.collect()), ..self }
    }

    /// With this DNS server.
    #[must_use]
    pub fn dns(self, server: SocketAddr) -> Self {
        Self { dns: Some(server), ..self }
    }

    /// With this folder for the last good table.
    #[must_use]
    pub fn cache(self, folder: &Path) -> Self {
        Self { cache: Some(folder.to_owned()), ..self }
    }

    /// With this file for its access log.
    #[must_use]
    pub fn access_log(self, file: &Path) -> Self {
        self.access_log_with(file, Format::Json, Filter::default())
    }

    /// With this file for its access log, these lines, and these requests.
    #[must_use]
    pub fn access_log_with(self, file: &Path, format: Format, filter: Filter) -> Self {
        let target = Target::File(file.to_owned());
        Self { access_log: Some(Settings { target, format, filter }), ..self }
    }

    /// Sends traces to the collector at this address: those of this share of requests that come without one.
    ///
    /// # Panics
    /// If that is no share.
    #[must_use]
    pub fn trace(self, collector: SocketAddr, share: &str) -> Self {
        let collector = format!("http://{collector}").parse().expect("a URL");
        let (sample, instance) = (share.parse().expect("a share"), "test".to_owned());
        Self { trace: Some(trace::Settings { collector, sample, instance }), ..self }
    }

    /// Stays this long before it stops accepting.
    #[must_use]
    pub fn drain_delay(self, drain_delay: Duration) -> Self {
        Self { drain_delay, ..self }
    }

    /// Gives running requests this long when it stops.
    #[must_use]
    pub fn drain_timeout(self, drain_timeout: Duration) -> Self {
        Self { drain_timeout, ..self }
    }

    /// With these limits.
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Starts it, and waits until it is ready.
    ///
    /// # Panics
    /// If it does not become ready.
    pub async fn start(self) -> DataPlane {
        let proxy = self.start_unready();
        eventually("the proxy is ready", async || {
            (get(proxy.admin, "/readyz").await.ok()?.status == 200).then_some(())
        })
        .await;
        proxy
    }

    /// Starts it.
    ///
    /// # Panics
    /// If it cannot bind.
    pub fn start_unready(self) -> DataPlane {
        let bound = app::bind(self.config()).expect("a proxy that binds");
        let stop = CancellationToken::new();
        let (address, admin) = (bound.listeners[0].1, bound.admin);
        let named = |name: &str| bound.listeners.iter().find(|(own, _)| own == name).map(|(_, address)| *address);
        let (tcp, https) = (named("tcp"), named("https"));
        let listeners = bound.listeners.clone();
        DataPlane { address, tcp, https, listeners, admin, task: tokio::spawn(bound.run(stop.clone())), stop }
    }

    fn config(self) -> Config {
        let any = ([127, 0, 0, 1], 0).into();
        let listen =
            |name: &str, protocol, tls| Listen { name: name.to_owned(), address: any, protocol, tls, proxy: false };
        let tcp = self.tcp.then(|| listen("tcp", PoolProtocol::Tcp, false));
        let https = self.https.then(|| listen("https", PoolProtocol::Http, true));
        let http = listen("http", PoolProtocol::Http, false);
        Config {
            control_planes: self.control_planes.iter().map(|url| url.parse().expect("a URL")).collect(),
            control_plane_tls: self.tls,
            listeners: [http].into_iter().chain(tcp).chain(https).chain(self.more).collect(),
            trusted_proxies: self.trusted_proxies,
            tls_dir: self.tls_dir,
            admin: any,
            workers: NonZeroUsize::new(self.workers).expect("at least one worker"),
            cache_dir: self.cache,
            dns_server: self.dns,
            access_log: self.access_log,
            trace: self.trace,
            drain_delay: self.drain_delay,
            drain_timeout: self.drain_timeout,
            pid_file: None,
            node_id: default_node_id(),
            limits: self.limits,
        }
    }
}

impl DataPlane {
    /// One with two workers that gets its table from this address.
    #[must_use]
    pub fn builder(control_plane: SocketAddr) -> Builder {
        Builder {
            control_planes: vec![format!("http://{control_plane}")],
            tls: None,
            workers: 2,
            tcp: false,
            https: false,
            more: Vec::new(),
            trusted_proxies: TrustedProxies::default(),
            tls_dir: None,
            dns: None,
            cache: None,
            access_log: None,
            trace: None,
            drain_delay: Duration::ZERO,
            drain_timeout: Duration::from_secs(10),
            limits: Limits::default(),
        }
    }

    /// Where it takes requests.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it takes connections of TCP.
    ///
    /// # Panics
    /// If it has no listener for them.
    pub fn tcp_address(&self) -> SocketAddr {
        self.tcp.expect("a listener of TCP")
    }

    /// Where it takes requests over TLS.
    ///
    /// # Panics
    /// If it has no listener for them.
    pub fn https_address(&self) -> SocketAddr {
        self.https.expect("a listener of TLS")
    }

    /// Where a listener of [`Builder::listen`] is.
    ///
    /// # Panics
    /// If there is none of this name.
    pub fn listener(&self, name: &str) -> SocketAddr {
        self.listeners.iter().find(|(own, _)| own == name).expect("a listener of this name").1
    }

    /// Its admin address.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Stops it gracefully and waits for its end.
    ///
    /// # Panics
    /// If it failed.
    pub async fn stop(mut self) {
        self.stop.cancel();
        let ended = within("the end of a proxy", &mut self.task).await;
        ended.expect("no panic").expect("a proxy that ends well");
    }
}

impl Drop for DataPlane {
    /// Not gracefully: its ports may be another test's before long.
    fn drop(&mut self) {
        self.task.abort();
    }
}
