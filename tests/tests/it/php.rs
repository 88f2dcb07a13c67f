//! U5: a real php-fpm, over TCP and Unix sockets.

use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use http::Request;
use http_body_util::BodyExt;
use serde_json::Value;
use sha2::{Digest, Sha256};
use weir_tests::client::full;
use weir_tests::manifest::{backend, pool};
use weir_tests::php::scripts;
use weir_tests::program::Program;
use weir_tests::raw::status;
use weir_tests::{Client, Php, RawClient, Weir, eventually, get, send, within};

/// A Pool `web` of this php-fpm.
fn manifest(php: &Php, spec: &str, fastcgi: &str) -> String {
    pool("web", spec) + &backend("php", "web", php.address(), &format!("protocol: FastCGI, fastcgi: {{{fastcgi}}}"))
}

fn root() -> String {
    format!("documentRoot: {}", scripts().display())
}

async fn start(php: &Php, spec: &str) -> Weir {
    Weir::start(&manifest(php, spec, &root())).await
}

#[tokio::test]
async fn u5_scripts_see_the_whole_environment_over_both_kinds_of_socket() {
    for php in [Php::start(2).await, Php::start_unix(2).await] {
        let weir = start(&php, "").await;
        let request = Request::get("/echo.php/some%20info?a=b&c=%2F")
            .header("host", "shop.example.com:81")
            .header("x-one", "1")
            .header("x-one", "2")
            .header("proxy", "http://evil")
            .body(full(""))
            .unwrap();
        let answer = send(weir.address(), request).await.unwrap();
        assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
        let server = &answer.json()["server"];
        let scripts = scripts().display().to_string();
        let port = weir.address().port().to_string();
        for (name, value) in [
            ("SCRIPT_FILENAME", format!("{scripts}/echo.php").as_str()),
            ("SCRIPT_NAME", "/echo.php"),
            ("PATH_INFO", "/some info"),
            ("PHP_SELF", "/echo.php/some info"),
            ("DOCUMENT_ROOT", &scripts),
            ("REQUEST_URI", "/echo.php/some%20info?a=b&c=%2F"),
            ("QUERY_STRING", "a=b&c=%2F"),
            ("REQUEST_METHOD", "GET"),
            ("SERVER_PROTOCOL", "HTTP/1.1"),
            ("SERVER_NAME", "shop.example.com"),
            ("SERVER_PORT", &port),
            ("SERVER_ADDR", "127.0.0.1"),
            ("REMOTE_ADDR", "127.0.0.1"),
            ("GATEWAY_INTERFACE", "CGI/1.1"),
            ("REDIRECT_STATUS", "200"),
            ("HTTP_HOST", "shop.example.com:81"),
            ("HTTP_X_ONE", "1, 2"),
            ("HTTP_X_FORWARDED_FOR", "127.0.0.1"),
        ] {
            assert_eq!(server[name], value, "{name}");
        }
        assert_eq!(server["HTTP_PROXY"], Value::Null);
    }
}

#[tokio::test]
async fn u5_uploads_arrive_whole() {
    let php = Php::start_unix(2).await;
    let weir = start(&php, "").await;
    let body: Vec<u8> = (0..10 << 20).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let digest: String = Sha256::digest(&body).iter().map(|byte| format!("{byte:02x}")).collect();
    let request = Request::post("/echo.php").header("content-type", "application/x-bytes").body(full(body)).unwrap();
    let answer = send(weir.address(), request).await.unwrap().json();
    assert_eq!(answer["length"], 10 << 20);
    assert_eq!(answer["sha256"], digest);
    assert_eq!(answer["server"]["CONTENT_TYPE"], "application/x-bytes");
    let form = Request::post("/echo.php").header("content-type", "application/x-www-form-urlencoded");
    let answer = send(weir.address(), form.body(full("a=1&b=two")).unwrap()).await.unwrap().json();
    assert_eq!((&answer["post"]["a"], &answer["post"]["b"]), (&"1".into(), &"two".into()));
}

#[tokio::test]
async fn u5_uploads_without_a_length_are_measured_within_the_buffer_limit() {
    let php = Php::start_unix(2).await;
    let weir = start(&php, "retry: {bufferLimit: 10Ki}").await;
    let chunked = |size| Request::post("/echo.php").header("transfer-encoding", "chunked").body(full(vec![b'x'; size]));
    let answer = send(weir.address(), chunked(10 << 10).unwrap()).await.unwrap().json();
    assert_eq!((&answer["length"], &answer["server"]["CONTENT_LENGTH"]), (&(10 << 10).into(), &"10240".into()));
    let answer = send(weir.address(), chunked(11 << 10).unwrap()).await.unwrap();
    assert_eq!(answer.status, 411);
    assert_eq!(weir.backend("test/web", "php").await["fails"], 0);
}

/// A process of php-fpm belongs to its connection. One that a worker or a pool keeps idle is closed when a request of
/// another needs its process.
#[tokio::test]
async fn u5_one_process_serves_every_worker_and_pool() {
    let php = Php::start_unix(1).await;
    let other = pool("other", "match: [{hosts: [other.test]}], timeouts: {read: 5s}, retry: {attempts: 0}")
        + &backend("other", "other", php.address(), &format!("protocol: FastCGI, fastcgi: {{{}}}", root()));
    let text = manifest(&php, "timeouts: {read: 5s}, retry: {attempts: 0}", &root()) + &other;
    let weir = Weir::builder().workers(2).file("web.yaml", &text).start().await;
    for host in ["web.test", "other.test"].repeat(20) {
        let request = Request::get("/answer.php?what=length").header("host", host).body(full("")).unwrap();
        assert_eq!(send(weir.address(), request).await.unwrap().text(), "hello", "{host}");
    }
}

/// 100 processes of php-fpm for 100 clients, and then no more than 10.
#[tokio::test]
async fn u5_100_parallel_slow_scripts_are_all_answered() {
    for processes in [100, 10] {
        let php = Php::start_unix(processes).await;
        let weir = Weir::builder()
            .workers(2)
            .file("web.yaml", &manifest(&php, "timeouts: {read: 20s}, retry: {attempts: 0}", &root()))
            .start()
            .await;
        for _ in 0..3 {
            let clients = (0..100).map(|_| get(weir.address(), "/slow.php?ms=50"));
            for answer in within("all answers", join_all(clients)).await {
                assert_eq!(answer.unwrap().status, 200, "{processes} processes");
            }
        }
    }
}

#[tokio::test]
async fn f4_a_script_that_dies_is_a_502_or_breaks_its_answer_off() {
    let php = Php::start_unix(2).await;
    let weir = start(&php, "health: {passive: {maxFails: 1000}}").await;
    assert_eq!(weir.get("/die.php").await.status, 502);
    let mut client = Client::connect(weir.address()).await.unwrap();
    // The connection may break before the head is on its way.
    if let Ok(answer) = client.begin(Request::get("/die.php?late").body(full("")).unwrap()).await {
        assert!(answer.into_body().collect().await.is_err(), "the client takes a part for the whole");
    }
    let state = weir.backend("test/web", "php").await;
    assert_eq!((&state["fails"], &state["lastFailure"]["reason"]), (&2.into(), &"reset".into()));
    assert_eq!(weir.get("/answer.php?what=length").await.text(), "hello");
}

/// The script writes how far it got into a file, so what lies between it and a client that reads nothing shows.
#[tokio::test]
async fn u5_100_mib_for_a_slow_reader_take_bounded_memory() {
    let php = Php::start_unix(2).await;
    let weir = start(&php, "").await;
    let folder = tempfile::tempdir().unwrap();
    let progress = folder.path().join("progress");
    let done = || std::fs::read_to_string(&progress).ok().and_then(|text| text.parse::<usize>().ok()).unwrap_or(0);
    let mut client = Client::connect(weir.address()).await.unwrap();
    let request = Request::get(format!("/big.php?progress={}", progress.display())).body(full("")).unwrap();
    let mut body = client.begin(request).await.unwrap().into_body();
    let before = std::cell::Cell::new(0);
    // It has stopped when it got no further in half a second.
    let stopped = eventually("the script waits", async || {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = done();
        (now > 0 && before.replace(now) == now).then_some(now)
    })
    .await;
    assert!(stopped < 24 << 20, "{stopped} bytes are held for a client that reads nothing");
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        length += frame.unwrap().data_ref().map_or(0, |data| data.len());
    }
    assert_eq!(length, 100 << 20);
}

#[tokio::test]
async fn u5_statuses_and_headers_of_scripts_arrive() {
    let php = Php::start_unix(1).await;
    let weir = start(&php, "").await;
    let missing = weir.get("/answer.php?what=missing").await;
    assert_eq!((missing.status, missing.text().as_str()), (404, "nothing here"));
    let all = |name| missing.headers.get_all(name).iter().map(|v| v.to_str().unwrap()).collect::<Vec<_>>();
    assert_eq!((all("x-odd"), all("set-cookie")), (vec!["one", "two"], vec!["a=1", "b=2"]));
    assert!(missing.headers.get("status").is_none());
    let redirect = weir.get("/answer.php?what=redirect").await;
    assert_eq!((redirect.status, redirect.header("location")), (302, "/elsewhere"));
    assert_eq!(weir.get("/answer.php?what=empty").await.status, 204);
    assert_eq!(weir.get("/no-such.php").await.status, 404);
    let length = send(weir.address(), Request::head("/answer.php?what=length").body(full("")).unwrap()).await.unwrap();
    assert_eq!((length.status, length.header("content-length"), length.text().as_str()), (200, "5", ""));
}

#[tokio::test]
async fn u5_one_process_serves_one_kept_connection() {
    let php = Php::start_unix(1).await;
    let weir = Weir::builder().workers(1).file("web.yaml", &manifest(&php, "", &root())).start().await;
    for _ in 0..10 {
        assert_eq!(weir.get("/answer.php?what=length").await.text(), "hello");
        assert_eq!(weir.get("/echo.php").await.status, 200);
    }
    assert_eq!(weir.backend("test/web", "php").await["connections"], 1);
}

#[tokio::test]
async fn u5_one_script_takes_every_path() {
    let php = Php::start_unix(1).await;
    let front = format!("{}, scriptFilename: {}", root(), scripts().join("front.php").display());
    let weir = Weir::start(&manifest(&php, "", &front)).await;
    assert_eq!(weir.get("/shop//item/7?x=1").await.text(), "/front.php /shop//item/7 /shop//item/7?x=1");
    assert_eq!(weir.get("/../../etc/passwd").await.text(), "/front.php /etc/passwd /etc/passwd");
}

#[tokio::test]
async fn u5_no_path_leaves_the_document_root() {
    let php = Php::start_unix(1).await;
    let below = format!("documentRoot: {}", scripts().join("below").display());
    let weir = Weir::start(&manifest(&php, "", &below)).await;
    for (path, expected) in [
        ("/../echo.php", 404),
        ("/%2e%2e/echo.php", 404),
        ("/..%2fecho.php", 404),
        ("/x/..%2F..%2Fecho.php", 404),
        ("/echo.php%00.png", 400),
    ] {
        let mut client = RawClient::connect(weir.address()).await.unwrap();
        client.send(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")).await.unwrap();
        assert_eq!(status(&client.read_head().await.unwrap()), expected, "{path}");
    }
}

#[tokio::test]
async fn u5_complaints_of_scripts_are_logged_with_the_name_of_the_request() {
    let php = Php::start_unix(1).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("web.yaml"), manifest(&php, "", &root())).unwrap();
    let (program, address) = run(folder.path()).await;
    eventually("the pool serves", async || (get(address, "/echo.php").await.ok()?.status == 200).then_some(())).await;
    assert_eq!(get(address, "/answer.php?what=complaint").await.unwrap().text(), "done");
    let line = program.line("first complaint").await;
    assert!(line.contains("test/php"), "{line}");
    let record = program.line("what=complaint").await;
    let record: Value = serde_json::from_str(&record).unwrap();
    let request = record["request"].as_str().unwrap();
    assert!(line.contains(&format!("request={request}")), "{line} is not of {request}");
    assert!(program.line("second complaint").await.contains(request));
}

/// `weir run` of a folder, and where it listens.
async fn run(folder: &Path) -> (Program, std::net::SocketAddr) {
    let free = weir_tests::port::free_address();
    let program = Program::start(
        "weir",
        &[
            "run",
            folder.to_str().unwrap(),
            &format!("--listen=http={free}"),
            "--admin=127.0.0.1:0",
            "--grpc=127.0.0.1:0",
            "--api=127.0.0.1:0",
            "--access-log=stdout",
        ],
    );
    (program, free)
}

#[tokio::test]
async fn h2_probes_of_type_fastcgi_go_by_the_status_of_a_script() {
    let php = Php::start(2).await;
    let probe = |script: &str| {
        let path = scripts().join(script).display().to_string();
        format!("health: {{active: {{type: FastCGI, path: {path}, interval: 50ms, healthyThreshold: 1}}}}")
    };
    let weir = start(&php, &probe("missing.php")).await;
    eventually("php-fpm has no such script", async || {
        (weir.backend("test/web", "php").await["reason"] == "bad_response").then_some(())
    })
    .await;
    weir.write("web.yaml", &manifest(&php, &probe("echo.php"), &root())).await;
    eventually("the script answers 200", async || {
        (weir.backend("test/web", "php").await["state"] == "Up").then_some(())
    })
    .await;
}
