//! U5, F1-F6 with FastCGI: applications that do what no php-fpm would.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Request;
use http_body_util::BodyExt;
use weir_tests::client::full;
use weir_tests::fastcgi::{Application, Then, answer, end, record, stderr, stdout};
use weir_tests::load::bodies;
use weir_tests::manifest::{backend, example_with, pool};
use weir_tests::{Backend, Client, Weir, eventually, send};

/// A Pool `web` of this application, on one worker.
async fn start(application: &Application, spec: &str) -> Weir {
    let text = pool("web", spec) + &backend("app", "web", application.address(), "protocol: FastCGI");
    Weir::builder().workers(1).file("web.yaml", &text).start().await
}

/// How often the endpoint failed, and why the last time.
async fn fails(weir: &Weir) -> (u64, String) {
    let state = weir.backend("test/web", "app").await;
    let reason = state["lastFailure"]["reason"].as_str().unwrap_or_default().to_owned();
    (state["fails"].as_u64().unwrap(), reason)
}

const PATIENT: &str = "health: {passive: {maxFails: 1000}}";

#[tokio::test]
async fn u5_an_application_that_allows_it_serves_all_on_one_connection() {
    let application = Application::start("hi").await;
    let weir = start(&application, "").await;
    for _ in 0..10 {
        assert_eq!(weir.get("/").await.text(), "hi");
    }
    assert_eq!(application.connections(), 1);
    assert!(application.requests().iter().all(|request| request.keep));
}

#[tokio::test]
async fn u5_connections_are_not_kept_against_the_will_of_either_side() {
    let application = Application::start("hi").await;
    application.set(answer("hi"), Then::Close);
    let weir = start(&application, "").await;
    for _ in 0..5 {
        assert_eq!(weir.get("/").await.text(), "hi");
    }
    assert_eq!((application.connections(), fails(&weir).await.0), (5, 0));
    weir.write("web.yaml", &(pool("web", "keepalive: {maxIdle: 0}") + &app(&application))).await;
    application.set(answer("hi"), Then::Keep);
    weir.get("/").await;
    weir.get("/").await;
    assert!(!application.requests().last().unwrap().keep);
    assert_eq!(application.connections(), 7);
}

fn app(application: &Application) -> String {
    backend("app", "web", application.address(), "protocol: FastCGI")
}

#[tokio::test]
async fn f3_a_kept_connection_that_died_is_replaced_unnoticed() {
    let application = Application::start("hi").await;
    let weir = start(&application, "retry: {attempts: 0}").await;
    for _ in 0..20 {
        assert_eq!(weir.get("/").await.text(), "hi");
        // When the next request has come, and after the one after that.
        application.once(Vec::new(), Then::Close);
        application.once(answer("last"), Then::Close);
        assert_eq!(weir.get("/").await.text(), "last");
    }
    assert_eq!((application.connections(), fails(&weir).await.0), (40, 0));
}

#[tokio::test]
async fn f4_answers_that_are_none_are_502_and_fail_over() {
    let bad = Application::start("bad").await;
    let good = Backend::start("good").await;
    let text = pool("web", &format!("balance: {{method: FirstAlive}}, retry: {{budgetPercent: 100}}, {PATIENT}"))
        + &app(&bad)
        + &backend("http", "web", good.address(), "");
    let weir = Weir::start(&text).await;
    let broken = [
        b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec(),
        [stdout("Content-Type: a/b\r\n"), b"\x07\x07\x07\x07\x07\x07\x07\x07".to_vec()].concat(),
        record(9, b"odd"),
        [stdout("no header at all\r\n\r\n"), end(0)].concat(),
        [stdout("\r\n\r\n"), end(0)].concat(),
        end(0),
        [stderr("out of memory"), end(0)].concat(),
        end(2),
        [stdout("Status: 101 Switching Protocols\r\n\r\n"), end(0)].concat(),
        [stdout("Content-Length: -5\r\n\r\n"), end(0)].concat(),
        stdout(&format!("X-Long: {}", "x".repeat(60_000))).repeat(2),
    ];
    for (count, said) in broken.iter().enumerate() {
        bad.set(said.clone(), Then::Hold);
        assert_eq!(weir.get("/").await.text(), "good", "{:?}", said.escape_ascii().to_string());
        let post = Request::post("/").body(full("x")).unwrap();
        assert_eq!(send(weir.address(), post).await.unwrap().status, 502);
        assert_eq!(fails(&weir).await, (2 * count as u64 + 2, "bad_response".into()));
    }
    assert_eq!(bad.connections(), 2 * broken.len(), "a connection was used after it broke");
}

#[tokio::test]
async fn f4_an_application_that_hangs_up_is_a_reset() {
    let application = Application::start("hi").await;
    let weir = start(&application, PATIENT).await;
    for says in [Vec::new(), stdout("Content-Type: a/b\r\n"), stderr("oh")] {
        application.set(says, Then::Close);
        assert_eq!(weir.get("/").await.status, 502);
        assert_eq!(fails(&weir).await.1, "reset");
    }
}

#[tokio::test]
async fn f4_a_body_that_is_not_complete_breaks_the_answer_off() {
    let application = Application::start("hi").await;
    let weir = start(&application, PATIENT).await;
    let broken = [
        (stdout("A: b\r\n\r\npart"), Then::Close),
        ([stdout("A: b\r\n\r\npart"), b"rubbish!".to_vec()].concat(), Then::Hold),
        ([stdout("Content-Length: 50\r\n\r\npart"), end(0)].concat(), Then::Keep),
        ([stdout("A: b\r\n\r\npart"), end(2)].concat(), Then::Keep),
    ];
    for (count, (says, then)) in broken.into_iter().enumerate() {
        application.set(says, then);
        let mut client = Client::connect(weir.address()).await.unwrap();
        if let Ok(answer) = client.begin(Request::get("/").body(full("")).unwrap()).await {
            assert!(answer.into_body().collect().await.is_err(), "{count}: a part was taken for the whole");
        }
        eventually("it is counted", async || (fails(&weir).await.0 == count as u64 + 1).then_some(())).await;
    }
}

#[tokio::test]
async fn f4_more_than_was_announced_is_cut_off_and_counted() {
    let application = Application::start("hi").await;
    let weir = start(&application, PATIENT).await;
    for (count, more) in [stdout("hello, and more"), [stdout("hello"), stdout("more")].concat()].iter().enumerate() {
        application.set([&stdout("Content-Length: 5\r\n\r\n"), more, &end(0)[..]].concat(), Then::Keep);
        assert_eq!(weir.get("/").await.text(), "hello");
        let counted = (count as u64 + 1, "bad_response".to_owned());
        eventually("it is counted", async || (fails(&weir).await == counted).then_some(())).await;
        assert_eq!(application.connections(), count + 1, "the connection is not used again");
    }
}

#[tokio::test]
async fn f1_an_application_that_refuses_connections_is_passed_over_and_one_that_hangs_times_out() {
    let dead = free();
    let hanging = Application::start("").await;
    hanging.set(Vec::new(), Then::Hold);
    let good = Application::start("good").await;
    let spec = format!("balance: {{method: FirstAlive}}, timeouts: {{read: 200ms}}, {PATIENT}");
    let text = pool("web", &spec)
        + &backend("a", "web", dead, "protocol: FastCGI")
        + &backend("b", "web", hanging.address(), "protocol: FastCGI")
        + &backend("c", "web", good.address(), "protocol: FastCGI");
    let weir = Weir::start(&text).await;
    assert_eq!(weir.get("/").await.text(), "good");
    let reason = async |name| weir.backend("test/web", name).await["lastFailure"]["reason"].clone();
    assert_eq!((reason("a").await, reason("b").await), ("connect_failure".into(), "timeout".into()));
    eventually("the request that took too long is aborted", async || (hanging.aborts() == 1).then_some(())).await;
}

fn free() -> std::net::SocketAddr {
    weir_tests::port::free_address()
}

#[tokio::test]
async fn f2_a_body_is_replayed_to_another_application() {
    let [bad, good] = [Application::start("bad").await, Application::start("good").await];
    bad.set([stdout("Status: 502 Bad\r\n\r\n"), end(0)].concat(), Then::Keep);
    let spec = format!("balance: {{method: FirstAlive}}, retry: {{statuses: ['502']}}, {PATIENT}");
    let text = pool("web", &spec) + &app(&bad) + &backend("z", "web", good.address(), "protocol: FastCGI");
    let weir = Weir::start(&text).await;
    for framing in [("content-length", "5"), ("transfer-encoding", "chunked")] {
        let put = Request::put("/x").header(framing.0, framing.1).body(full("hello")).unwrap();
        assert_eq!(send(weir.address(), put).await.unwrap().text(), "good");
        let seen = [bad.requests().pop().unwrap(), good.requests().pop().unwrap()];
        assert!(seen.iter().all(|seen| seen.body == b"hello" && seen.params["CONTENT_LENGTH"] == "5"));
    }
}

#[tokio::test]
async fn f6_a_client_that_leaves_before_the_answer_or_in_it_aborts_the_request() {
    let application = Application::start("").await;
    let weir = start(&application, "").await;
    for (count, says) in [Vec::new(), stdout("A: b\r\n\r\npart")].into_iter().enumerate() {
        application.set(says, Then::Hold);
        leave(&weir, &application, count + 1).await;
        eventually("it is aborted", async || (application.aborts() == count + 1).then_some(())).await;
    }
    let idle = async || (weir.backend("test/web", "app").await["connections"] == 0).then_some(());
    eventually("no connection is left", idle).await;
    assert_eq!(fails(&weir).await.0, 0);
}

#[tokio::test]
async fn f6_a_request_that_is_to_be_finished_is_not_aborted_when_its_client_leaves() {
    let application = Application::start("").await;
    application.set(Vec::new(), Then::Hold);
    let weir = start(&application, "onClientAbort: Ignore, timeouts: {read: 300ms}").await;
    leave(&weir, &application, 1).await;
    let timed_out = ("timeout".to_owned(), 1);
    eventually("it went on to its end", async || {
        let (count, reason) = fails(&weir).await;
        ((reason, count) == timed_out).then_some(())
    })
    .await;
}

/// Sends a request, and leaves when it is the application's.
async fn leave(weir: &Weir, application: &Application, count: usize) {
    let mut client = weir_tests::RawClient::connect(weir.address()).await.unwrap();
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    eventually("the request is there", async || (application.requests().len() == count).then_some(())).await;
    drop(client);
}

#[tokio::test]
async fn u5_what_no_script_can_be_asked_is_answered_here() {
    let application = Application::start("hi").await;
    let weir = start(&application, "").await;
    for (path, status) in [("/a%2Fb", 404), ("/a/%2F..%2F", 404), ("/fine/%25", 200)] {
        assert_eq!(weir.get(path).await.status, status, "{path}");
    }
    let large = Request::post("/").header("transfer-encoding", "chunked").body(full(vec![b'x'; 65 << 10])).unwrap();
    assert_eq!(send(weir.address(), large).await.unwrap().status, 411);
    assert_eq!((application.requests().len(), fails(&weir).await.0), (1, 0));
}

#[tokio::test]
async fn u5_an_application_without_files_gets_the_path_alone() {
    let application = Application::start("hi").await;
    let weir = start(&application, "plugins: [{type: RequestHeaders, param: {set: {x-plugin: 'yes'}}}]").await;
    weir.get("/a//b?c").await;
    let params = application.requests().pop().unwrap().params;
    assert_eq!((&*params["SCRIPT_NAME"], &*params["PATH_INFO"]), ("", "/a//b"));
    assert_eq!(params["HTTP_X_PLUGIN"], "yes", "plugins change what scripts see");
    assert!(!params.contains_key("SCRIPT_FILENAME") && !params.contains_key("DOCUMENT_ROOT"));
}

/// A client that waits for `100 Continue` gets it: FastCGI has nothing of the kind.
#[tokio::test]
async fn u3_a_client_that_expects_100_continue_is_asked_for_its_body_at_once() {
    let application = Application::start("hi").await;
    let weir = start(&application, "").await;
    let mut client = weir_tests::RawClient::connect(weir.address()).await.unwrap();
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n").await.unwrap();
    assert!(client.read_head().await.unwrap().starts_with("HTTP/1.1 100"));
    client.send("hello").await.unwrap();
    assert!(client.read_head().await.unwrap().starts_with("HTTP/1.1 200"));
    assert_eq!(application.requests().pop().unwrap().body, b"hello");
}

#[tokio::test]
async fn c5_a_backend_that_changes_its_protocol_is_asked_in_the_new_one() {
    let application = Application::start("hi").await;
    let weir = start(&application, PATIENT).await;
    assert_eq!(weir.get("/").await.text(), "hi");
    let http = Backend::start("http").await;
    weir.write("web.yaml", &(pool("web", PATIENT) + &backend("app", "web", http.address(), ""))).await;
    assert_eq!(weir.get("/").await.text(), "http");
    weir.write("web.yaml", &(pool("web", PATIENT) + &app(&application))).await;
    assert_eq!(weir.get("/").await.text(), "hi");
    // The same address in another protocol, which nobody answers there.
    let spec = format!("timeouts: {{read: {}ms}}, {PATIENT}", Duration::from_millis(200).as_millis());
    weir.write("web.yaml", &(pool("web", &spec) + &backend("app", "web", application.address(), ""))).await;
    assert_ne!(weir.get("/").await.status, 200);
}

#[tokio::test]
async fn u5_the_example_finds_scripts_by_path_and_fixed() {
    let mut applications = BTreeMap::new();
    for name in ["scripts", "shop-1", "shop-2"] {
        applications.insert(name, Application::start(name).await);
    }
    let files = example_with("php", |backend| applications[backend].address()).unwrap();
    let weir = files.iter().fold(Weir::builder(), |weir, (file, text)| weir.file(file, text)).start().await;
    assert_eq!(weir.get("/legacy/a.php/b").await.text(), "scripts");
    assert_eq!(bodies(weir.address(), "/cart", 10, 1).await.unwrap().into_values().collect::<Vec<_>>(), [5, 5]);
    let script = |name: &str| {
        let params = applications[name].requests().pop().unwrap().params;
        ["SCRIPT_FILENAME", "SCRIPT_NAME", "PATH_INFO"].map(|name| params[name].clone())
    };
    assert_eq!(script("scripts"), ["/srv/www/legacy/a.php", "/legacy/a.php", "/b"]);
    assert_eq!(script("shop-1"), ["/srv/shop/public/index.php", "/index.php", "/cart"]);
}
