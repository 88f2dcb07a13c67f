//! Mutual TLS between the planes: who gets in, what each may read, and certificates that change under load.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use weir_tests::authority::{Authority, Pair, YEAR};
use weir_tests::manifest::{backend, pool, web};
use weir_tests::metrics::samples;
use weir_tests::program::run;
use weir_tests::{Backend, DataPlane, Load, Replica, eventually, get, within};

/// Both planes, with folders for certificates.
struct World {
    authority: Authority,
    server: TempDir,
    client: TempDir,
    control: Replica,
    backend: Backend,
    manifests: TempDir,
}

impl World {
    async fn start() -> Self {
        let authority = Authority::new();
        let (server, client, manifests) = (folder(), folder(), folder());
        authority.server(YEAR).write(server.path(), &[&authority]);
        authority.client(&["*"], YEAR).write(client.path(), &[&authority]);
        let backend = Backend::start("web-1").await;
        fs::write(manifests.path().join("web.yaml"), web("", &[backend.address()])).unwrap();
        let control = start(manifests.path(), server.path()).await;
        Self { authority, server, client, control, backend, manifests }
    }

    async fn proxy(&self) -> DataPlane {
        proxy(&self.control, self.client.path()).start().await
    }

    /// A proxy with this certificate, which does not become ready.
    fn stranger(&self, pair: &Pair) -> (DataPlane, TempDir) {
        let folder = folder();
        pair.write(folder.path(), &[&self.authority]);
        (proxy(&self.control, folder.path()).start_unready(), folder)
    }

    async fn refused(&self, reason: &str) -> f64 {
        let all = self.control.samples("weir_refused_proxies_total").await;
        all.iter().find(|(labels, _)| labels.contains(reason)).unwrap().1
    }

    /// Waits until somebody was refused for this, and checks that nobody got in.
    async fn refuses(&self, reason: &str) {
        eventually(&format!("{reason} is counted"), async || (self.refused(reason).await > 0.0).then_some(())).await;
        let line = self.control.line(&format!("reason=\"{reason}\"")).await;
        assert!(line.contains("refused a proxy") && line.contains("address=127.0.0.1:"), "{line}");
        assert_eq!(self.control.metric("weir_proxies_connected").await, 0.0);
        assert_eq!(self.control.metric("weir_sent_resources_total").await, 0.0);
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

async fn start(manifests: &Path, certificates: &Path) -> Replica {
    Replica::start(manifests, "127.0.0.1:0", &["--grpc-tls", certificates.to_str().unwrap()]).await
}

fn proxy(control: &Replica, certificates: &Path) -> weir_tests::cluster::DataPlaneBuilder {
    let url = format!("https://{}", control.grpc());
    DataPlane::builder(control.grpc()).control_planes(&[url]).tls(certificates)
}

async fn expiry(proxy: &DataPlane) -> f64 {
    let text = get(proxy.admin(), "/metrics").await.unwrap().text();
    samples(&text, "weir_certificate_expiry_timestamp_seconds")[0].1
}

/// Seconds from 1970 to the beginning of a year of this century, or the first of the next.
fn seconds(year: i32) -> f64 {
    let days = (2000..year).map(|y| if y % 4 == 0 { 366 } else { 365 }).sum::<i32>();
    946_684_800.0 + f64::from(days) * 86_400.0
}

#[tokio::test]
async fn planes_with_issued_certificates_serve_and_say_when_these_end() {
    let (tls, manifests) = (folder(), folder());
    let server = Backend::start("web-1").await;
    fs::write(manifests.path().join("web.yaml"), web("", &[server.address()])).unwrap();
    let dir = tls.path().to_str().unwrap();
    let flags = ["issue-certificates", "--dir", dir, "--dns-name", "127.0.0.1", "--allow-namespace", "*"];
    let issued = run("weir-control-plane", &flags);
    assert!(issued.status.success(), "{}", String::from_utf8_lossy(&issued.stderr));

    let control = start(manifests.path(), &tls.path().join("control-plane")).await;
    let proxy = proxy(&control, &tls.path().join("data-plane")).start().await;
    assert_eq!(get(proxy.address(), "/").await.unwrap().text(), "web-1");
    let in_89_days = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64() + 89.0 * 86_400.0;
    for expires in [expiry(&proxy).await, control.metric("weir_certificate_expiry_timestamp_seconds").await] {
        assert!(expires > in_89_days && expires < in_89_days + 2.0 * 86_400.0, "{expires}");
    }
    proxy.stop().await;
}

#[tokio::test]
async fn clients_that_never_finish_their_handshake_hold_up_nobody() {
    let world = World::start().await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(TcpStream::connect(world.control.grpc()).await.unwrap());
    }
    world.proxy().await.stop().await;
    // They are let go in the end.
    for stream in &mut silent {
        within("the end of a silent connection", stream.read_u8()).await.unwrap_err();
    }
    assert_eq!(world.control.metric("weir_refused_proxies_total").await, 0.0, "a probe is no proxy");
}

#[tokio::test]
async fn a_proxy_without_tls_gets_nothing() {
    let world = World::start().await;
    let proxy = DataPlane::builder(world.control.grpc()).start_unready();
    world.refuses("no_certificate").await;
    assert_ne!(get(proxy.admin(), "/readyz").await.unwrap().status, 200);
}

#[tokio::test]
async fn a_client_that_shows_no_certificate_gets_nothing() {
    let world = World::start().await;
    let mut roots = RootCertStore::empty();
    let pem = fs::read(world.client.path().join("ca.crt")).unwrap();
    roots.add(CertificateDer::from_pem_slice(&pem).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let tcp = TcpStream::connect(world.control.grpc()).await.unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap();
    let error = stream.read_u8().await.unwrap_err();
    assert!(error.to_string().contains("CertificateRequired"), "{error}");
    world.refuses("no_certificate").await;
}

#[tokio::test]
async fn a_certificate_of_another_authority_gets_nothing() {
    let world = World::start().await;
    let (_proxy, _folder) = world.stranger(&Authority::new().client(&["*"], YEAR));
    world.refuses("bad_certificate").await;
}

#[tokio::test]
async fn a_certificate_that_is_over_gets_nothing() {
    let world = World::start().await;
    let (_proxy, _folder) = world.stranger(&world.authority.client(&["*"], 2020));
    world.refuses("bad_certificate").await;
}

#[tokio::test]
async fn a_certificate_for_the_other_side_gets_nothing() {
    let world = World::start().await;
    let (_proxy, _folder) = world.stranger(&world.authority.server(YEAR));
    world.refuses("bad_certificate").await;
}

#[tokio::test]
async fn a_certificate_without_a_namespace_gets_nothing() {
    let world = World::start().await;
    let (_proxy, _folder) = world.stranger(&world.authority.client(&[], YEAR));
    world.refuses("no_namespace").await;
}

#[tokio::test]
async fn a_control_plane_of_another_authority_or_name_is_not_believed() {
    let world = World::start().await;
    let folder = folder();
    world.authority.client(&["*"], YEAR).write(folder.path(), &[&Authority::new()]);
    let proxies = [
        proxy(&world.control, folder.path()).start_unready(),
        // Its certificate is for 127.0.0.1.
        proxy(&world.control, world.client.path())
            .control_planes(&[format!("https://localhost:{}", world.control.grpc().port())])
            .start_unready(),
    ];
    // Both have given up at least once when a third has come and gone.
    world.proxy().await.stop().await;
    for proxy in proxies {
        let text = get(proxy.admin(), "/metrics").await.unwrap().text();
        assert_eq!(samples(&text, "weir_control_plane_connected")[0].1, 0.0);
        assert_ne!(get(proxy.admin(), "/readyz").await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn a_proxy_gets_the_namespaces_of_its_certificate_and_no_others() {
    let world = World::start().await;
    let other = pool("secret", "match: [{hosts: [other.test]}]") + &backend("secret-1", "secret", "127.0.0.1:9", "");
    let other = other.replace("namespace: test", "namespace: other");
    fs::write(world.manifests.path().join("other.yaml"), other).unwrap();
    let folder = folder();
    world.authority.client(&["other", "absent"], YEAR).write(folder.path(), &[&world.authority]);
    let limited = proxy(&world.control, folder.path()).start().await;
    let all = world.proxy().await;
    for (proxy, expected) in [(&limited, vec!["other/secret"]), (&all, vec!["other/secret", "test/web"])] {
        eventually(&format!("the proxy has {expected:?}"), async || {
            let state = get(proxy.admin(), "/api/v1/pools").await.ok()?.json();
            let pools: Vec<_> = state["pools"].as_array()?.iter().map(|pool| pool["name"].as_str().unwrap()).collect();
            assert!(pools.iter().all(|pool| expected.contains(pool)), "{pools:?}");
            (pools == expected).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s5_certificates_and_their_authority_change_under_load_and_no_stream_ends() {
    let world = World::start().await;
    let proxy = world.proxy().await;
    let load = Load::start(proxy.address(), 2);
    let (old, new) = (&world.authority, Authority::new());
    let both = [&new, old];
    let steps: [(&Authority, &[&Authority]); 4] = [(old, &[old]), (old, &both), (&new, &both), (&new, &[&new])];
    for (i, (signer, believed)) in steps.into_iter().enumerate() {
        let year = YEAR - 1 - i32::try_from(i).unwrap();
        signer.server(year).write(world.server.path(), believed);
        signer.client(&["*"], year).write(world.client.path(), believed);
        eventually(&format!("step {i} is in force"), async || {
            let ends = world.control.metric("weir_certificate_expiry_timestamp_seconds").await;
            (ends == seconds(year) && expiry(&proxy).await == seconds(year)).then_some(())
        })
        .await;
        // A new connection takes them already.
        world.proxy().await.stop().await;
    }
    let folder = folder();
    old.client(&["*"], YEAR).write(folder.path(), &[&new]);
    let _stranger = self::proxy(&world.control, folder.path()).start_unready();
    eventually("the old authority is not believed", async || {
        (world.refused("bad_certificate").await > 0.0).then_some(())
    })
    .await;
    world.control.has_proxies(1.0).await;
    let connected = world.control.log().matches("proxy connected").count();
    assert_eq!(connected, 5, "the first, and one new one at each step");
    let served = world.backend.requests();
    eventually("requests go on", async || (world.backend.requests() > served + 100).then_some(())).await;
    assert_eq!(load.stop().await.failures, Vec::<String>::new());
    proxy.stop().await;
}

#[tokio::test]
async fn files_that_do_not_fit_are_refused_and_the_old_ones_stay() {
    let world = World::start().await;
    let stranger = world.authority.server(YEAR - 1);
    fs::write(world.server.path().join("tls.crt"), &stranger.certificate).unwrap();
    let line = world.control.line("refused new certificates").await;
    assert!(line.contains("tls.key is not the key of tls.crt"), "{line}");
    let ends = world.control.metric("weir_certificate_expiry_timestamp_seconds").await;
    assert_eq!(ends, seconds(YEAR));
    world.proxy().await.stop().await;
    stranger.write(world.server.path(), &[&world.authority]);
    eventually("the whole pair is taken", async || {
        let ends = world.control.metric("weir_certificate_expiry_timestamp_seconds").await;
        (ends == seconds(YEAR - 1)).then_some(())
    })
    .await;
}

#[test]
fn a_folder_that_cannot_be_used_is_an_error_that_names_the_flag() {
    let empty = folder();
    let dir = empty.path().to_str().unwrap();
    let control = ["--folder", dir, "--grpc-tls", dir, "--grpc", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let url = ["--control-plane", "https://127.0.0.1:1", "--control-plane-tls", dir];
    let proxy = [&url[..], &["--listen", "http=127.0.0.1:0", "--admin", "127.0.0.1:0"]].concat();
    let programs =
        [("weir-control-plane", &control[..], "--grpc-tls"), ("weir-data-plane", &proxy, "--control-plane-tls")];
    for (program, flags, flag) in programs {
        let output = run(program, flags);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(flag) && text.contains("tls.crt"), "{text}");
    }
}
