//! Scripts in a state of their own, called for made-up requests.

use std::time::Duration;

use http::HeaderValue;
use serde_json::json;
use weir_proto::model::{self, Code, FailurePolicy, Invalid, Plugin};

use super::*;
use crate::plugin::change::HeaderChange;
use crate::plugin::counts::Counts;
use crate::plugin::testing::Fixture;
use crate::plugin::{Change, Flow, Halt};

const MEMORY: u64 = 2 << 20;

fn script(source: &str) -> Result<Script, Invalid> {
    let lua = model::Lua { source: source.to_owned(), memory_limit: MEMORY };
    let (failure_policy, timeout) = (FailurePolicy::Closed, Duration::from_millis(200));
    let name = "shop/limits".parse().unwrap();
    let plugin = Plugin { name, code: Code::Lua(lua.clone()), failure_policy, timeout };
    Script::new(&plugin, &lua, Arc::new(Counts::new(1)))
}

fn stage(source: &str, param: Value) -> Lua {
    Lua::new(Arc::new(script(source).unwrap()), param)
}

/// A script whose `pre` is this.
fn pre(body: &str) -> Lua {
    stage(&format!("return {{ pre = function(request, session, param)\n{body}\nend }}"), Value::Null)
}

fn fixture() -> Fixture {
    Fixture::new(&[3, 1, 2], |pool| {
        pool.config.insert("tier".to_owned(), json!("gold"));
        pool.config.insert("list".to_owned(), json!([1, {"a": null, "b": true}]));
    })
    .with_request("/a/b?c=d%20e", &[("host", "shop.example.com:80"), ("x-user", "eve"), ("cookie", "k=v; l=m")])
}

/// What `pre` comes to, and what it changes.
fn run(stage: &Lua, fixture: &Fixture) -> (Step, Vec<Change>) {
    let mut session = fixture.session();
    let step = stage.pre(&mut session);
    (step, session.into_changes())
}

fn halted(body: &str) -> Halt {
    match run(&pre(body), &fixture()).0 {
        Ok(Flow::Halt(halt)) => *halt,
        other => panic!("{body}: {other:?}"),
    }
}

fn failed(body: &str) -> Failure {
    run(&pre(body), &fixture()).0.expect_err(body)
}

fn name(candidates: &Candidates<'_>) -> Vec<String> {
    candidates.iter().map(|candidate| candidate.endpoint.backend.name().to_owned()).collect()
}

fn balanced(body: &str) -> Result<Vec<String>, Failure> {
    let stage = stage(&format!("return {{ balance = function(request, session, param)\n{body}\nend }}"), Value::Null);
    let fixture = fixture();
    let mut candidates = fixture.all();
    stage.balance(&mut fixture.session(), &mut candidates).map(|()| name(&candidates))
}

#[tokio::test]
async fn p6_a_script_sees_the_request_and_where_it_is() {
    let expressions = [
        ("request.method", "GET"),
        ("request.scheme", "http"),
        ("request.host", "shop.example.com:80"),
        ("request.path", "/a/b"),
        ("request.client_address", "192.0.2.1"),
        ("request.headers['X-User']", "eve"),
        ("tostring(request.headers.none)", "nil"),
        ("request.query.c", "d e"),
        ("request.cookies.l", "m"),
        ("tostring(request.cookies.x)", "nil"),
        ("session.pool", "shop/web"),
        ("session.rule", "* /"),
        ("session.config.tier", "gold"),
        ("tostring(session.config.list[2].b)", "true"),
        ("tostring(session.server)", "nil"),
        ("tostring(session.servers)", "nil"),
        ("tostring(session.status)", "nil"),
    ];
    for (expression, expected) in expressions {
        let halt = halted(&format!("return {{message = {expression}}}"));
        assert_eq!(halt.body, expected, "{expression}");
    }
}

#[tokio::test]
async fn p1_a_parameter_has_any_shape_and_is_read_only() {
    let source = "return { pre = function(_, _, param)
        param = if type(param) == 'table' then param else {param}
        return {message = tostring(param[1] or param.a[2].b)}
    end }";
    for (param, expected) in
        [(json!("x"), "x"), (json!(2.5), "2.5"), (json!([7]), "7"), (json!({"a": [0, {"b": "c"}]}), "c")]
    {
        let (step, _) = run(&stage(source, param), &fixture());
        assert!(matches!(step, Ok(Flow::Halt(halt)) if halt.body == expected), "{expected}");
    }
    let stage = stage("return { pre = function(_, _, param) param.a = 1 end }", json!({}));
    let failure = run(&stage, &fixture()).0.unwrap_err();
    assert!(failure.text.starts_with("shop/limits:1: ") && failure.text.contains("readonly"), "{failure}");
}

#[tokio::test]
async fn p2_an_answer_has_defaults_and_a_location_alone_redirects() {
    assert_eq!(halted("return {}"), Halt::default());
    let halt = halted("return {status = 403, message = 'no', content_type = 'text/html', headers = {['X-A'] = 1}}");
    assert_eq!((halt.status.as_u16(), &*halt.body), (403, &b"no"[..]));
    assert_eq!(
        (&halt.headers["content-type"], &halt.headers["x-a"]),
        (&"text/html".parse().unwrap(), &"1".parse().unwrap())
    );
    let halt = halted("return {location = '/login'}");
    assert_eq!((halt.status.as_u16(), &halt.headers["location"]), (302, &HeaderValue::from_static("/login")));
    assert_eq!(halted("return {location = '/login', status = 307}").status, 307);
    assert_eq!(halted("return {message = 'only'}").headers["content-type"], "text/plain");
}

#[tokio::test]
async fn p2_an_answer_that_cannot_be_sent_is_a_failure() {
    let answers = [
        "true",
        "1",
        "'x'",
        "{status = 99}",
        "{status = 100}",
        "{status = 600}",
        "{status = 200.5}",
        "{status = 0/0}",
        "{status = '200'}",
        "{message = {}}",
        "{content_type = 'a\\r\\nb: c'}",
        "{location = '/a\\nb'}",
        "{headers = {['a b'] = 'c'}}",
        "{headers = {a = 'b\\r\\nc: d'}}",
        "{headers = {['Content-Length'] = '3'}}",
        "{headers = {a = {}}}",
        "{headers = 'a'}",
        "{mesage = 'x'}",
        "{200}",
        "function() end",
        "(function() local t = {} for i = 1, 5000 do t['x' .. i] = 'y' end return {headers = t} end)()",
        "request",
    ];
    for answer in answers {
        let failure = failed(&format!("return {answer}"));
        if answer != "request" {
            assert_eq!(failure.cause, Cause::BadAnswer, "{answer}: {failure}");
            assert!(failure.text.starts_with("shop/limits: pre "), "{failure}");
        }
    }
}

#[tokio::test]
async fn p4_a_script_changes_headers_and_cookies_in_pre_and_post_only() {
    let body = "session.set_request_header('X-A', 1)
        session:set_request_header('x-b', 'two')
        session.set_request_header('x-user', nil)
        session.add_response_header('x-c', 'three')
        session.set_cookie('k', 'v', {path = '/', http_only = true, secure = false})";
    let (step, changes) = run(&pre(body), &fixture());
    assert!(matches!(step, Ok(Flow::GoOn)), "{step:?}");
    let value = HeaderValue::from_static;
    let name = http::HeaderName::from_static;
    assert_eq!(changes.len(), 5);
    assert_eq!(changes[0], Change::Request(HeaderChange::Set(name("x-a"), value("1"))));
    assert_eq!(changes[1], Change::Request(HeaderChange::Set(name("x-b"), value("two"))));
    assert_eq!(changes[2], Change::Request(HeaderChange::Remove(name("x-user"))));
    assert_eq!(changes[3], Change::Response(HeaderChange::Add(name("x-c"), value("three"))));
    let Change::Response(HeaderChange::Add(_, cookie)) = &changes[4] else { panic!("{changes:?}") };
    assert!(["k=v; Path=/; HttpOnly", "k=v; HttpOnly; Path=/"].contains(&cookie.to_str().unwrap()), "{cookie:?}");
    let failure = balanced("session.set_request_header('a', 'b')").unwrap_err();
    assert_eq!(failure.text, "shop/limits:2: balance changes nothing: pre and post do");
}

#[tokio::test]
async fn p7_no_header_or_cookie_can_be_injected_and_nothing_is_changed_by_a_hook_that_fails() {
    let calls = [
        "set_request_header('a b', 'c')",
        "set_request_header('a', 'b\\r\\nc: d')",
        "set_request_header('Content-Length', '0')",
        "set_request_header('a', {})",
        "set_request_header()",
        "add_response_header('a', 'b\\n')",
        "add_response_header('Transfer-Encoding', 'chunked')",
        "add_response_header('a')",
        "add_response_header('a', ('b'):rep(65536))",
        "set_cookie('a b', 'c')",
        "set_cookie('', 'c')",
        "set_cookie('a', 'b; Domain=x')",
        "set_cookie('a', 'b', {path = '/; Domain=x'})",
        "set_cookie('a', 'b', {pat = '/'})",
        "set_cookie('a', 'b', {secure = 'yes'})",
        "set_cookie('a', 'b', 'Path=/\\n')",
        "set_cookie('a', 'b', 5)",
    ];
    for call in calls {
        let stage = pre(&format!("session.set_request_header('good', '1')\nsession.{call}"));
        let (step, changes) = run(&stage, &fixture());
        let failure = step.expect_err(call);
        assert_eq!((failure.cause, changes.len()), (Cause::BadAnswer, 0), "{call}");
        assert!(failure.text.starts_with("shop/limits:3: "), "{failure}");
    }
}

#[tokio::test]
async fn p3_balance_returns_a_list_one_server_or_nothing() {
    let all = ["b000", "b001", "b002"];
    assert_eq!(balanced("").unwrap(), all);
    assert_eq!(balanced("return nil").unwrap(), all);
    assert_eq!(balanced("return session.servers").unwrap(), all);
    assert_eq!(balanced("return session.servers[2]").unwrap(), ["b001"]);
    assert_eq!(balanced("local s = session.servers return {s[3], s[1]}").unwrap(), ["b000", "b002"]);
    assert_eq!(balanced("return {}").unwrap(), [] as [&str; 0]);
    assert_eq!(balanced("table.remove(session.servers, 1) return session.servers").unwrap(), ["b001", "b002"]);
    let heaviest = "local s = session.servers table.sort(s, function(a, b) return a.weight > b.weight end) return s[1]";
    assert_eq!(balanced(heaviest).unwrap(), ["b000"]);
    let seen = "local s = session.servers[1]
        assert(s.name == 'b000' and s.weight == 3 and s.score == 0 and s.in_flight == 0 and type(s.labels) == 'table')
        assert(s.address:find(':'))";
    assert_eq!(balanced(seen).unwrap(), all);
}

#[tokio::test]
async fn p3_what_is_no_candidate_or_comes_twice_is_a_bad_answer() {
    for answer in [
        "{session.servers[1], session.servers[1]}",
        "{session.servers[1], {name = 'b001'}}",
        "table.clone(session.servers[1])",
        "{1}",
        "{'b000'}",
        "'b000'",
        "1",
        "true",
        "request",
        "{session.servers}",
    ] {
        let failure = balanced(&format!("return {answer}")).expect_err(answer);
        assert_eq!(failure.cause, Cause::BadAnswer, "{answer}");
    }
    let stage = stage(
        "local kept return { balance = function(_, s) if kept then return kept end kept = s.servers[1] end }",
        Value::Null,
    );
    let fixture = fixture();
    let balance = || stage.balance(&mut fixture.session(), &mut fixture.all());
    assert!(balance().is_ok());
    assert_eq!(balance().unwrap_err().cause, Cause::BadAnswer, "a server of an earlier request");
}

#[tokio::test]
async fn p5_done_sees_status_time_and_bytes() {
    let source = "return { done = function(_, session)
        assert(session.status == 204 and session.bytes == 17 and session.duration == 0.25)
        assert(session.server.name == 'b001')
        count('seen')
    end }";
    let stage = stage(source, Value::Null);
    let mut fixture = fixture();
    fixture.server = Some(fixture.candidates[1].clone());
    let outcome = Outcome { status: 204, duration: Duration::from_millis(250), upstream: None, bytes: 17 };
    stage.done(&mut fixture.session(), &outcome).unwrap();
    let other = Outcome { status: 200, ..outcome };
    assert!(stage.done(&mut fixture.session(), &other).unwrap_err().text.starts_with("shop/limits:2: "));
}

#[tokio::test]
async fn p7_loops_and_floods_end_in_time_and_the_next_request_has_a_fresh_state() {
    let bodies = [
        ("while true do end", Cause::Timeout),
        ("while true do pcall(function() while true do end end) end", Cause::Timeout),
        ("pcall(function() while true do end end)", Cause::Timeout),
        ("coroutine.wrap(function() while true do end end)()", Cause::Timeout),
        ("return (('a'):rep(40)):find(('a*'):rep(20) .. 'b')", Cause::Timeout),
        ("local t = {} while true do t[#t + 1] = {} end", Cause::Memory),
        ("return ('x'):rep(1e9)", Cause::Memory),
        ("local s = 'x' while true do s = s .. s end", Cause::Memory),
        ("return table.create(1e6)", Cause::Memory),
        ("return buffer.create(1e9)", Cause::Memory),
        ("table.move({}, 1, 1e9, 2, {})", Cause::Error),
        ("local s = ('a'):rep(5e5) return s:find(('a'):rep(2e5) .. 'b', 1, true) or error('none')", Cause::Error),
        ("local s = ('a'):rep(5e5) return s:split(('a'):rep(2e5) .. 'b')[2] or error('none')", Cause::Error),
        ("local function f() return 1 + f() end f()", Cause::Memory),
        ("local t = setmetatable({}, {}) getmetatable(t).__index = t return t.x", Cause::Error),
        ("error('no')", Cause::Error),
        ("error({})", Cause::Error),
        ("error()", Cause::Error),
        ("local a = nil + 1", Cause::Error),
    ];
    for (body, cause) in bodies {
        let source = format!(
            "local calls = 0 return {{ pre = function(request)
            calls += 1
            if request.path == '/ok' then return {{message = tostring(calls)}} end
            {body}
        end }}"
        );
        let stage = stage(&source, Value::Null);
        let began = std::time::SystemTime::now();
        let fixture = fixture();
        let failure = run(&stage, &fixture).0.expect_err(body);
        assert!(began.elapsed().unwrap() < Duration::from_secs(2), "{body} took {:?}", began.elapsed());
        assert_eq!(failure.cause, cause, "{body}: {failure}");
        assert!(failure.text.starts_with("shop/limits"), "{failure}");
        let next = run(&stage, &fixture.with_request("/ok", &[])).0;
        let calls = if cause == Cause::Error { "2" } else { "1" };
        assert!(matches!(&next, Ok(Flow::Halt(halt)) if halt.body == calls), "{body}: {next:?}");
    }
}

#[tokio::test]
async fn p7_a_state_that_ran_out_of_time_or_memory_is_not_used_again_and_what_was_stored_stays() {
    let source = "local calls = 0 return { pre = function(request, session, param)
        calls += 1
        store.set('all', (store.get('all') or 0) + 1)
        if request.query.bad == 'time' then while true do end end
        if request.query.bad == 'memory' then return ('x'):rep(1e9) end
        if request.query.bad == 'error' then error('no') end
        return {message = calls .. ' ' .. store.get('all')}
    end }";
    let stage = stage(source, Value::Null);
    let mut fixture = fixture();
    let mut said = Vec::new();
    for target in ["/?bad=error", "/?bad=time", "/?bad=memory"] {
        for target in ["/", target, "/"] {
            fixture = fixture.with_request(target, &[]);
            match run(&stage, &fixture).0 {
                Ok(Flow::Halt(halt)) => said.push(String::from_utf8(halt.body.to_vec()).unwrap()),
                other => said.push(format!("{:?}", other.unwrap_err().cause)),
            }
        }
    }
    let (after_error, after_time) = (["1 1", "Error", "3 3"], ["4 4", "Timeout", "1 6"]);
    assert_eq!(said, [after_error, after_time, ["2 7", "Memory", "1 9"]].concat());
}

#[tokio::test]
async fn p7_errors_name_plugin_and_line() {
    let failure = failed("local x = nil\nreturn x.y");
    assert_eq!(failure.text, "shop/limits:3: attempt to index nil with 'y'");
    assert_eq!(failed("error('mine')").text, "shop/limits:2: mine");
    assert_eq!(failed("error('mine', 0)").text, "shop/limits: mine");
    assert!(failed("store.set({}, 1)").text.starts_with("shop/limits"), "{}", failed("store.set({}, 1)"));
}

#[tokio::test]
async fn a_script_reaches_nothing_outside() {
    for name in [
        "io",
        "os",
        "debug",
        "require",
        "loadstring",
        "load",
        "dofile",
        "getfenv",
        "setfenv",
        "print",
        "collectgarbage",
    ] {
        let halt = halted(&format!("return {{message = tostring({name})}}"));
        assert_eq!(halt.body, "nil", "{name}");
    }
    for change in [
        "string.find = nil",
        "store.get = nil",
        "request.path = '/'",
        "session.config.tier = 'x'",
        "request.headers['a'] = 'b'",
        "getmetatable('').__index = nil",
        "setmetatable(request, {})",
    ] {
        assert_eq!(failed(change).cause, Cause::Error, "{change}");
    }
}

#[tokio::test]
async fn a_request_that_is_over_is_not_seen_again() {
    let source = "local kept return { pre = function(request, session)
        if kept then return {message = kept()} end
        kept = coroutine.wrap(function() return request.path end)
    end }";
    let stage = stage(source, Value::Null);
    let fixture = fixture();
    assert!(run(&stage, &fixture).0.is_ok());
    let (step, _) = run(&stage, &fixture.with_request("/second", &[]));
    assert!(matches!(&step, Ok(Flow::Halt(halt)) if halt.body == "/second"), "{step:?}");
    let refused = script("log(1) return { pre = store.get('a') or function() end, done = session.pool }").unwrap_err();
    assert!(refused.reason.starts_with("shop/limits:1: "), "{refused:?}");
}

#[test]
fn a_script_without_a_table_of_hooks_is_refused_by_line() {
    let cases = [
        ("return {", "shop/limits:1: "),
        ("local x = 1\nlocal = 2\nreturn {}", "shop/limits:2: "),
        ("\nerror('at once')", "shop/limits:2: at once"),
        ("", "shop/limits: returns a nil in place of a table of hooks"),
        ("return 1", "shop/limits: returns a "),
        ("return {}", "shop/limits: returns none of the hooks"),
        ("return {\n\nbalnce = function() end}", "shop/limits:3: there is no hook \"balnce\""),
        ("return {pre = 1}", "shop/limits: pre is a "),
        ("while true do end", "shop/limits: it took too long"),
        ("return ('x'):rep(1e9)", "shop/limits: it asks for too much memory"),
        ("request.path = 1", "shop/limits:1: "),
    ];
    for (source, expected) in cases {
        let Invalid { field, reason } = script(source).expect_err(source);
        assert_eq!(field, "spec.lua.source");
        assert!(reason.starts_with(expected), "{source}: {reason}");
    }
}

#[test]
fn p1_hooks_are_those_that_the_script_returns() {
    let hooks = |source: &str| script(source).unwrap().hooks();
    assert_eq!(hooks("return {pre = function() end}"), Hooks { pre: true, ..Hooks::default() });
    let module = "local M = {} function M.balance() end M.post = M.balance M.done = M.balance return M";
    assert_eq!(hooks(module), Hooks { pre: false, balance: true, post: true, done: true });
}

#[tokio::test]
async fn t1_scripts_count_with_labels() {
    let stage = pre("count('seen', 2, {kind = 'a'}) count('seen') count('seen', 0.5)");
    run(&stage, &fixture()).0.unwrap();
    let sums = stage.script.counts().sums();
    let seen: Vec<_> = sums.into_iter().map(|(series, sum)| (series.labels.len(), sum)).collect();
    assert_eq!(seen, [(0, 1.5), (1, 2.0)]);
    for call in [
        "count()",
        "count({})",
        "count('a', -1)",
        "count('a', 'x')",
        "count('a', 1, 'b')",
        "count('a', 1, {plugin = 'x'})",
    ] {
        assert_eq!(failed(call).cause, Cause::BadAnswer, "{call}");
    }
}

#[tokio::test]
async fn the_store_keeps_plain_values() {
    let halt = halted("store.set('a', 1.5) store.set('b', 'x', 60) store.set('c', true) store.set('a', nil)
        return {message = tostring(store.get('a')) .. store.get('b') .. tostring(store.get('c')) .. tostring(store.get('d'))}");
    assert_eq!(halt.body, "nilxtruenil");
    for call in [
        "store.set('a', {})",
        "store.set('a', 1, 0)",
        "store.set('a', 1, -1)",
        "store.set('a', 1, 1/0)",
        "store.set('a', ('x'):rep(1048577))",
    ] {
        assert_eq!(failed(call).cause, Cause::BadAnswer, "{call}");
    }
}

#[test]
fn p7_a_state_that_is_given_up_gives_its_memory_back() {
    let script = script("return { pre = function(_, session, param) return session.config.tier end }").unwrap();
    let state = State::new(&script.setting(0, &Default::default()), Instant::now() + Duration::from_secs(1)).unwrap();
    let fixture = fixture();
    let (mut session, param) = (fixture.session(), Arc::new(json!([1])));
    let ends = Instant::now() + Duration::from_secs(1);
    let tier = state.call(Call::new(Hook::Pre, &session), &param, &mut session, ends).unwrap();
    assert_eq!(tier.to_string().unwrap(), "gold");
    let interpreter = state.interpreter();
    drop((state, tier));
    assert!(interpreter.try_upgrade().is_none());
}
