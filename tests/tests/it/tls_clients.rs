//! TLS towards clients: who they are by their certificates, and the way from http to https.

use http::Request;
use weir_tests::authority::{Authority, Pair, YEAR};
use weir_tests::client::full;
use weir_tests::manifest::{backend, pool, secret};
use weir_tests::tls::VERSIONS;
use weir_tests::{Backend, Behaviour, Client, Response, TlsClient, Weir, send};

use super::plugin_builtin::received;
use super::tls::{failed, pair_secret};

const SUBJECT: &str = "x-client-certificate-subject";
const NAMES: &str = "x-client-certificate-names";

/// Sites that ask clients for certificates in different ways.
struct World {
    authority: Authority,
    people: Authority,
    weir: Weir,
    _server: Backend,
}

impl World {
    async fn start() -> Self {
        let (authority, people) = (Authority::new(), Authority::new());
        let server = Backend::start("s").await;
        server.set(Behaviour::Echo);
        let others = Authority::new();
        let pair = authority.site(&["*.example.com"], YEAR);
        let text = pair_secret("site", &pair)
            + &secret("people", &[("ca.crt", people.pem())])
            + &secret("others", &[("ca.crt", others.pem())])
            + &site("required", "secretName: site, clientCa: {secretName: people}", &server)
            + &site("optional", "secretName: site, clientCa: {secretName: people, mode: Optional}", &server)
            + &site("elsewhere", "secretName: site, clientCa: {secretName: others, mode: Optional}", &server)
            + &site("free", "secretName: site", &server)
            + &site("secure", "secretName: site, redirect: true", &server);
        let weir = Weir::builder().https().file("web.yaml", &text).start().await;
        Self { authority, people, weir, _server: server }
    }

    fn client(&self, own: Option<&Pair>) -> TlsClient {
        TlsClient::new(&self.authority, &VERSIONS, own)
    }

    /// A connection made for this site.
    async fn http(&self, client: &TlsClient, site: &str) -> Client {
        let host = format!("{site}.example.com");
        client.connect(self.weir.https_address(), &host).await.unwrap().http(&host).await.unwrap()
    }

    /// A request without TLS.
    async fn plain(&self, host: &str, path: &str) -> Response {
        let request = Request::post(path).header("host", host).body(full("x")).unwrap();
        send(self.weir.address(), request).await.unwrap()
    }
}

/// A Pool of the host `NAME.example.com`.
fn site(name: &str, tls: &str, server: &Backend) -> String {
    let spec = format!("match: [{{hosts: [{name}.example.com]}}], tls: {{{tls}}}");
    pool(name, &spec) + &backend(name, name, server.address(), "")
}

/// A request that claims to be somebody.
fn forged(host: &str) -> Request<weir_tests::client::Body> {
    let request = Request::get("/").header("host", host).header(SUBJECT, "CN=root").header(NAMES, "DNS:root");
    request.header("x_client_certificate_subject", "CN=root").body(full("")).unwrap()
}

#[tokio::test]
async fn backends_learn_who_the_client_is_and_no_client_forges_it() {
    let world = World::start().await;
    let alice = world.client(Some(&world.people.person("alice")));
    for site in ["required", "optional"] {
        let mut http = world.http(&alice, site).await;
        let echo = http.send(forged(&format!("{site}.example.com"))).await.unwrap().json();
        assert_eq!(received(&echo, SUBJECT), ["CN=alice,O=shop"], "{site}");
        assert_eq!(received(&echo, NAMES), ["URI:spiffe://shop/alice,email:alice@example.com"], "{site}");
        assert!(received(&echo, "x_client_certificate_subject").is_empty(), "{site}");
    }
    let mut http = world.http(&world.client(None), "optional").await;
    let echo = http.send(forged("optional.example.com")).await.unwrap().json();
    assert!(received(&echo, SUBJECT).is_empty() && received(&echo, NAMES).is_empty());
}

#[tokio::test]
async fn who_has_no_certificate_that_is_believed_is_turned_away() {
    let world = World::start().await;
    let stranger = Authority::new().person("eve");
    for (place, own) in [None, Some(&stranger)].into_iter().enumerate() {
        let client = world.client(own);
        // With TLS 1.3 the client hears of it after its own part of the handshake.
        if let Ok(secure) = client.connect(world.weir.https_address(), "required.example.com").await {
            let http = secure.http("required.example.com").await;
            assert!(http.unwrap().get("/").await.is_err());
        }
        failed(&world.weir, "client_certificate", (place + 1) as f64).await;
    }
    let mistaken = world.client(Some(&stranger)).connect(world.weir.https_address(), "optional.example.com").await;
    if let Ok(secure) = mistaken {
        assert!(secure.http("optional.example.com").await.unwrap().get("/").await.is_err(), "one that is bad is none");
    }
    failed(&world.weir, "client_certificate", 3.0).await;
}

#[tokio::test]
async fn a_connection_made_for_another_host_does_not_do_for_one_that_asks_for_certificates() {
    let world = World::start().await;
    let alice = world.client(Some(&world.people.person("alice")));
    let mut free = world.http(&alice, "free").await;
    let refused = free.send(forged("required.example.com")).await.unwrap();
    assert_eq!(refused.status, 421);
    let unknown = free.send(forged("optional.example.com")).await.unwrap().json();
    assert!(received(&unknown, SUBJECT).is_empty(), "nobody asked on this connection");
    assert_eq!(free.send(forged("free.example.com")).await.unwrap().status, 200);
    assert_eq!(world.plain("required.example.com", "/").await.status, 421, "nor does one without TLS");

    let mut required = world.http(&alice, "required").await;
    let same = required.send(forged("optional.example.com")).await.unwrap().json();
    assert_eq!(received(&same, SUBJECT), ["CN=alice,O=shop"], "the same authorities were asked");
    let other = required.send(forged("elsewhere.example.com")).await.unwrap().json();
    assert!(received(&other, SUBJECT).is_empty(), "other authorities know no alice");
}

#[tokio::test]
async fn sessions_with_client_certificates_are_not_resumed() {
    let world = World::start().await;
    let alice = world.client(Some(&world.people.person("alice")));
    for _ in 0..3 {
        let secure = alice.connect(world.weir.https_address(), "required.example.com").await.unwrap();
        assert!(!secure.is_resumed());
        assert_eq!(secure.http("required.example.com").await.unwrap().get("/").await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn one_field_leads_from_http_to_https() {
    let world = World::start().await;
    let response = world.plain("Secure.example.com:8080", "/a%20b?c=d").await;
    assert_eq!((response.status, response.header("location")), (308, "https://secure.example.com/a%20b?c=d"));
    let request = Request::get("/").version(http::Version::HTTP_10).header("host", "secure.example.com");
    assert_eq!(send(world.weir.address(), request.body(full("")).unwrap()).await.unwrap().status, 308);
    let mut https = world.http(&world.client(None), "secure").await;
    assert_eq!(https.get("/").await.unwrap().status, 200);
    assert_eq!(world.plain("free.example.com", "/").await.status, 200, "others are served without TLS");
}
