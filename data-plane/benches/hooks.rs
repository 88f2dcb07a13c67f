//! What a hook that sets one header costs, in each kind of plugin: from the request's way into its pool to the choice of
//! its backend, without the network.
#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use divan::Bencher;
use http::Request;
use mimalloc::MiMalloc;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};
use weir_data_plane::plugin::rehearsal::{Rehearsal, Scenario};
use weir_proto::model::{BuiltIn, Lua, Wasm, WasmInstance, WasmSource};
use weir_proto::model::{Code, FailurePolicy, Files, Key, Plugin, PluginRef, PluginUse, Pool};
use weir_proto::pb::{self, resource::Body};
use weir_proto::version::Version;

/// The proxy's: every hook asks for memory.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const SCRIPT: &str = "return { post = function(request, session) session.add_response_header('x-greeting', '1') end }";

/// Kinds of plugins that set a header.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// No plugin: what the rest is to be compared with.
    Nothing,
    RequestHeaders,
    ResponseHeaders,
    Lua,
    WasmShared,
    WasmPerRequest,
}

const KINDS: [Kind; 6] =
    [Kind::Nothing, Kind::RequestHeaders, Kind::ResponseHeaders, Kind::Lua, Kind::WasmShared, Kind::WasmPerRequest];

fn main() {
    divan::main();
}

#[divan::bench(args = KINDS)]
fn sets_a_header(bencher: Bencher<'_, '_>, kind: Kind) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let rehearsal = rehearsal(&runtime, kind);
    runtime.block_on(rehearsal.run_unwatched()).unwrap();
    bencher.bench_local(|| runtime.block_on(rehearsal.run_unwatched()).unwrap());
}

fn rehearsal(runtime: &Runtime, kind: Kind) -> Rehearsal {
    let request = Request::get("http://shop.example.com/x?c=d").header("user-agent", "bench").body(()).unwrap();
    let (client, in_flight) = (([192, 0, 2, 1], 4711).into(), BTreeMap::new());
    let scenario = Scenario { request: request.into_parts().0, tls: false, client, in_flight, status: 200 };
    runtime.block_on(Rehearsal::new(resources(kind), scenario)).unwrap()
}

/// A Pool of one Backend, with a plugin of this kind.
fn resources(kind: Kind) -> Vec<pb::Resource> {
    let mut pool = Pool::new("shop/web".parse().unwrap());
    let mut resources = Vec::new();
    if let Some((code, param)) = code(kind) {
        let (name, timeout) = ("shop/code".parse().unwrap(), Duration::from_secs(5));
        let plugin = Plugin { name, code, failure_policy: FailurePolicy::Closed, timeout };
        let named = PluginRef::Named(plugin.name.clone());
        pool.plugins = vec![PluginUse { plugin: named, param, files: Files::default() }];
        resources.push(resource(&Key::plugin(plugin.name.clone()), (&plugin).into()));
    }
    resources.push(resource(&Key::pool(pool.name.clone()), (&pool).into()));
    let address = "127.0.0.1:9001".to_owned();
    let backend = pb::Backend { pool: "web".to_owned(), address, weight: 1, enabled: true, ..pb::Backend::default() };
    resources.push(resource(&Key::backend("shop/web-1".parse().unwrap()), Body::Backend(backend)));
    resources
}

fn resource(key: &Key, body: Body) -> pb::Resource {
    pb::Resource { key: Some(key.into()), version: Version::of(&body).to_wire(), body: Some(body) }
}

/// With its parameter.
fn code(kind: Kind) -> Option<(Code, Value)> {
    let edits = json!({"set": {"x-greeting": "1"}});
    Some(match kind {
        Kind::Nothing => return None,
        Kind::RequestHeaders => (Code::BuiltIn(BuiltIn::RequestHeaders), edits),
        Kind::ResponseHeaders => (Code::BuiltIn(BuiltIn::ResponseHeaders), edits),
        Kind::Lua => (Code::Lua(Lua { source: SCRIPT.to_owned(), memory_limit: Lua::MEMORY_LIMIT }), Value::Null),
        Kind::WasmShared => (wasm(WasmInstance::Shared), Value::Null),
        Kind::WasmPerRequest => (wasm(WasmInstance::PerRequest), Value::Null),
    })
}

fn wasm(instance: WasmInstance) -> Code {
    let text = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/testdata/plugins/fixed.wat");
    let source = WasmSource::Inline(wat::parse_file(text).unwrap());
    Code::Wasm(Wasm { source, memory_limit: Wasm::MEMORY_LIMIT, instance })
}
