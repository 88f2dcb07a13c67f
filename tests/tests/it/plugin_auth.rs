//! P1, P4 and P7: plugins that ask other servers who may come in. The test plays the control plane.

use http::Request;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::Instant;
use weir_proto::pb::{self, FailurePolicy, PluginUse};
use weir_tests::scripted::{plugin, plugin_use};
use weir_tests::signer::key_set;
use weir_tests::{Backend, Reply, Response, Signer, eventually};

use super::plugin_builtin::{Rig, in_place, received, with_secret};

/// Later than any test runs.
const FUTURE: u64 = 4_102_444_800;

fn bearer(token: &str) -> http::request::Builder {
    Request::get("/").header("authorization", format!("Bearer {token}"))
}

/// A token of the issuer `idp`.
fn token(signer: &Signer, sub: &str) -> String {
    signer.token(&json!({"iss": "idp", "sub": sub, "exp": FUTURE}))
}

fn key_server_param(server: &Backend) -> Value {
    let jwks = json!({"url": format!("http://{}/jwks.json", server.address())});
    json!({"issuer": "idp", "jwks": jwks, "claimsToHeaders": {"sub": "x-user"}})
}

async fn key_server(signers: &[Signer]) -> Backend {
    let server = Backend::start("keys").await;
    server.set(Reply::text(&key_set(signers)));
    server
}

/// A Plugin of this type, and its use with this parameter: it lets requests go on when it fails.
fn open(built_in: &str, param: &Value) -> (Vec<pb::Resource>, PluginUse) {
    let code = Some(pb::plugin::Code::BuiltIn(built_in.to_owned()));
    let resource = pb::Plugin { code, failure_policy: FailurePolicy::Open.into(), timeout_ms: 50 };
    (vec![plugin("auth", resource)], plugin_use("auth", &param.to_string()))
}

#[tokio::test]
async fn p1_a_signed_token_lets_in_and_no_client_forges_what_upstreams_see_of_it() {
    let signer = Signer::new("a");
    let jwt =
        in_place("Jwt", json!({"jwks": {"secretName": "idp"}, "claimsToHeaders": {"sub": "x-user", "role": "x-role"}}));
    let (rig, server) = Rig::echo(&[with_secret(jwt, "idp/jwks.json", &key_set([&signer]))]).await;
    let anonymous = rig.send(Request::get("/").header("x-user", "root")).await;
    assert_eq!((anonymous.status, anonymous.header("www-authenticate")), (401, "Bearer"));
    let forged = rig.send(bearer(&token(&Signer::new("a"), "root"))).await;
    assert!(forged.status == 401 && forged.header("www-authenticate").contains("error=\"invalid_token\""));
    let expired = rig.send(bearer(&signer.token(&json!({"sub": "ada", "exp": 1})))).await;
    assert!(expired.status == 401 && expired.header("www-authenticate").contains("has expired"));
    assert_eq!(server.requests(), 0);

    let right = bearer(&token(&signer, "ada")).header("x-user", "root").header("X-Role", "admin");
    let echo = rig.send(right.header("x_user", "root").header("x_role", "admin")).await.json();
    assert_eq!(received(&echo, "x-user"), ["ada"]);
    for forged in ["x-role", "x_role", "x_user"] {
        assert!(received(&echo, forged).is_empty(), "{forged}");
    }
}

#[tokio::test]
async fn p1_keys_that_rotate_are_fetched_when_a_token_names_a_new_one() {
    let signers = ["a", "b", "c"].map(Signer::new);
    let keys = key_server(&signers[..1]).await;
    let (rig, _server) = Rig::echo(&[in_place("Jwt", key_server_param(&keys))]).await;
    for _ in 0..10 {
        let echo = rig.send(bearer(&token(&signers[0], "ada"))).await.json();
        assert_eq!(received(&echo, "x-user"), ["ada"]);
    }
    assert_eq!(keys.requests(), 1, "kept");

    keys.set(Reply::text(&key_set(&signers[1..2])));
    assert_eq!(rig.send(bearer(&token(&signers[1], "bob"))).await.status, 200);
    assert_eq!(rig.send(bearer(&token(&signers[0], "ada"))).await.status, 401, "its key is gone");
    for _ in 0..20 {
        assert_eq!(rig.send(bearer(&token(&signers[2], "eve"))).await.status, 401);
    }
    assert_eq!(keys.requests(), 2, "names that anyone can make up are asked for now and then only");

    keys.stop().await;
    assert_eq!(rig.send(bearer(&token(&signers[1], "bob"))).await.status, 200);
}

#[tokio::test]
async fn s5_a_plugin_that_changes_keeps_its_keys_while_their_server_is_away() {
    let signer = Signer::new("a");
    let keys = key_server(std::slice::from_ref(&signer)).await;
    let mut param = key_server_param(&keys);
    let (mut rig, _server) = Rig::echo(&[in_place("Jwt", param.clone())]).await;
    assert_eq!(rig.send(bearer(&token(&signer, "ada"))).await.status, 200);
    keys.stop().await;
    param["claimsToHeaders"] = json!({"sub": "x-subject"});
    rig.change(&[in_place("Jwt", param)]).await;
    let echo = rig.send(bearer(&token(&signer, "ada"))).await.json();
    assert_eq!(received(&echo, "x-subject"), ["ada"]);
}

#[tokio::test]
async fn p1_old_keys_are_fetched_again_and_stay_while_their_server_is_away() {
    let signers = ["a", "b"].map(Signer::new);
    let keys = key_server(&signers[..1]).await;
    let mut param = key_server_param(&keys);
    param["jwks"]["refresh"] = json!("1s");
    let (rig, _server) = Rig::echo(&[in_place("Jwt", param)]).await;
    let is_right = async |signer: &Signer| rig.send(bearer(&token(signer, "ada"))).await.status == 200;
    assert!(is_right(&signers[0]).await);
    for broken in [Reply::status(500), Reply::text("no keys"), Reply::text(r#"{"keys": []}"#)] {
        keys.set(broken);
        let before = keys.requests();
        let asked = async || {
            assert!(is_right(&signers[0]).await, "the old ones stay");
            (keys.requests() > before).then_some(())
        };
        eventually("the keys are asked for again", asked).await;
    }
    keys.set(Reply::text(&key_set(&signers[1..])));
    let replaced = async || (!is_right(&signers[0]).await).then_some(());
    eventually("the old key is gone", replaced).await;
    assert!(is_right(&signers[1]).await);
}

#[tokio::test]
async fn p7_without_keys_the_failure_policy_decides_and_headers_are_not_forged() {
    let signer = Signer::new("a");
    let keys = key_server(&[]).await;
    keys.stop().await;
    let (rig, server) = Rig::echo(&[in_place("Jwt", key_server_param(&keys))]).await;
    assert_eq!(rig.send(bearer(&token(&signer, "ada"))).await.status, 500);
    assert_eq!(server.requests(), 0);

    let (resources, auth) = open("Jwt", &key_server_param(&keys));
    let (rig, _server) = Rig::echo_with(resources, &[auth]).await;
    let let_in = rig.send(bearer(&token(&signer, "ada")).header("x-user", "root")).await;
    assert_eq!((let_in.status, received(&let_in.json(), "x-user")), (200, vec![]));
    assert_eq!(rig.get("/").await.status, 401, "a request without a token is no failure");

    keys.restart();
    keys.set(Reply::text(&key_set([&signer])));
    let known = async || {
        let echo = rig.send(bearer(&token(&signer, "ada"))).await.json();
        (received(&echo, "x-user") == ["ada"]).then_some(())
    };
    eventually("the server is asked again", known).await;
}

fn auth_param(server: &Backend) -> Value {
    let url = format!("http://{}/check?a=b", server.address());
    json!({"url": url, "responseHeaders": ["x-user", "x-role"], "clientHeaders": ["set-cookie"]})
}

#[tokio::test]
async fn p1_another_server_lets_requests_in_and_says_who_it_is() {
    let auth = Backend::start("auth").await;
    let welcome = Reply::text("welcome").header("x-user", "ada").header("x-user", "lovelace").header("x-other", "1");
    auth.set(welcome.header("set-cookie", "session=1").header("set-cookie", "seen=2"));
    let (rig, server) = Rig::echo(&[in_place("ExternalAuth", auth_param(&auth))]).await;
    for _ in 0..20 {
        let sent = Request::get("/").header("x-user", "root").header("x-role", "admin").header("x_role", "admin");
        let answer = rig.send(sent).await;
        assert_eq!(answer.headers.get_all("set-cookie").iter().collect::<Vec<_>>(), ["session=1", "seen=2"]);
        assert!(!answer.headers.contains_key("x-user") && !answer.headers.contains_key("x-other"));
        let echo = answer.json();
        assert_eq!(received(&echo, "x-user"), ["ada", "lovelace"]);
        for other in ["x-role", "x_role", "x-other"] {
            assert!(received(&echo, other).is_empty(), "{other}");
        }
    }
    assert_eq!((auth.requests(), server.requests()), (20, 20));
    assert!(auth.counts().connections() <= 2, "kept, one a worker: {}", auth.counts().connections());
}

#[tokio::test]
async fn p1_what_another_server_refuses_is_answered_as_it_says() {
    let auth = Backend::start("auth").await;
    let (rig, server) = Rig::echo(&[in_place("ExternalAuth", auth_param(&auth))]).await;
    let login = Reply::text("log in").with_status(302).header("location", "https://idp/login");
    auth.set(login.header("set-cookie", "state=1").header("set-cookie", "nonce=2"));
    let answer = rig.get("/").await;
    assert_eq!(
        (answer.status, answer.header("location"), answer.text().as_str()),
        (302, "https://idp/login", "log in")
    );
    assert_eq!(answer.headers.get_all("set-cookie").iter().count(), 2);
    auth.set(Reply::status(401).header("www-authenticate", "Bearer"));
    let answer = rig.get("/").await;
    assert_eq!((answer.status, answer.header("www-authenticate")), (401, "Bearer"));
    assert_eq!(server.requests(), 0);
}

/// Refuses every request, and says what it was asked.
async fn telling_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/check?a=b", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let begin =
                format!("HTTP/1.1 403 Forbidden\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", head.len());
            stream.write_all(&[begin.as_bytes(), &head].concat()).await.unwrap();
        }
    });
    url
}

#[tokio::test]
async fn p1_another_server_is_asked_with_the_credentials_and_where_they_go() {
    let url = telling_server().await;
    let (rig, _server) = Rig::echo(&[in_place("ExternalAuth", json!({"url": url}))]).await;
    let request = Request::post("/a/../b?c=d").header("host", "shop.example.com").header("authorization", "Basic x");
    let answer =
        rig.send(request.header("cookie", "s=1").header("x-secret", "1").header("x-forwarded-uri", "/pub")).await;
    let asked = answer.text().to_ascii_lowercase();
    assert!(answer.status == 403 && asked.starts_with("get /check?a=b http/1.1\r\n"), "{asked}");
    for expected in [
        "authorization: basic x",
        "cookie: s=1",
        "x-forwarded-method: post",
        "x-forwarded-host: shop.example.com",
        "x-forwarded-uri: /b?c=d",
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-proto: http",
    ] {
        assert_eq!(asked.lines().filter(|line| *line == expected).count(), 1, "{expected} in {asked}");
    }
    assert!(!asked.contains("x-secret") && !asked.contains("/pub"), "{asked}");
}

#[tokio::test]
async fn p7_without_an_answer_the_failure_policy_decides_and_a_refusal_is_none() {
    let auth = Backend::start("auth").await;
    let mut param = auth_param(&auth);
    param["timeout"] = json!("100ms");
    let (closed, server) = Rig::echo(&[in_place("ExternalAuth", param.clone())]).await;
    let (resources, plugin) = open("ExternalAuth", &param);
    let (lenient, _server) = Rig::echo_with(resources, &[plugin]).await;
    let both = async || (closed.get("/").await.status, send_forged(&lenient).await);

    auth.hold();
    let began = Instant::now();
    let (status, let_in) = both().await;
    assert!(began.elapsed().as_millis() >= 200, "as long as the parameter says, twice");
    assert_eq!((status, let_in.status, received(&let_in.json(), "x-user")), (500, 200, vec![]));
    auth.release();

    auth.set(Reply::status(403));
    let (status, refused) = both().await;
    assert_eq!((status, refused.status), (403, 403));
    // The head says no; nothing is known of the body.
    auth.set(Reply::text("no entry").with_status(403).head_first());
    auth.hold();
    let (status, refused) = both().await;
    assert_eq!((status, refused.status, refused.body.len()), (403, 403, 0));
    auth.release();

    auth.stop().await;
    let (status, let_in) = both().await;
    assert_eq!((status, let_in.status, received(&let_in.json(), "x-user")), (500, 200, vec![]));
    assert_eq!(server.requests(), 0);
}

async fn send_forged(rig: &Rig) -> Response {
    rig.send(Request::get("/").header("x-user", "root")).await
}
