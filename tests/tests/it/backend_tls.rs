//! TLS to backends: who is believed, what becomes of those who are not, and how all of it changes under traffic.

use std::net::SocketAddr;

use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use weir_tests::authority::{Authority, Pair, YEAR};
use weir_tests::client::full;
use weir_tests::load::bodies;
use weir_tests::manifest::{NAMESPACE, backend, pool, secret};
use weir_tests::{Backend, Behaviour, Load, Speech, Weir, eventually, send, within};

use super::tls::{conditions_of, pair_secret, refused_of};

const ANY: &str = "127.0.0.1:0";

/// A server within TLS, with this certificate.
async fn secure(name: &str, pair: &Pair) -> Backend {
    Backend::start_speaking(ANY, name, Speech::tls(pair)).await
}

/// The Secret `ca` of this authority.
fn ca(authority: &Authority) -> String {
    secret("ca", &[("ca.crt", authority.pem())])
}

/// The same as a ConfigMap.
fn ca_map(authority: &Authority) -> String {
    let texts = serde_json::json!({ "ca.crt": authority.pem() });
    format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: ca-map, namespace: {NAMESPACE}}}\ndata: {texts}\n")
}

/// A Backend `web-N` of the Pool `web`, with this `tls`.
fn web(number: u32, address: SocketAddr, tls: &str) -> String {
    backend(&format!("web-{number}"), "web", address, &format!("tls: {{{tls}}}"))
}

const NAMED: &str = "serverName: web.internal, ca: {secretName: ca}";

#[tokio::test]
async fn u1_backends_within_tls_are_known_by_their_name_or_their_address() {
    let authority = Authority::new();
    let by_name = secure("name", &authority.site(&["web.internal"], YEAR)).await;
    let by_address = secure("address", &authority.server(YEAR)).await;
    let text = pool("web", "")
        + &web(1, by_name.address(), NAMED)
        + &web(2, by_address.address(), "ca: {configMapName: ca-map}, minimumVersion: '1.3'")
        + &ca(&authority)
        + &ca_map(&authority);
    let weir = Weir::start(&text).await;
    let shares = bodies(weir.address(), "/", 10, 1).await.unwrap();
    assert_eq!((shares["name"], shares["address"]), (5, 5));
    by_name.set(Behaviour::Echo);
    by_address.set(Behaviour::Echo);
    let body = "x".repeat(3 << 20);
    for _ in 0..2 {
        let request = Request::post("/").body(full(body.clone())).unwrap();
        let response = send(weir.address(), request).await.unwrap();
        assert_eq!(response.status, 200);
        assert_eq!(response.json()["body"].as_str().map(str::len), Some(body.len()));
    }
}

#[tokio::test]
async fn u2_connections_within_tls_are_kept_and_new_ones_resume_their_sessions() {
    let authority = Authority::new();
    let server = secure("s", &authority.site(&["web.internal"], YEAR)).await;
    let weir = Weir::builder()
        .workers(1)
        .file("web.yaml", &(pool("web", "") + &web(1, server.address(), NAMED) + &ca(&authority)))
        .start()
        .await;
    assert_eq!(bodies(weir.address(), "/", 10, 1).await.unwrap()["s"], 10);
    assert_eq!((server.counts().handshakes(), server.counts().resumed()), (1, 0));
    server.hold();
    let asking: Vec<_> = (0..3).map(|_| tokio::spawn(bodies(weir.address(), "/", 1, 1))).collect();
    eventually("three at once", async || (server.counts().in_flight() == 3).then_some(())).await;
    server.release();
    for asked in asking {
        asked.await.unwrap().unwrap();
    }
    assert_eq!((server.counts().handshakes(), server.counts().resumed()), (3, 2));
}

/// One good server beside a bad one: requests find the good one, and the bad one has its reason.
#[tokio::test]
async fn h1_what_is_wrong_with_tls_is_a_failure_with_its_reason() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let good = authority.site(&["web.internal"], YEAR);
    let (server, bad) = (secure("good", &good).await, Backend::start("bad").await);
    let strict = "serverName: web.internal, ca: {secretName: ca}, minimumVersion: '1.3'";
    let text = |spec: &str, tls: &str| {
        pool("web", spec) + &web(1, bad.address(), tls) + &web(2, server.address(), NAMED) + &ca(&authority)
    };
    let weir = Weir::start(&text("health: {passive: {maxFails: 0}}", NAMED)).await;
    for (speech, reason, tls) in [
        (Speech::tls(&authority.site(&["web.internal"], 2001)), "tls_expired", NAMED),
        (Speech::tls(&authority.site(&["other.internal"], YEAR)), "tls_wrong_name", NAMED),
        (Speech::tls(&stranger.site(&["web.internal"], YEAR)), "tls_unknown_issuer", NAMED),
        (Speech::tls_for(&good, &authority), "tls_refused", NAMED),
        (Speech::in_old_tls(&good), "tls_no_overlap", strict),
        (Speech::http2_tls(&good), "tls_no_overlap", NAMED),
        (Speech::default(), "tls_not_spoken", NAMED),
    ] {
        bad.speak(speech);
        weir.write("web.yaml", &text("health: {passive: {maxFails: 0}}", tls)).await;
        assert_eq!(bodies(weir.address(), "/", 6, 1).await.unwrap()["good"], 6, "{reason}");
        assert_eq!(weir.backend("test/web", "web-1").await["lastFailure"]["reason"], reason);
        let labels = format!("reason=\"{reason}\"");
        assert!(weir.sample("weir_backend_fails_total", &labels).await.is_some_and(|fails| fails >= 3.0), "{labels}");
    }
    assert_eq!(bad.requests(), 0);
    weir.write("web.yaml", &(pool("web", "") + &web(1, bad.address(), NAMED) + &ca(&authority))).await;
    for _ in 0..3 {
        let alone = weir.get("/").await;
        assert_eq!((alone.status, alone.text()), (502, "no secure connection to a backend could be made\n".into()));
    }
    assert_eq!(weir.backend("test/web", "web-1").await["state"], "Ejected");
}

#[tokio::test]
async fn whoever_answers_is_believed_only_if_that_is_asked_for() {
    let pair = Authority::new().site(&["other.internal"], YEAR);
    let server = secure("s", &pair).await;
    let weir = Weir::start(&(pool("web", "") + &web(1, server.address(), "insecureSkipVerify: true"))).await;
    assert_eq!(weir.get("/").await.text(), "s");
    weir.write("web.yaml", &(pool("web", "") + &web(1, server.address(), ""))).await;
    assert_eq!(weir.get("/").await.status, 502, "nor by a connection that was made before");
    assert_eq!(weir.backend("test/web", "web-1").await["lastFailure"]["reason"], "tls_unknown_issuer");
}

#[tokio::test]
async fn s5_a_new_authority_and_client_certificate_are_used_at_once_and_no_request_fails() {
    let [first, second] = [Authority::new(), Authority::new()];
    let sites = [&first, &second].map(|authority| authority.site(&["web.internal"], YEAR));
    let clients = [&first, &second].map(|authority| authority.person("weir"));
    let server = Backend::start_speaking(ANY, "s", Speech::tls_for(&sites[0], &first)).await;
    let tls = format!("{NAMED}, clientCertificate: {{secretName: client}}");
    let text = |authority: &Authority, client: &Pair| {
        pool("web", "") + &web(1, server.address(), &tls) + &ca(authority) + &pair_secret("client", client)
    };
    let weir = Weir::start(&text(&first, &clients[0])).await;
    let load = Load::start(weir.address(), 2);
    eventually("some requests", async || (server.requests() > 20).then_some(())).await;
    // Nobody believes both authorities: connections that are there live on until the proxy is told.
    let before = server.counts().handshakes();
    server.speak(Speech::tls_for(&sites[1], &second));
    weir.write("web.yaml", &text(&second, &clients[1])).await;
    let seen = server.requests();
    eventually("more requests", async || (server.requests() > seen + 20).then_some(())).await;
    let tally = load.stop().await;
    assert!(tally.failures.is_empty(), "{:?}", tally.failures);
    assert!(server.counts().handshakes() > before, "old connections are not reused");
}

#[tokio::test]
async fn s1_what_a_backend_names_is_refused_at_its_field_and_the_last_good_one_stays() {
    let authority = Authority::new();
    let (site, client) = (authority.site(&["web.internal"], YEAR), authority.person("weir"));
    let server = Backend::start_speaking(ANY, "s", Speech::tls_for(&site, &authority)).await;
    let tls = format!("{NAMED}, clientCertificate: {{secretName: client}}");
    let text = |ca: &str, client: &Pair, name: &str| {
        pool("web", "keepalive: {maxIdle: 0}") + &web(1, server.address(), &tls) + ca + &pair_secret(name, client)
    };
    let good = text(&ca(&authority), &client, "client");
    let weir = Weir::start(&good).await;
    assert_eq!(weir.get("/").await.text(), "s");
    let mixed = Pair { key: authority.person("other").key, ..client.clone() };
    let field = "spec.tls.clientCertificate.secretName";
    for (text, reason, said) in [
        (
            text("", &client, "client"),
            "SecretNotFound",
            "spec.tls.ca.secretName: there is no Secret test/ca".to_owned(),
        ),
        (
            text(&secret("ca", &[("ca.crt", "x")]), &client, "client"),
            "Invalid",
            "spec.tls.ca: no certificate in PEM".into(),
        ),
        (text(&ca(&authority), &client, "other"), "SecretNotFound", format!("{field}: there is no Secret test/client")),
        (
            text(&ca(&authority), &mixed, "client"),
            "Invalid",
            format!("{field}: the key is not that of the certificate"),
        ),
        (
            text(&ca(&authority), &authority.site(&["weir"], 2001), "client"),
            "Invalid",
            format!("{field}: the certificate is over since 2001-01-01"),
        ),
        (good.replace("web.internal", "a b"), "Invalid", "spec.tls.serverName: \"a b\" is no DNS name".into()),
        (
            good.replace("tls: {", "protocol: FastCGI, tls: {"),
            "Invalid",
            "spec.tls: does not go with protocol FastCGI".into(),
        ),
    ] {
        weir.edit("web.yaml", &text);
        refused_of(&weir, "Backend", "web-1", reason, &said).await;
        assert_eq!(weir.get("/").await.text(), "s", "{said}");
    }
    weir.write("web.yaml", &good).await;
    let all = conditions_of(&weir, "Backend", "web-1").await;
    assert!(all.iter().all(|(holds, ..)| holds != "False"), "{all:?}");
}

#[tokio::test]
async fn h2_probes_go_over_the_same_tls() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let server = secure("s", &authority.site(&["web.internal"], YEAR)).await;
    for kind in ["HTTP", "TCP"] {
        let active = format!("active: {{type: {kind}, interval: 50ms, healthyThreshold: 1}}, passive: {{maxFails: 0}}");
        let text = pool("web", &format!("health: {{{active}}}")) + &web(1, server.address(), NAMED) + &ca(&authority);
        let weir = Weir::start(&text).await;
        let until = async |field: &str, value: &str| {
            eventually(&format!("{kind}: {field} is {value}"), async || {
                (weir.backend("test/web", "web-1").await[field] == value).then_some(())
            })
            .await;
        };
        until("state", "Up").await;
        server.speak(Speech::tls(&stranger.site(&["web.internal"], YEAR)));
        server.stop().await;
        server.restart();
        until("state", "Down").await;
        until("reason", "tls_unknown_issuer").await;
        weir.write("web.yaml", &text.replace(&ca(&authority), &ca(&stranger))).await;
        until("state", "Up").await;
        server.speak(Speech::tls(&authority.site(&["web.internal"], YEAR)));
    }
}

#[tokio::test]
async fn u1_connections_of_tcp_go_on_within_tls() {
    let authority = Authority::new();
    let server = Backend::start_speaking(ANY, "s", Speech::tls(&authority.site(&["web.internal"], YEAR))).await;
    server.set(Behaviour::Echo);
    let text = pool("web", "protocol: TCP") + &web(1, server.address(), NAMED) + &ca(&authority);
    let weir = Weir::builder().tcp().file("web.yaml", &text).start().await;
    let body = "x".repeat(3 << 20);
    let request = Request::post("/").body(full(body.clone())).unwrap();
    let response = send(weir.tcp_address(), request).await.unwrap();
    assert_eq!(response.json()["body"].as_str().map(str::len), Some(body.len()));
    assert_eq!(server.counts().handshakes(), 1);
    server.speak(Speech::default());
    let mut client = TcpStream::connect(weir.tcp_address()).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    // It is closed, be it by a reset.
    let _ = within("the end", client.read_to_end(&mut answer)).await;
    assert!(answer.is_empty());
    assert_eq!(weir.backend("test/web", "web-1").await["lastFailure"]["reason"], "tls_not_spoken");
}
