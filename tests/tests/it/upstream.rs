//! U1 and U2: addresses of upstreams, and their kept-alive connections.

use std::fs::{self, Permissions};
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use http::Request;
use weir_tests::client::full;
use weir_tests::load::bodies;
use weir_tests::manifest::{backend, pool, web};
use weir_tests::port::free_address;
use weir_tests::program::{Program, program};
use weir_tests::{Backend, Dns, Reply, UnixRelay, Weir, eventually, get};

#[tokio::test]
async fn u1_backends_are_ipv4_and_ipv6() {
    let four = Backend::start_on("127.0.0.1:0", "four").await;
    let six = Backend::start_on("[::1]:0", "six").await;
    let weir = Weir::start(&web("", &[four.address(), six.address()])).await;
    let shares = bodies(weir.address(), "/", 10, 1).await.unwrap();
    assert_eq!((shares["four"], shares["six"]), (5, 5));
}

#[tokio::test]
async fn u1_backends_are_unix_sockets_by_path_and_by_abstract_name() {
    let folder = tempfile::tempdir().unwrap();
    let (path, name) = (folder.path().join("web.sock"), format!("weir-{}", std::process::id()));
    let [one, two] = Backend::start_many("web").await;
    let _listening = [
        UnixRelay::start(path.to_str().unwrap(), one.address()),
        UnixRelay::start(&format!("\0{name}"), two.address()),
    ];
    let text = pool("web", "")
        + &backend("by-path", "web", format!("unix:{}", path.display()), "")
        + &backend("by-name", "web", format!("unix:@{name}"), "");
    let weir = Weir::start(&text).await;
    let shares = bodies(weir.address(), "/", 10, 1).await.unwrap();
    assert_eq!((shares["web-1"], shares["web-2"]), (5, 5));
    assert_eq!(weir.backend("test/web", "by-name").await["address"], format!("unix:@{name}"));
}

/// A path that is missing, and one that is a folder.
#[tokio::test]
async fn u1_a_unix_socket_that_is_not_there_fails_over_like_a_refused_connection() {
    let folder = tempfile::tempdir().unwrap();
    let server = Backend::start("web-1").await;
    let folder = folder.path().display();
    let text = pool("web", "health: {passive: {maxFails: 0}}")
        + &backend("missing", "web", format!("unix:{folder}/none.sock"), "")
        + &backend("folder", "web", format!("unix:{folder}"), "")
        + &backend("good", "web", server.address(), "");
    let weir = Weir::start(&text).await;
    let shares = bodies(weir.address(), "/", 9, 1).await.unwrap();
    assert_eq!(shares["web-1"], 9);
    for bad in ["missing", "folder"] {
        assert_eq!(weir.backend("test/web", bad).await["lastFailure"]["reason"], "connect_failure", "{bad}");
    }
}

/// As a user that is not root finds it: one without rights beyond those of its files.
#[tokio::test]
async fn u1_a_unix_socket_that_is_not_permitted_fails_over_like_a_refused_connection() {
    let (folder, sockets) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = Backend::start("web-1").await;
    let path = sockets.path().join("closed.sock");
    let _relay = UnixRelay::start(path.to_str().unwrap(), server.address());
    fs::set_permissions(&path, Permissions::from_mode(0o000)).unwrap();
    let text = pool("web", "health: {passive: {maxFails: 0}}")
        + &backend("closed", "web", format!("unix:{}", path.display()), "")
        + &backend("good", "web", server.address(), "");
    fs::write(folder.path().join("web.yaml"), text).unwrap();
    let (listen, admin) = (free_address(), free_address());
    let (weir, here) = (program("weir"), folder.path());
    let any = ["--grpc=127.0.0.1:0", "--api=127.0.0.1:0"];
    let own = [format!("--listen=http={listen}"), format!("--admin={admin}")];
    let run = ["--bounding-set=-all", weir.to_str().unwrap(), "run", here.to_str().unwrap(), &own[0], &own[1]];
    let _weir = Program::start_file(Path::new("setpriv"), &[&run[..], &any].concat());
    eventually("it serves", async || (get(admin, "/readyz").await.ok()?.status == 200).then_some(())).await;
    assert_eq!(bodies(listen, "/", 9, 1).await.unwrap()["web-1"], 9);
    let state = get(admin, "/api/v1/pools/test/web").await.unwrap().json();
    let backends = state["backends"].as_array().unwrap();
    let closed = backends.iter().find(|backend| backend["name"] == "closed").unwrap();
    assert_eq!(closed["lastFailure"]["reason"], "connect_failure", "{state}");
}

#[tokio::test]
async fn u1_each_address_of_a_dns_name_is_an_endpoint_and_changes_at_its_ttl() {
    let dns = Dns::start().await;
    let one = Backend::start_on("127.0.0.1:0", "one").await;
    let port = one.address().port();
    let two = Backend::start_on(&format!("127.0.0.2:{port}"), "two").await;
    let ip = |last| Ipv4Addr::new(127, 0, 0, last).into();
    dns.set("web.test", &[ip(1)]);
    let text = pool("web", "") + &backend("named", "web", format!("web.test:{port}"), "");
    let weir = Weir::builder().dns(dns.address()).file("web.yaml", &text).start().await;
    endpoints(&weir, 1).await;
    assert_eq!(bodies(weir.address(), "/", 4, 1).await.unwrap()["one"], 4);

    dns.set("web.test", &[ip(1), ip(2)]);
    endpoints(&weir, 2).await;
    let shares = bodies(weir.address(), "/", 10, 1).await.unwrap();
    assert_eq!((shares["one"], shares["two"]), (5, 5));

    dns.set("web.test", &[ip(2)]);
    endpoints(&weir, 1).await;
    assert_eq!(bodies(weir.address(), "/", 4, 1).await.unwrap()["two"], 4);
    drop(two);
}

#[tokio::test]
async fn u1_a_name_that_stops_resolving_keeps_its_last_addresses() {
    let dns = Dns::start().await;
    let server = Backend::start("web-1").await;
    dns.set("web.test", &[Ipv4Addr::LOCALHOST.into()]);
    let text = pool("web", "") + &backend("named", "web", format!("web.test:{}", server.address().port()), "");
    let weir = Weir::builder().dns(dns.address()).file("web.yaml", &text).start().await;
    endpoints(&weir, 1).await;
    dns.set_broken(true);
    let asked = dns.queries();
    eventually("the name is asked for again", async || (dns.queries() > asked + 1).then_some(())).await;
    assert_eq!(weir.get("/").await.text(), "web-1");
}

async fn endpoints(weir: &Weir, count: usize) {
    eventually(&format!("there are {count} endpoints"), async || {
        (weir.state("test/web").await?["backends"].as_array()?.len() == count).then_some(())
    })
    .await;
}

#[tokio::test]
async fn u2_idle_connections_are_reused() {
    let server = Backend::start("web-1").await;
    let weir = Weir::builder().workers(1).file("web.yaml", &web("", &[server.address()])).start().await;
    for _ in 0..20 {
        weir.get("/").await;
    }
    assert_eq!(server.counts().connections(), 1);
    assert_eq!(weir.backend("test/web", "web-1").await["connections"], 1);
}

#[tokio::test]
async fn u2_a_response_with_trailers_gives_its_connection_back_and_is_no_abort() {
    let server = Backend::start("web-1").await;
    server.set(Reply::text("hi").trailer("x-end", "8"));
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let text = web("", &[server.address()]);
    let weir = Weir::builder().workers(1).access_log(&log).file("web.yaml", &text).start().await;
    let mut client = weir.client().await;
    for _ in 0..5 {
        let request = Request::get("/").header("te", "trailers").body(full("")).unwrap();
        assert_eq!(client.send(request).await.unwrap().trailers["x-end"], "8");
    }
    assert_eq!(server.counts().connections(), 1);
    let lines = eventually("all is logged", async || {
        let text = std::fs::read_to_string(&log).unwrap();
        (text.lines().count() == 5).then_some(text)
    })
    .await;
    for line in lines.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!((&line["status"], &line["reason"]), (&200.into(), &serde_json::Value::Null), "{line}");
    }
}

#[tokio::test]
async fn u2_idle_connections_close_after_their_time() {
    let server = Backend::start("web-1").await;
    let text = web("keepalive: {idleTimeout: 100ms}", &[server.address()]);
    let weir = Weir::builder().workers(1).file("web.yaml", &text).start().await;
    weir.get("/").await;
    eventually("the idle connection is closed", async || {
        (weir.backend("test/web", "web-1").await["connections"] == 0).then_some(())
    })
    .await;
    weir.get("/").await;
    assert_eq!(server.counts().connections(), 2);
}

#[tokio::test]
async fn u2_no_connection_is_kept_with_max_idle_zero() {
    let server = Backend::start("web-1").await;
    let weir = Weir::start(&web("keepalive: {maxIdle: 0}", &[server.address()])).await;
    for _ in 0..3 {
        weir.get("/").await;
    }
    assert_eq!(server.counts().connections(), 3);
}
