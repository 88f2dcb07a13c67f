//! The PROXY protocol from proxies before this one: the client that it names is the client everywhere.

use std::net::SocketAddr;
use std::time::Duration;

use http::Request;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use weir_data_plane::limits::Limits;
use weir_data_plane::proxy_protocol::Ends;
use weir_proto::model::ProxyProtocol;
use weir_tests::authority::{Authority, YEAR};
use weir_tests::client::full;
use weir_tests::manifest::{backend, pool, web};
use weir_tests::php::scripts;
use weir_tests::raw::status;
use weir_tests::{Backend, Behaviour, Client, Echo, Php, RawClient, TlsClient, Weir, eventually, within};

use super::plugin_builtin::received;

const LISTENER: &str = "proxied=127.0.0.1:0,proxy";
const CLIENT: &str = "192.0.2.7:4711";

/// What a proxy says of a client at this address.
fn header(client: &str, version: ProxyProtocol) -> Vec<u8> {
    Ends::new(client.parse().unwrap(), "10.0.0.1:443".parse().unwrap()).header(version)
}

/// A connection that begins with these bytes.
async fn connect(address: SocketAddr, header: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream.write_all(header).await.unwrap();
    stream
}

async fn client(address: SocketAddr, header: &[u8]) -> Client {
    Client::over(connect(address, header).await, "shop.example.com").await.unwrap()
}

/// A proxy that believes loopback, with a listener `proxied`, and a server that tells what it received.
async fn start(spec: &str, limits: Limits) -> (Weir, Backend) {
    let server = Backend::start("web-1").await;
    server.set(Behaviour::Echo);
    let text = web(spec, &[server.address()]);
    let builder = Weir::builder().listen(LISTENER).trusted_proxies(&["127.0.0.0/8"]).limits(limits);
    (builder.file("web.yaml", &text).start().await, server)
}

/// How many connections of the listener were refused for this reason.
async fn refused(weir: &Weir, reason: &str) -> f64 {
    let labels = format!("listener=\"proxied\",reason=\"{reason}\"");
    weir.sample("weir_connections_refused_total", &labels).await.unwrap_or_default()
}

#[tokio::test]
async fn the_address_that_it_brings_is_the_clients_for_each_request_of_the_connection() {
    let deny = "listeners: [proxied], plugins: [{type: AllowAddresses, param: {deny: [192.0.2.66]}}]";
    let (weir, _server) = start(deny, Limits::default()).await;
    for version in [ProxyProtocol::V1, ProxyProtocol::V2] {
        for (address, wanted) in [(CLIENT, "192.0.2.7"), ("[2001:db8::7]:4711", "2001:db8::7")] {
            let mut client = client(weir.listener("proxied"), &header(address, version)).await;
            for _ in 0..2 {
                let echo = client.get("/").await.unwrap().json();
                assert_eq!(received(&echo, "x-forwarded-for"), [wanted], "{version:?}");
            }
        }
        let mut denied = client(weir.listener("proxied"), &header("192.0.2.66:1", version)).await;
        assert_eq!(denied.get("/").await.unwrap().status, 403);
    }
}

#[tokio::test]
async fn logs_and_fastcgi_have_the_address_too() {
    let (php, folder) = (Php::start(1).await, tempfile::tempdir().unwrap());
    let log = folder.path().join("access.log");
    let spec = format!("protocol: FastCGI, fastcgi: {{documentRoot: {}}}", scripts().display());
    let text = pool("web", "listeners: [proxied]") + &backend("php", "web", php.address(), &spec);
    let builder = Weir::builder().listen(LISTENER).trusted_proxies(&["127.0.0.1"]).access_log(&log);
    let weir = builder.file("web.yaml", &text).start().await;
    let mut client = client(weir.listener("proxied"), &header(CLIENT, ProxyProtocol::V2)).await;
    let environment = client.get("/echo.php").await.unwrap();
    assert_eq!(environment.status, 200, "{}", environment.text());
    let environment = environment.json()["server"].take();
    for (name, value) in
        [("REMOTE_ADDR", "192.0.2.7"), ("REMOTE_PORT", "4711"), ("SERVER_ADDR", "10.0.0.1"), ("SERVER_PORT", "443")]
    {
        assert_eq!(environment[name], value, "{name}");
    }
    drop(client);
    let line: Value = eventually("a line of the access log", async || {
        serde_json::from_str(std::fs::read_to_string(&log).ok()?.lines().next()?).ok()
    })
    .await;
    assert_eq!(line["client"], CLIENT);
}

#[tokio::test]
async fn a_header_that_comes_in_pieces_is_read_to_its_end_and_not_beyond() {
    let (weir, _server) = start("listeners: [proxied]", Limits::default()).await;
    for version in [ProxyProtocol::V1, ProxyProtocol::V2] {
        let mut stream = connect(weir.listener("proxied"), &[]).await;
        for byte in header(CLIENT, version) {
            stream.write_all(&[byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        let mut client = Client::over(stream, "a").await.unwrap();
        let echo = client.get("/").await.unwrap().json();
        assert_eq!(received(&echo, "x-forwarded-for"), ["192.0.2.7"]);
        let whole = [&header(CLIENT, version)[..], b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"].concat();
        let mut raw = RawClient::connect(weir.listener("proxied")).await.unwrap();
        raw.send(whole).await.unwrap();
        assert_eq!(status(&raw.read_head().await.unwrap()), 200, "{version:?}");
    }
}

#[tokio::test]
async fn tls_begins_after_it() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let pair = authority.site(&["shop.example.com"], YEAR);
    std::fs::write(folder.path().join("default.crt"), &pair.certificate).unwrap();
    std::fs::write(folder.path().join("default.key"), &pair.key).unwrap();
    let server = Backend::start("web-1").await;
    server.set(Behaviour::Echo);
    let builder = Weir::builder().tls_dir(folder.path()).trusted_proxies(&["127.0.0.1"]);
    let text = web("listeners: [secure]", &[server.address()]);
    let weir = builder.listen("secure=127.0.0.1:0,tls,proxy").file("web.yaml", &text).start().await;
    let stream = connect(weir.listener("secure"), &header(CLIENT, ProxyProtocol::V2)).await;
    let secure = TlsClient::trusting(&authority).shake_hands(stream, "shop.example.com").await.unwrap();
    let echo = secure.http("shop.example.com").await.unwrap().get("/").await.unwrap().json();
    assert_eq!(received(&echo, "x-forwarded-for"), ["192.0.2.7"]);
    assert_eq!(received(&echo, "x-forwarded-proto"), ["https"]);
}

#[tokio::test]
async fn a_backend_of_tcp_is_told_what_this_proxy_was_told() {
    let server = Echo::start("a").await;
    let builder = Weir::builder().listen("db=127.0.0.1:0,tcp,proxy").trusted_proxies(&["127.0.0.1"]);
    let text =
        pool("db", "protocol: TCP, listeners: [db]") + &backend("a", "db", server.address(), "proxyProtocol: V1");
    let weir = builder.file("db.yaml", &text).start().await;
    let mut client = RawClient::connect(weir.listener("db")).await.unwrap();
    client.send([&header(CLIENT, ProxyProtocol::V2)[..], b"hello"].concat()).await.unwrap();
    let echoed = client.read_until("hello").await.unwrap();
    assert_eq!(echoed, "a\nPROXY TCP4 192.0.2.7 10.0.0.1 4711 443\r\nhello");
}

#[tokio::test]
async fn a_sender_may_speak_for_itself() {
    let (weir, _server) = start("listeners: [proxied]", Limits::default()).await;
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    for header in [&b"PROXY UNKNOWN\r\n"[..], local] {
        let echo = client(weir.listener("proxied"), header).await.get("/").await.unwrap().json();
        assert_eq!(received(&echo, "x-forwarded-for"), ["127.0.0.1"]);
    }
}

#[tokio::test]
async fn bad_headers_end_the_connection_and_are_counted_by_reason() {
    let limits = Limits { header_timeout: Duration::from_millis(200), ..Limits::default() };
    let (weir, server) = start("listeners: [proxied]", limits).await;
    let malformed = header(CLIENT, ProxyProtocol::V2).into_iter().enumerate();
    let malformed: Vec<u8> = malformed.map(|(at, byte)| if at == 13 { 0x12 } else { byte }).collect();
    let mut checksum = header(CLIENT, ProxyProtocol::V2);
    checksum[15] += 7;
    checksum.extend([3, 0, 4, 1, 2, 3, 4]);
    for (reason, bytes) in [
        ("proxy_missing", b"GET / HTTP/1.1\r\nhost: a\r\n\r\n".to_vec()),
        ("proxy_malformed", malformed),
        ("proxy_malformed", b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n".to_vec()),
        ("proxy_checksum", checksum),
        ("proxy_timeout", b"PROXY TCP4 192.0".to_vec()),
    ] {
        let before = refused(&weir, reason).await;
        let mut client = RawClient::connect(weir.listener("proxied")).await.unwrap();
        client.send(bytes).await.unwrap();
        assert_eq!(within("its end", client.read_to_end()).await, "", "{reason}");
        assert_eq!(refused(&weir, reason).await, before + 1.0, "{reason}");
    }
    drop(connect(weir.listener("proxied"), b"PROXY ").await);
    eventually("an incomplete header is counted", async || {
        (refused(&weir, "proxy_incomplete").await == 1.0).then_some(())
    })
    .await;
    assert_eq!(server.requests(), 0);
}

#[tokio::test]
async fn nobody_else_may_connect_there() {
    let server = Backend::start("web-1").await;
    let builder = Weir::builder().listen(LISTENER).trusted_proxies(&["10.0.0.0/8"]);
    let weir = builder.file("web.yaml", &web("listeners: [proxied]", &[server.address()])).start().await;
    let request = [&header(CLIENT, ProxyProtocol::V1)[..], b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"].concat();
    let mut client = RawClient::connect(weir.listener("proxied")).await.unwrap();
    client.send(request).await.unwrap();
    assert_eq!(within("its end", client.read_to_end()).await, "");
    assert_eq!((refused(&weir, "proxy_untrusted").await, server.requests()), (1.0, 0));
}

#[tokio::test]
async fn connections_are_limited_by_the_client_that_it_names() {
    let limits = Limits { max_connections_per_client: 1, ..Limits::default() };
    let (weir, _server) = start("listeners: [proxied]", limits).await;
    let address = weir.listener("proxied");
    let mut first = client(address, &header(CLIENT, ProxyProtocol::V1)).await;
    assert_eq!(first.get("/").await.unwrap().status, 200);
    let mut other = client(address, &header("192.0.2.8:1", ProxyProtocol::V1)).await;
    assert_eq!(other.get("/").await.unwrap().status, 200);
    let mut second = RawClient::connect(address).await.unwrap();
    second.send(header(CLIENT, ProxyProtocol::V1)).await.unwrap();
    assert_eq!(within("its end", second.read_to_end()).await, "");
    assert_eq!(refused(&weir, "client").await, 1.0);
}

#[tokio::test]
async fn a_proxy_that_leaves_takes_a_header_that_is_under_way() {
    let (weir, _server) = start("listeners: [proxied]", Limits::default()).await;
    let header = header(CLIENT, ProxyProtocol::V2);
    let (first, rest) = header.split_at(9);
    let mut stream = connect(weir.listener("proxied"), first).await;
    let proxied = weir.listener("proxied");
    let stopping = tokio::spawn(weir.stop());
    eventually("nothing new is accepted", async || TcpStream::connect(proxied).await.is_err().then_some(())).await;
    stream.write_all(rest).await.unwrap();
    let mut client = Client::over(stream, "a").await.unwrap();
    assert_eq!(client.get("/").await.unwrap().status, 200);
    stopping.await.unwrap();
}

/// GET with these headers, on a connection of its own.
async fn tell(weir: &Weir, headers: &[(&str, &str)]) -> weir_tests::Response {
    let request = headers.iter().fold(Request::get("/"), |request, (name, value)| request.header(*name, *value));
    weir_tests::send(weir.address(), request.body(full("")).unwrap()).await.unwrap()
}

#[tokio::test]
async fn u3_trusted_proxies_say_who_the_client_is_in_headers() {
    let deny = "plugins: [{type: AllowAddresses, param: {deny: [192.0.2.66]}}]";
    let (weir, _server) = start(deny, Limits::default()).await;
    let said = [
        ("x-forwarded-for", "192.0.2.66, 192.0.2.7, 127.0.0.2"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "shop.example.com"),
    ];
    let echo = tell(&weir, &said).await.json();
    assert_eq!(received(&echo, "x-forwarded-for"), ["192.0.2.66, 192.0.2.7, 127.0.0.2, 127.0.0.1"]);
    assert_eq!(received(&echo, "x-forwarded-proto"), ["https"]);
    assert_eq!(received(&echo, "x-forwarded-host"), ["shop.example.com"]);
    assert_eq!(tell(&weir, &[("x-forwarded-for", "192.0.2.66, 127.0.0.2")]).await.status, 403);
    assert_eq!(tell(&weir, &[("x-forwarded-for", "192.0.2.66, 192.0.2.7")]).await.status, 200);
}

#[tokio::test]
async fn u3_other_clients_are_not_believed() {
    let deny = "plugins: [{type: AllowAddresses, param: {deny: [192.0.2.66]}}]";
    let server = Backend::start("web-1").await;
    server.set(Behaviour::Echo);
    let builder = Weir::builder().trusted_proxies(&["10.0.0.0/8"]).file("web.yaml", &web(deny, &[server.address()]));
    let weir = builder.start().await;
    let said = [("x-forwarded-for", "192.0.2.66"), ("x-forwarded-proto", "https"), ("x-forwarded-host", "b")];
    let response = tell(&weir, &said).await;
    assert_eq!(response.status, 200);
    let echo = response.json();
    assert_eq!(received(&echo, "x-forwarded-proto"), ["http"]);
    assert_ne!(received(&echo, "x-forwarded-host"), ["b"]);
}

#[tokio::test]
async fn a_request_that_came_by_https_to_a_trusted_proxy_is_not_sent_there_again() {
    let pair = Authority::new().site(&["shop.example.com"], YEAR);
    let server = Backend::start("web-1").await;
    let text = web("tls: {secretName: shop-tls, redirect: true}", &[server.address()])
        + &super::tls::pair_secret("shop-tls", &pair);
    let builder = Weir::builder().trusted_proxies(&["127.0.0.1"]).file("web.yaml", &text);
    let weir = builder.start().await;
    assert_eq!(tell(&weir, &[("x-forwarded-proto", "https")]).await.status, 200);
    assert_eq!(tell(&weir, &[("x-forwarded-proto", "http")]).await.status, 308);
    assert_eq!(tell(&weir, &[]).await.status, 308);
}
