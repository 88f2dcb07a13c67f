//! T2: `weir status` and `weir top`, run as people run them.

use weir_tests::load::bodies;
use weir_tests::manifest::{pool, web};
use weir_tests::program::Program;
use weir_tests::{Backend, Weir, eventually};

/// Exit code and output of `weir ARGUMENTS`.
async fn weir(arguments: &[&str]) -> (i32, String) {
    let mut program = Program::start("weir", arguments);
    let code = program.exit_code().await;
    (code, program.output())
}

#[tokio::test(flavor = "multi_thread")]
async fn t2_status_shows_pools_and_backends_and_fails_when_one_is_down() {
    let [a, b] = Backend::start_many("web").await;
    let proxy = Weir::start(&web("", &[a.address(), b.address()])).await;
    bodies(proxy.address(), "/", 10, 2).await.unwrap();
    let admin = proxy.admin().to_string();
    let (code, text) = weir(&["status", "--admin", &admin]).await;
    assert_eq!(code, 0, "{text}");
    let line = |name: &str| text.lines().find(|line| line.contains(name)).unwrap_or_else(|| panic!("{name}: {text}"));
    assert!(text.contains("ready, pools 1/1 up, endpoints 2/2 up"), "{text}");
    assert!(line("test/web").contains("2/2 up"), "{text}");
    assert!(line("web-1").contains(&a.address().to_string()) && line("web-1").contains("Up"), "{text}");
    assert!(!text.contains('\x1b'), "no colours in a pipe: {text}");

    proxy.write("lost.yaml", &pool("lost", "priority: 1")).await;
    let (code, text) = weir(&["status", "--admin", &admin, "--problems"]).await;
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("test/lost") && text.contains("0/0 up") && !text.contains("test/web"), "{text}");
    let (_, text) = weir(&["status", "est/we", "--admin", &admin]).await;
    assert!(text.contains("test/web") && !text.contains("test/lost"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn t2_a_control_plane_tells_of_all_its_proxies() {
    let server = Backend::start("web-1").await;
    let proxy = Weir::start(&web("", &[server.address()])).await;
    let control = proxy.control_admin().to_string();
    let told = async || {
        let (code, text) = weir(&["status", "--control-plane", &control]).await;
        (code == 0 && text.contains("test/web") && text.contains("1/1 up")).then_some(())
    };
    eventually("the proxy's state by way of the control plane", told).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn top_shows_again_and_goes_on_when_a_proxy_is_away() {
    let proxy = Weir::start(&web("", &[])).await;
    let admin = proxy.admin().to_string();
    let (code, text) = weir(&["top", "--admin", &admin, "--interval", "10ms", "--count", "3"]).await;
    assert_eq!((code, text.matches("POOL / BACKEND").count()), (0, 3), "{text}");
    let (code, text) = weir(&["top", "--admin", "127.0.0.1:1", "--interval", "10ms", "--count", "2"]).await;
    assert_eq!((code, text.matches("cannot connect to 127.0.0.1:1").count()), (0, 2), "{text}");
    let (code, text) = weir(&["status", "--admin", "127.0.0.1:1"]).await;
    assert!(code == 1 && text.contains("cannot read the state of the proxy at http://127.0.0.1:1"), "{text}");
    let (code, text) = weir(&["status", "--admin", "nowhere"]).await;
    assert!(code == 2 && text.contains("names no port"), "{text}");
}
