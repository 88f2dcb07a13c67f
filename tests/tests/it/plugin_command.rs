//! `weir plugin test`: what it shows of plugins, and its exit status.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};
use tempfile::TempDir;
use weir_tests::component::fixture;
use weir_tests::manifest::{example, repository};
use weir_tests::program::{program, run};

/// What it writes, and its exit status.
fn tested(arguments: &[&str]) -> (String, i32) {
    let output: Output = run("weir", &[&["plugin", "test"], arguments].concat());
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr);
    (text, output.status.code().unwrap())
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The files that the tests of proxies use.
fn hooks() -> String {
    path(&repository().join("tests/testdata/plugins/hooks.lua")).to_owned()
}

#[test]
fn each_hook_is_shown_with_its_answer_its_changes_and_its_lines() {
    let folder = TempDir::new().unwrap();
    let script = folder.path().join("greeting.lua");
    let source = "return {
        pre = function(request, session) session.set_request_header('x-path', request.path .. request.scheme) end,
        balance = function(_, session) return session.servers[2] end,
        post = function(request, session, param)
            session.add_response_header('x-greeting', param .. ', ' .. request.headers['x-user'])
        end,
        done = function(_, session) log(session.server.name .. ' ' .. session.status) end,
    }";
    fs::write(&script, source).unwrap();
    let flags = ["--param", r#""hello""#, "-H", "x-user: eve", "--request", "https://a.example/b?c", "--status", "404"];
    let (text, code) = tested(&[&[path(&script)], &flags[..]].concat());
    assert_eq!(code, 0, "{text}");
    for line in [
        "GET https://a.example/b?c\n",
        "  default/greeting pre: goes on, in ",
        "    request: set x-path: /bhttps\n",
        "  default/greeting balance: keeps web-2 of 3, in ",
        "    response: add x-greeting: hello, eve\n",
        "    says: web-2 404\n",
        "\ngoes to web-2\n",
    ] {
        assert!(text.contains(line), "no {line:?} in {text}");
    }
}

#[test]
fn p7_a_hook_that_fails_is_shown_with_its_line_and_is_exit_status_1() {
    for (request, words) in [
        ("/trap", "default/hooks pre: FAILS (error): default/hooks:30: told to, in "),
        ("/injected", "pre: FAILS (bad_answer): default/hooks:"),
        ("/double", "balance: FAILS (bad_answer): default/hooks: balance "),
        ("/post-traps", "default/hooks post: FAILS (error): default/hooks:"),
        ("/u", "default/hooks done: FAILS (error): default/hooks:"),
        ("/spins", "default/hooks pre: FAILS (timeout): "),
    ] {
        let (text, code) = tested(&[&hooks(), "--request", request]);
        assert!(code == 1 && text.contains(words), "{request}: {text}");
    }
}

#[test]
fn components_are_tested_as_scripts_are() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("hooks.wasm");
    fs::write(&file, fixture("hooks")).unwrap();
    for plugin in [path(&file), &hooks()] {
        let (text, code) = tested(&[plugin, "--request", "/halts"]);
        assert!(code == 0 && text.contains(r#"pre: halts with 418 "short and stout""#), "{text}");
        assert!(text.contains("x-halt: yes") && text.ends_with("answered 418\n"), "{text}");
        let (text, _) = tested(&[plugin, "--request", "/keep-the-last"]);
        assert!(text.contains("balance: keeps web-3 of 3") && text.ends_with("goes to web-3\n"), "{text}");
        let (text, _) = tested(&[plugin, "--request", "/v"]);
        assert!(text.contains("says: done 0"), "{text}");
        let (text, code) = tested(&[plugin, "--request", "/trap", "--repeat", "3"]);
        assert!(code == 1 && text.contains("3 calls, 0 halts, 3 failures"), "{text}");
    }
}

#[test]
fn p3_the_chain_of_redx_keeps_those_that_are_tied() {
    let file = example("plugins/lua/least-connections-random.yaml");
    let servers = ["--server", "a=10.0.0.1:80,inFlight=3", "--server", "b=10.0.0.2:80", "--server", "c=10.0.0.3:80"];
    let flags = [&[path(&file), "--repeat", "200", "--output", "json"], &servers[..]].concat();
    let (text, code) = tested(&flags);
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &report["failed"], &report["runs"]), (0, &json!(false), &json!(200)));
    assert_eq!(report["first"]["calls"][0]["kept"], json!(["b", "c"]));
    let servers = report["servers"].as_object().unwrap();
    assert_eq!(servers.keys().collect::<Vec<_>>(), ["b", "c"]);
    assert_eq!(servers.values().map(|count| count.as_u64().unwrap()).sum::<u64>(), 200);
}

#[test]
fn p1_a_built_in_type_gets_the_secret_that_it_names() {
    let file = example("plugins/builtin/basic-auth.yaml");
    let (text, code) = tested(&[path(&file)]);
    assert!(code == 0 && text.contains("demo/basic-auth pre: halts with 401"), "{text}");
    let (text, _) = tested(&[path(&file), "--request", "/", "--param", r#"{"realm": "other"}"#]);
    assert!(text.contains(r#"realm="other""#), "{text}");
}

#[test]
fn s1_what_a_control_plane_or_a_proxy_refuses_is_said_as_check_says_it() {
    let folder = TempDir::new().unwrap();
    let script = folder.path().join("broken.lua");
    fs::write(&script, "return {\n  pre = function(\n}\n").unwrap();
    let file = path(&script);
    let (text, code) = tested(&[file]);
    let begins = format!("{file}:3: Plugin default/broken: spec.lua.source: default/broken:3: ");
    assert!(code == 1 && text.starts_with(&begins), "{text}");
    let file = example("plugins/builtin/rate-limit.yaml");
    let (text, code) = tested(&[path(&file), "--param", r#"{"rate": 0}"#]);
    assert!(code == 1 && text.contains("spec.plugins[0].param.rate: must be > 0"), "{text}");
}

#[test]
fn wrong_usage_is_exit_status_2() {
    for flags in [
        &["--param", "{"][..],
        &["--server", "a"],
        &["--server", "a=10.0.0.1:80,wieght=3"],
        &["--request", "ftp://a/b"],
        &["-H", "a"],
        &["--status", "99"],
        &["--repeat", "0"],
    ] {
        let (text, code) = tested(&[&[hooks().as_str()], flags].concat());
        assert_eq!(code, 2, "{flags:?}: {text}");
    }
    let help = std::process::Command::new(program("weir")).args(["plugin", "test", "--help"]).output().unwrap();
    assert!(String::from_utf8_lossy(&help.stdout).contains("Examples:"));
}
