//! P7: calls of plugins leave nothing behind. A process of its own, as what is measured is its resident memory.
#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::env;
use std::path::Path;
use std::time::Duration;

use http::Request;
use serde_json::json;
use weir_data_plane::plugin::rehearsal::{Rehearsal, Scenario};
use weir_proto::model::{
    Code, FailurePolicy, Files, Key, Lua, Plugin, PluginRef, PluginUse, Pool, Wasm, WasmInstance, WasmSource,
};
use weir_proto::pb::{self, resource::Body};
use weir_proto::version::Version;

/// Hooks of each plugin: calls of one request.
const HOOKS: usize = 4;
/// Calls, unless `WEIR_TEST_CALLS` says otherwise: a million takes minutes in a debug build, in which Luau is slow.
const CALLS: usize = 100_000;
/// Less than four bytes a call, if there are a million.
const MOST_GROWTH: usize = 4 << 20;

const SCRIPT: &str = "return {
    pre = function(request, session, param)
        session.set_request_header('x-user', request.headers['x-user'] .. param.suffix)
        store.set(request.path, request.query.c, 60)
        count('calls', 1, {method = request.method})
    end,
    balance = function(request, session) return {session.servers[2]} end,
    post = function(request, session)
        session.add_response_header('x-server', session.server.name)
        session.set_cookie('server', session.server.name, {path = '/'})
    end,
    done = function(request, session) local _ = session.server, session.config, session.status end,
}";

fn component() -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/testdata/plugins");
    wat::parse_file(folder.join("hooks.wat")).unwrap()
}

/// Resident memory of this process, in bytes.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

fn resource(key: &Key, body: Body) -> pb::Resource {
    pb::Resource { key: Some(key.into()), version: Version::of(&body).to_wire(), body: Some(body) }
}

/// A Pool of three Backends that uses a Plugin of this code.
fn resources(code: Code) -> Vec<pb::Resource> {
    let (name, pool) = ("shop/code".parse().unwrap(), "shop/web".parse().unwrap());
    let timeout = Duration::from_secs(5);
    let plugin = Plugin { name, code, failure_policy: FailurePolicy::Closed, timeout };
    let mut config = Pool::new(pool);
    let param = json!({"suffix": "!"});
    config.plugins = vec![PluginUse { plugin: PluginRef::Named(plugin.name.clone()), param, files: Files::default() }];
    config.config = json!({"tier": "gold"}).as_object().unwrap().clone();
    let mut resources = vec![resource(&Key::plugin(plugin.name.clone()), (&plugin).into())];
    resources.push(resource(&Key::pool(config.name.clone()), (&config).into()));
    resources.extend((1..=3).map(|number| {
        let name = format!("shop/web-{number}").parse().unwrap();
        let body = pb::Backend {
            pool: "web".to_owned(),
            address: format!("127.0.0.1:900{number}"),
            weight: 1,
            enabled: true,
            ..pb::Backend::default()
        };
        resource(&Key::backend(name), Body::Backend(body))
    }));
    resources
}

/// How much memory grows in so many calls, after a tenth as many.
async fn growth(code: Code, calls: usize) -> usize {
    let request = Request::get("http://shop.example.com/x?c=d").header("x-user", "eve").body(()).unwrap();
    let (client, in_flight) = (([192, 0, 2, 1], 4711).into(), BTreeMap::new());
    let scenario = Scenario { request: request.into_parts().0, tls: false, client, in_flight, status: 200 };
    let rehearsal = Rehearsal::new(resources(code), scenario).await.unwrap();
    let mut before = 0;
    for number in 0..(calls + calls / 10) / HOOKS {
        if number == calls / 10 / HOOKS {
            before = resident();
        }
        let run = rehearsal.run().await;
        assert!(run.calls.len() == HOOKS && !run.calls.iter().any(|call| call.has_failed()), "{run:?}");
    }
    resident().saturating_sub(before)
}

#[tokio::test]
async fn p7_a_million_calls_leave_memory_flat() {
    let calls = env::var("WEIR_TEST_CALLS").map_or(CALLS, |calls| calls.parse().unwrap());
    let lua = Lua { source: SCRIPT.to_owned(), memory_limit: Lua::MEMORY_LIMIT };
    let source = WasmSource::Inline(component());
    let wasm = Wasm { source, memory_limit: Wasm::MEMORY_LIMIT, instance: WasmInstance::Shared };
    for (name, code) in [("Lua", Code::Lua(lua)), ("Wasm", Code::Wasm(wasm))] {
        let began = tokio::time::Instant::now();
        let growth = growth(code, calls).await;
        println!("{name}: {growth} bytes after {calls} calls, in {:?}", began.elapsed());
        assert!(growth < MOST_GROWTH, "{name}: {growth} bytes after {calls} calls");
    }
}
