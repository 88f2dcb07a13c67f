//! The plugin type `Metrics`, with both planes.

use http::Request;
use weir_tests::client::full;
use weir_tests::manifest::{NAMESPACE, backend, pool};
use weir_tests::prometheus::promtool;
use weir_tests::{Backend, Weir, eventually};

/// A Pool of paths below its name, with one server and this parameter of `Metrics`.
fn counting(name: &str, server: &Backend, param: &str) -> String {
    let spec = format!(
        "match: [{{path: {{type: Prefix, value: /{name}}}}}], plugins: [{{type: Metrics, param: {{{param}}}}}]"
    );
    pool(name, &spec) + &backend(&format!("{name}-1"), name, server.address(), "")
}

/// Waits until the samples of a metric are these.
async fn samples_are(weir: &Weir, name: &str, expected: &[(&str, f64)]) {
    let expected: Vec<(String, f64)> = expected.iter().map(|(labels, value)| ((*labels).to_owned(), *value)).collect();
    eventually(&format!("{name} is {expected:?}"), async || {
        let mut samples = weir.samples(name).await;
        samples.sort_by(|a, b| a.0.cmp(&b.0));
        (samples == expected).then_some(())
    })
    .await;
}

#[tokio::test]
async fn t1_requests_are_counted_by_labels_in_each_pool() {
    let server = Backend::start("s").await;
    let param =
        "name: calls_total, help: Calls., labels: {to: '{backend.name}', how: '{request.method} {request.path}'}";
    let weir = Weir::start(&(counting("a", &server, param) + &counting("b", &server, param))).await;
    for path in ["/a", "/a", "/b", "/a/x"] {
        weir.get(path).await;
    }
    let post = Request::post("/a").body(full("x")).unwrap();
    weir_tests::send(weir.address(), post).await.unwrap();
    let expected = [
        (r#"how="GET /a",pool="test/a",to="a-1""#, 2.0),
        (r#"how="GET /a/x",pool="test/a",to="a-1""#, 1.0),
        (r#"how="GET /b",pool="test/b",to="b-1""#, 1.0),
        (r#"how="POST /a",pool="test/a",to="a-1""#, 1.0),
    ];
    samples_are(&weir, "weir_custom_calls_total", &expected).await;
}

#[tokio::test]
async fn t1_what_clients_say_makes_a_bounded_number_of_series() {
    let server = Backend::start("s").await;
    let param = "name: calls_total, help: Calls., maxSeries: 2, labels: {path: '{request.path}'}";
    let weir = Weir::start(&counting("a", &server, param)).await;
    for number in 0..10 {
        weir.get(&format!("/a/{number}")).await;
    }
    let expected = [
        (r#"path="/a/0",pool="test/a""#, 1.0),
        (r#"path="/a/1",pool="test/a""#, 1.0),
        (r#"path="other",pool="test/a""#, 8.0),
    ];
    samples_are(&weir, "weir_custom_calls_total", &expected).await;
}

#[tokio::test]
async fn t1_a_metric_survives_changes_of_its_pool_and_goes_with_its_plugin() {
    let server = Backend::start("s").await;
    let manifest = counting("a", &server, "name: calls_total, help: Calls.");
    let weir = Weir::start(&manifest).await;
    weir.get("/a").await;
    weir.write("web.yaml", &manifest.replace("spec: {match", "spec: {debugHeaders: true, match")).await;
    assert_eq!(weir.get("/a").await.header("x-weir-pool"), "test/a");
    samples_are(&weir, "weir_custom_calls_total", &[(r#"pool="test/a""#, 2.0)]).await;
    weir.write("web.yaml", &pool("a", "match: [{path: {type: Prefix, value: /a}}]")).await;
    samples_are(&weir, "weir_custom_calls_total", &[]).await;
    assert!(!weir.metrics().await.contains("weir_custom_"), "nor is there a name left");
}

/// One name with other labels and buckets in another pool, and with the ends that histograms have.
#[tokio::test]
async fn t1_whatever_users_make_up_prometheus_can_read() {
    let server = Backend::start("s").await;
    let odd = "help: 'A \"text\" \\ of two\n\n  lines.'";
    let manifests = [
        counting("a", &server, &format!("name: time, {odd}, type: histogram, labels: {{a: '{{request.path}}'}}")),
        counting("b", &server, "name: time, help: Time., type: histogram, value: bytes, buckets: [1, 2.5]"),
        counting("c", &server, "name: time_total, help: Count., labels: {a: '{backend.address}', b: '\"\\'}"),
    ];
    let weir = Weir::start(&manifests.concat()).await;
    for path in ["/a", "/b", "/c", "/b/longer"] {
        weir.get(path).await;
    }
    samples_are(&weir, "weir_custom_time_count", &[(r#"a="/a",pool="test/a""#, 1.0), (r#"pool="test/b""#, 2.0)]).await;
    let buckets = weir.samples("weir_custom_time_bucket").await;
    let of_b: Vec<&str> = buckets.iter().filter(|(l, _)| l.contains("test/b")).map(|(l, _)| l.as_str()).collect();
    assert_eq!(of_b.len(), 3, "1, 2.5 and +Inf: {of_b:?}");
    let checked = promtool(&["check", "metrics"], &weir.metrics().await);
    // It is not content with such a help (status 3), but can read it.
    assert!(checked.status.code() != Some(1), "{}", String::from_utf8_lossy(&checked.stderr));
}

#[tokio::test]
async fn s1_two_metrics_of_one_name_in_a_pool_are_refused_with_the_field() {
    let server = Backend::start("s").await;
    let weir = Weir::start(&counting("a", &server, "name: calls_total, help: Calls.")).await;
    let twice = counting(
        "a",
        &server,
        "name: calls_total, help: Calls.}}, {type: Metrics, param: {name: calls_total, help: x, labels: {a: b}",
    );
    weir.write("web.yaml", &twice).await;
    let page = weir_tests::get(weir.control_admin(), "/api/v1/resources").await.unwrap().text();
    let expected = "spec.plugins[1].param.name";
    assert!(page.contains(expected), "{page}");
    weir.get("/a").await;
    samples_are(&weir, "weir_custom_calls_total", &[(&format!("pool=\"{NAMESPACE}/a\""), 1.0)]).await;
}
