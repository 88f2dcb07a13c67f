//! TLS towards clients: which certificate is shown to whom, how certificates change, and what becomes of bad ones.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use weir_data_plane::limits::Limits;
use weir_tests::authority::{Authority, Pair, YEAR};
use weir_tests::client::full;
use weir_tests::manifest::{backend, example_with, pool, secret};
use weir_tests::program::Program;
use weir_tests::tls::VERSIONS;
use weir_tests::{Backend, Behaviour, RawClient, TlsClient, Weir, eventually, get, raw, within};

use super::plugin_builtin::received;

/// The Secret `name` with this certificate.
pub(super) fn pair_secret(name: &str, pair: &Pair) -> String {
    secret(name, &[("tls.crt", &pair.certificate), ("tls.key", &pair.key)])
}

/// A Pool of this name and spec, with a backend, and the Secret `NAME-tls` with this certificate.
fn site(name: &str, spec: &str, server: &Backend, pair: &Pair) -> String {
    pool(name, spec) + &backend(name, name, server.address(), "") + &pair_secret(&format!("{name}-tls"), pair)
}

/// A Pool `shop` of the host `shop.example.com`, with this certificate.
fn shop(server: &Backend, pair: &Pair) -> String {
    site("shop", "match: [{hosts: [shop.example.com]}], tls: {secretName: shop-tls}", server, pair)
}

/// What is said about a Pool.
async fn conditions(weir: &Weir, name: &str) -> Vec<(String, String, String)> {
    conditions_of(weir, "Pool", name).await
}

/// What is said about a resource: status, reason and message of each condition.
pub(super) async fn conditions_of(weir: &Weir, kind: &str, name: &str) -> Vec<(String, String, String)> {
    let page = get(weir.control_admin(), "/api/v1/resources").await.unwrap().json();
    let find = |page: &Value| page.as_array().or(page["resources"].as_array()).cloned().unwrap_or_default();
    let resource = find(&page).into_iter().find(|r| r["kind"] == kind && r["name"] == name).unwrap_or_default();
    let text = |condition: &Value, field: &str| condition[field].as_str().unwrap_or_default().to_owned();
    let conditions = resource["conditions"].as_array().cloned().unwrap_or_default();
    conditions.iter().map(|c| (text(c, "status"), text(c, "reason"), text(c, "message"))).collect()
}

/// Waits until a condition of the Pool is false for this reason and says this.
async fn refused(weir: &Weir, name: &str, reason: &str, said: &str) {
    refused_of(weir, "Pool", name, reason, said).await;
}

/// The same of a resource of any kind.
pub(super) async fn refused_of(weir: &Weir, kind: &str, name: &str, reason: &str, said: &str) {
    eventually(&format!("{name} is {reason}: {said}"), async || {
        let all = conditions_of(weir, kind, name).await;
        all.iter().any(|(holds, why, text)| holds == "False" && why == reason && text.contains(said)).then_some(())
    })
    .await;
}

/// A handshake whose certificate is this one.
async fn shows(client: &TlsClient, address: SocketAddr, name: &str, pair: &Pair) -> bool {
    client.connect(address, name).await.is_ok_and(|secure| secure.was_shown(pair))
}

#[tokio::test]
async fn certificates_go_by_name_exact_before_wildcard_before_the_default() {
    let (authority, server) = (Authority::new(), Backend::start("s").await);
    server.set(Behaviour::Echo);
    let exact = authority.site(&["a.example.com"], YEAR);
    let wild = authority.site(&["*.example.com"], YEAR);
    let rest = authority.site(&["rest.example.org", "unheard.example.org"], YEAR);
    let text = site("exact", "match: [{hosts: [a.example.com]}], tls: {secretName: exact-tls}", &server, &exact)
        + &site("wild", "match: [{hosts: ['*.example.com']}], tls: {secretName: wild-tls}", &server, &wild)
        + &site(
            "rest",
            "match: [{hosts: [rest.example.org]}], tls: {secretName: rest-tls, default: true}",
            &server,
            &rest,
        );
    let weir = Weir::builder().https().file("web.yaml", &text).start().await;
    let client = TlsClient::trusting(&authority).offering(&["http/1.1"]);
    for (name, pair) in [
        ("a.example.com", &exact),
        ("A.Example.com", &exact),
        ("b.example.com", &wild),
        ("rest.example.org", &rest),
        ("unheard.example.org", &rest),
    ] {
        let secure = client.connect(weir.https_address(), name).await.unwrap();
        assert!(secure.was_shown(pair), "{name}");
        assert_eq!(secure.protocol(), Some(&b"http/1.1"[..]));
    }
    assert!(shows(&client.silent(), weir.https_address(), "rest.example.org", &rest).await, "without a name");
    let mut http =
        client.connect(weir.https_address(), "a.example.com").await.unwrap().http("a.example.com").await.unwrap();
    let echo = http.get("/").await.unwrap().json();
    assert_eq!(received(&echo, "x-forwarded-proto"), ["https"]);
    let seconds = weir.sample("weir_tls_certificate_expiry_seconds", "certificate=\"test/exact\"").await.unwrap();
    assert!(seconds > 3600.0 * 24.0 * 365.0 * 50.0, "{seconds} s until {YEAR}");
}

#[tokio::test]
async fn large_bodies_pass_both_ways() {
    let (authority, server) = (Authority::new(), Backend::start("s").await);
    server.set(Behaviour::Echo);
    let pair = authority.site(&["shop.example.com"], YEAR);
    let weir = Weir::builder().https().file("web.yaml", &shop(&server, &pair)).start().await;
    for version in VERSIONS {
        let client = TlsClient::new(&authority, &[version], None);
        let secure = client.connect(weir.https_address(), "shop.example.com").await.unwrap();
        let mut http = secure.http("shop.example.com").await.unwrap();
        let body = "x".repeat(3 << 20);
        let request = http::Request::post("/").body(full(body.clone())).unwrap();
        let response = http.send(request).await.unwrap();
        assert_eq!(response.status, 200, "{version:?}");
        assert!(response.text().contains(&body), "{version:?}: {} bytes", response.body.len());
    }
}

#[tokio::test]
async fn other_protocols_pass_within_tls() {
    let (authority, server) = (Authority::new(), Backend::start("s").await);
    server.set(Behaviour::raw("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\nhello"));
    let pair = authority.site(&["shop.example.com"], YEAR);
    let weir = Weir::builder().https().file("web.yaml", &shop(&server, &pair)).start().await;
    let client = TlsClient::trusting(&authority);
    let mut stream = client.connect(weir.https_address(), "shop.example.com").await.unwrap().into_stream();
    let request = "GET / HTTP/1.1\r\nhost: shop.example.com\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\nhello") {
        answer.push(within("the other protocol", stream.read_u8()).await.unwrap());
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn a_request_on_a_new_connection_is_served_while_the_proxy_leaves() {
    let (authority, server) = (Authority::new(), Backend::start("s").await);
    let pair = authority.site(&["shop.example.com"], YEAR);
    let weir = Weir::builder()
        .https()
        .drain_delay(Duration::from_millis(200))
        .file("web.yaml", &shop(&server, &pair))
        .start()
        .await;
    let (address, client) = (weir.https_address(), TlsClient::trusting(&authority));
    let secure = client.connect(address, "shop.example.com").await.unwrap();
    let stopping = tokio::spawn(weir.stop());
    let response = secure.http("shop.example.com").await.unwrap().get("/").await.unwrap();
    assert_eq!(response.text(), "s");
    stopping.await.unwrap();
}

#[tokio::test]
async fn the_example_serves_its_hosts_over_tls() {
    let (shop, staff) = (Backend::start("shop").await, Backend::start("staff").await);
    let address_of = |name: &str| if name == "shop-1" { shop.address() } else { staff.address() };
    let files = example_with("tls", address_of).unwrap();
    let builder = files.iter().fold(Weir::builder().https(), |builder, (file, text)| builder.file(file, text));
    let weir = builder.start().await;
    let documents = files.iter().flat_map(|(_, text)| serde_yaml::Deserializer::from_str(text));
    let secret = documents
        .map(|document| serde_yaml::Value::deserialize(document).unwrap())
        .find(|object| object["metadata"]["name"] == "shop-tls")
        .unwrap();
    let client = TlsClient::believing(secret["stringData"]["tls.crt"].as_str().unwrap(), &VERSIONS, None);
    let secure = client.connect(weir.https_address(), "shop.example.com").await.unwrap();
    assert_eq!(secure.http("shop.example.com").await.unwrap().get("/").await.unwrap().text(), "shop");
    let plain = http::Request::get("/a").header("host", "staff.shop.example.com");
    let response = weir_tests::send(weir.address(), plain.body(full("")).unwrap()).await.unwrap();
    assert_eq!(response.header("location"), "https://staff.shop.example.com/a");
    if let Ok(secure) = client.connect(weir.https_address(), "staff.shop.example.com").await {
        let http = secure.http("staff.shop.example.com").await;
        assert!(http.unwrap().get("/").await.is_err(), "without a certificate");
    }
    assert_eq!((shop.requests(), staff.requests()), (1, 0));
}

#[tokio::test]
async fn s5_a_new_certificate_is_shown_at_once_and_old_connections_live_on() {
    let (authority, server) = (Authority::new(), Backend::start("s").await);
    let pairs = [0; 3].map(|_| authority.site(&["shop.example.com"], YEAR));
    let weir = Weir::builder().https().file("web.yaml", &shop(&server, &pairs[0])).start().await;
    let client = TlsClient::trusting(&authority);
    let secure = client.connect(weir.https_address(), "shop.example.com").await.unwrap();
    assert!(secure.was_shown(&pairs[0]));
    let mut old = secure.http("shop.example.com").await.unwrap();
    for pair in &pairs[1..] {
        weir.write("web.yaml", &shop(&server, pair)).await;
        let newcomer = TlsClient::trusting(&authority);
        assert!(shows(&newcomer, weir.https_address(), "shop.example.com", pair).await);
        assert_eq!(old.get("/").await.unwrap().text(), "s");
    }
}

#[tokio::test]
async fn s1_a_bad_certificate_is_named_and_the_last_good_one_stays() {
    let (authority, server) = (Authority::new(), Backend::start("s").await);
    let good = authority.site(&["shop.example.com"], YEAR);
    let weir = Weir::builder().https().file("web.yaml", &shop(&server, &good)).start().await;
    let other = authority.site(&["shop.example.com"], YEAR);
    let elsewhere = authority.site(&["example.com"], YEAR);
    let expired = authority.site(&["shop.example.com"], 2001);
    let mixed = Pair { key: other.key.clone(), ..good.clone() };
    let garbage = Pair { key: "garbage".to_owned(), ..good.clone() };
    let without = shop(&server, &good).replace("tls.key", "key");
    let deleted = shop(&server, &good).replace("name: shop-tls", "name: other-tls");
    for (text, reason, said) in [
        (shop(&server, &mixed), "Invalid", "spec.tls.secretName: the key is not that of the certificate"),
        (shop(&server, &garbage), "Invalid", "spec.tls.secretName: the key: no private key in PEM"),
        (shop(&server, &elsewhere), "Invalid", "spec.tls.secretName: the certificate is not for shop.example.com"),
        (shop(&server, &expired), "Invalid", "spec.tls.secretName: the certificate is over since 2001-01-01"),
        (without, "SecretNotFound", "spec.tls.secretName: Secret test/shop-tls has no key \"tls.key\""),
        (deleted, "SecretNotFound", "spec.tls.secretName: there is no Secret test/shop-tls"),
    ] {
        weir.edit("web.yaml", &text);
        refused(&weir, "shop", reason, said).await;
        let client = TlsClient::trusting(&authority);
        let secure = client.connect(weir.https_address(), "shop.example.com").await.unwrap();
        assert!(secure.was_shown(&good), "{said}");
        assert_eq!(secure.http("shop.example.com").await.unwrap().get("/").await.unwrap().text(), "s", "{said}");
    }
    weir.write("web.yaml", &shop(&server, &other)).await;
    let client = TlsClient::trusting(&authority);
    assert!(shows(&client, weir.https_address(), "shop.example.com", &other).await);
}

#[tokio::test]
async fn of_two_pools_with_different_certificates_the_first_wins_and_the_other_says_so() {
    let (authority, server) = (Authority::new(), Backend::start("s").await);
    let [first, second] = [0; 2].map(|_| authority.site(&["h.example.com"], YEAR));
    let of = |name: &str, path: &str, pair: &Pair| {
        let rule = format!("hosts: [h.example.com], path: {{type: Prefix, value: {path}}}");
        site(name, &format!("match: [{{{rule}}}], tls: {{secretName: {name}-tls}}"), &server, pair)
    };
    let weir = Weir::builder().https().file("b.yaml", &of("b", "/b", &second)).start().await;
    let client = TlsClient::trusting(&authority);
    assert!(shows(&client, weir.https_address(), "h.example.com", &second).await);
    weir.write("a.yaml", &of("a", "/a", &first)).await;
    let newcomer = TlsClient::trusting(&authority);
    assert!(shows(&newcomer, weir.https_address(), "h.example.com", &first).await);
    let said = "spec.tls: Pool test/a brings another certificate or clientCa for h.example.com";
    refused(&weir, "b", "CertificateConflict", said).await;
    assert!(conditions(&weir, "a").await.iter().all(|(_, reason, _)| reason != "CertificateConflict"));
    let secure = newcomer.connect(weir.https_address(), "h.example.com").await.unwrap();
    assert_eq!(secure.http("h.example.com").await.unwrap().get("/b").await.unwrap().status, 200, "it serves");
    weir.write("a.yaml", &of("a", "/a", &second)).await;
    eventually("both agree", async || {
        let all = conditions(&weir, "b").await;
        (!all.is_empty() && all.iter().all(|(_, reason, _)| reason != "CertificateConflict")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn sessions_are_resumed_on_every_worker() {
    let (authority, server) = (Authority::new(), Backend::start("s").await);
    let pair = authority.site(&["shop.example.com"], YEAR);
    let weir = Weir::builder().https().workers(4).file("web.yaml", &shop(&server, &pair)).start().await;
    for version in VERSIONS {
        let client = TlsClient::new(&authority, &[version], None);
        for connection in 0..24 {
            let secure = client.connect(weir.https_address(), "shop.example.com").await.unwrap();
            // 24 connections from as many ports: the kernel spreads them over the workers.
            assert_eq!(secure.is_resumed(), connection > 0, "{version:?}: {connection}");
            let response = secure.http("shop.example.com").await.unwrap().get("/").await.unwrap();
            assert_eq!(response.text(), "s");
        }
    }
    assert_eq!(weir.sample("weir_tls_handshakes_total", "session=\"resumed\"").await, Some(46.0));
    assert_eq!(weir.sample("weir_tls_handshakes_total", "session=\"full\"").await, Some(2.0));
}

/// Waits until this many handshakes have failed for this reason.
pub(super) async fn failed(weir: &Weir, reason: &str, times: f64) {
    let labels = format!("listener=\"https\",reason=\"{reason}\"");
    eventually(&format!("{times} handshakes failed for {reason}"), async || {
        (weir.sample("weir_tls_handshake_failures_total", &labels).await == Some(times)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn clients_that_cannot_be_served_are_told_and_counted_by_reason() {
    let (authority, server) = (Authority::new(), Backend::start("s").await);
    let pair = authority.site(&["shop.example.com"], YEAR);
    let weir = Weir::builder()
        .https()
        .limits(Limits { tls_handshake_timeout: Duration::from_millis(300), ..Limits::default() })
        .file("web.yaml", &shop(&server, &pair))
        .start()
        .await;
    let address = weir.https_address();
    let client = TlsClient::trusting(&authority);

    let answer = raw::exchange(address, "GET / HTTP/1.1\r\nhost: shop.example.com\r\n\r\n").await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.ends_with("begin with https:\n"), "{answer}");
    failed(&weir, "plain_http", 1.0).await;

    let unknown = client.connect(address, "other.example.com").await.unwrap_err();
    assert!(format!("{unknown:?}").contains("UnrecognisedName"), "{unknown:?}");
    failed(&weir, "no_certificate", 1.0).await;

    let overlap = client.offering(&["spdy/1"]).connect(address, "shop.example.com").await.unwrap_err();
    assert!(format!("{overlap:?}").contains("NoApplicationProtocol"), "{overlap:?}");
    failed(&weir, "no_overlap", 1.0).await;

    let stranger = TlsClient::trusting(&Authority::new());
    stranger.connect(address, "shop.example.com").await.unwrap_err();
    failed(&weir, "refused", 1.0).await;

    raw::exchange(address, [0x16, 3, 1, 0, 4, 9, 9, 9, 9]).await.unwrap();
    failed(&weir, "malformed", 1.0).await;

    drop(TcpStream::connect(address).await.unwrap());
    failed(&weir, "client_abort", 1.0).await;

    let mut silent = RawClient::connect(address).await.unwrap();
    silent.send([0x16, 3, 1]).await.unwrap();
    assert_eq!(silent.read_to_end().await, "", "a handshake that never ends is ended");
    failed(&weir, "timeout", 1.0).await;

    let secure = client.connect(address, "shop.example.com").await.unwrap();
    assert_eq!(secure.http("shop.example.com").await.unwrap().get("/").await.unwrap().text(), "s");
    eventually("none is left of those that failed", async || {
        (weir.metric("weir_connections_active").await == 0.0).then_some(())
    })
    .await;
}

/// Writes a pair as editors do.
fn write_pair(folder: &TempDir, name: &str, pair: &Pair) {
    fs::write(folder.path().join(format!("{name}.crt")), &pair.certificate).unwrap();
    fs::write(folder.path().join(format!("{name}.key")), &pair.key).unwrap();
}

#[tokio::test]
async fn s5_a_folder_of_certificates_is_followed_while_it_changes() {
    let (authority, server, folder) = (Authority::new(), Backend::start("s").await, TempDir::new().unwrap());
    let [first, second] = [0; 2].map(|_| authority.site(&["*.example.com"], YEAR));
    write_pair(&folder, "site", &first);
    let text = pool("web", "") + &backend("web", "web", server.address(), "");
    let weir = Weir::builder().tls_dir(folder.path()).file("web.yaml", &text).start().await;
    let shown = async |name: &str, pair: &Pair| {
        shows(&TlsClient::trusting(&authority), weir.https_address(), name, pair).await.then_some(())
    };
    shown("a.example.com", &first).await.unwrap();
    let client = TlsClient::trusting(&authority);
    let mut old = client.connect(weir.https_address(), "a.example.com").await.unwrap().http("a").await.unwrap();

    write_pair(&folder, "site", &second);
    eventually("the new certificate is shown", || shown("a.example.com", &second)).await;
    assert_eq!(old.get("/").await.unwrap().text(), "s", "old connections live on");

    let default = authority.site(&["example.org"], YEAR);
    write_pair(&folder, "default", &default);
    eventually("the default is shown", || shown("example.org", &default)).await;
    fs::write(folder.path().join("site.key"), "garbage").unwrap();
    let expiry = async || weir.sample("weir_tls_certificate_expiry_seconds", "certificate=\"site\"").await;
    write_pair(&folder, "third", &authority.site(&["third.example.org"], YEAR));
    eventually("the folder was read again", async || {
        weir.sample("weir_tls_certificate_expiry_seconds", "certificate=\"third\"").await
    })
    .await;
    shown("a.example.com", &second).await.expect("the last good one");
    assert!(expiry().await.is_some());
}

#[tokio::test]
async fn no_page_and_no_log_line_shows_a_key() {
    let (authority, server, folder) = (Authority::new(), Backend::start("s").await, TempDir::new().unwrap());
    let pair = authority.site(&["shop.example.com"], YEAR);
    let broken = Pair { key: pair.key.replace("PRIVATE", "SECRET"), ..pair.clone() };
    fs::write(folder.path().join("web.yaml"), shop(&server, &pair)).unwrap();
    let ports = ["http=127.0.0.1:0", "https=127.0.0.1:0,tls"];
    let manifests = folder.path().to_str().unwrap();
    let any = "127.0.0.1:0";
    let arguments =
        ["run", manifests, "--listen", ports[0], "--listen", ports[1], "--admin", any, "--grpc", any, "--api", any];
    let weir = Program::start("weir", &[&arguments[..], &["--log-format", "json"]].concat());
    let line = weir.line("proxy at http://").await;
    let addresses: Vec<SocketAddr> = line
        .split("http://")
        .skip(1)
        .map(|rest| rest.split([',', ' ']).next().unwrap().trim().parse().unwrap())
        .collect();
    let pages = [
        (addresses[0], "/api/v1/pools"),
        (addresses[0], "/metrics"),
        (addresses[0], "/"),
        (addresses[1], "/api/v1/resources"),
        (addresses[1], "/api/v1/proxies"),
        (addresses[1], "/metrics"),
    ];
    let hidden: Vec<&str> = pair.key.lines().filter(|line| !line.starts_with("-----")).collect();
    let hides = async || {
        for (address, path) in pages {
            let page = get(address, path).await.unwrap().text();
            assert!(!hidden.iter().any(|line| page.contains(line)), "{path}: {page}");
        }
    };
    eventually("the pool is there", async || {
        get(addresses[0], "/api/v1/pools").await.ok()?.text().contains("test/shop").then_some(())
    })
    .await;
    hides().await;
    fs::write(folder.path().join("web.yaml"), shop(&server, &broken)).unwrap();
    weir.line("no private key in PEM").await;
    hides().await;
    let log = weir.output();
    assert!(!hidden.iter().any(|line| log.contains(line)), "{log}");
}
