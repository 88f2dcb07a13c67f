//! A component is driven without a proxy: what its hooks answer, and what becomes of its failures.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use weir_proto::model::{Code, FailurePolicy, Invalid, Plugin, Wasm, WasmInstance, WasmSource};
use weir_proto::pb;

use super::{Modules, Program};
use crate::plugin::testing::Fixture;
use crate::plugin::{Cause, Flow, Halt, Outcome, Stage, Step};

/// A component of `tests/testdata/plugins`, from its text.
fn fixture(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/testdata/plugins");
    wat::parse_file(folder.join(name).with_extension("wat")).unwrap()
}

fn plugin(bytes: Vec<u8>, instance: WasmInstance) -> Plugin {
    let wasm = Wasm { source: WasmSource::Inline(bytes), memory_limit: Wasm::MEMORY_LIMIT, instance };
    let name = "shop/code".parse().unwrap();
    Plugin { name, code: Code::Wasm(wasm), failure_policy: FailurePolicy::Closed, timeout: Duration::from_millis(200) }
}

async fn stage(plugin: Plugin) -> Result<Arc<dyn Stage>, Invalid> {
    let key = pb::Key { kind: pb::Kind::Plugin.into(), namespace: "shop".to_owned(), name: "code".to_owned() };
    let resource = pb::Resource { key: Some(key), version: Vec::new(), body: Some((&plugin).into()) };
    let modules = Modules::new(None);
    modules.prepare(&[resource]).await;
    let Code::Wasm(wasm) = &plugin.code else { panic!("{plugin:?}") };
    Ok(Program::new(&plugin, wasm, &modules)?.stage(&json!("hello")))
}

async fn hooks(instance: WasmInstance) -> Arc<dyn Stage> {
    stage(plugin(fixture("hooks"), instance)).await.unwrap()
}

fn on(target: &'static str) -> Fixture {
    Fixture::new(&[1, 1, 1], |_| ()).with_request(target, &[("host", "shop.example.com")])
}

/// What `pre` answers, and what it adds to the response: how many calls its instance has seen.
fn pre(stage: &Arc<dyn Stage>, fixture: &Fixture) -> (Step, String) {
    let mut session = fixture.session();
    let step = stage.pre(&mut session);
    (step, format!("{:?}", session.into_changes()))
}

fn calls(stage: &Arc<dyn Stage>, fixture: &Fixture) -> String {
    let (step, changes) = pre(stage, fixture);
    assert!(matches!(step, Ok(Flow::GoOn)), "{step:?}");
    changes
}

fn halt(step: Step) -> Box<Halt> {
    match step {
        Ok(Flow::Halt(halt)) => halt,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn p2_a_component_halts() {
    let stage = hooks(WasmInstance::Shared).await;
    let answer = halt(pre(&stage, &on("/h")).0);
    assert_eq!((answer.status.as_u16(), &answer.headers["content-type"]), (418, &"text/tea".parse().unwrap()));
    assert_eq!((&answer.headers["x-halt"], &answer.body[..]), (&"yes".parse().unwrap(), &b"short and stout"[..]));
    assert_eq!(*halt(pre(&stage, &on("/g")).0), Halt::default());
    assert_eq!(halt(stage.post(&mut on("/q").session())).status.as_u16(), 418);
}

#[tokio::test]
async fn p3_a_component_keeps_candidates() {
    let stage = hooks(WasmInstance::Shared).await;
    for (target, left) in [("/x", 3), ("/keep-the-last", 1), ("/empty", 0)] {
        let fixture = on(target);
        let mut candidates = fixture.all();
        stage.balance(&mut fixture.session(), &mut candidates).unwrap();
        assert_eq!(candidates.len(), left, "{target}");
    }
    for target in ["/out-of-range", "/double"] {
        let fixture = on(target);
        let mut candidates = fixture.all();
        let failure = stage.balance(&mut fixture.session(), &mut candidates).unwrap_err();
        assert_eq!((failure.cause, candidates.len()), (Cause::BadAnswer, 3), "{target}: {failure}");
    }
}

#[tokio::test]
async fn p7_after_any_failure_the_next_call_has_a_fresh_instance() {
    let stage = hooks(WasmInstance::Shared).await;
    let fine = on("/x");
    for (target, cause) in [
        ("/spins", Cause::Timeout),
        ("/recursion", Cause::Error),
        ("/trap", Cause::Error),
        ("/memory", Cause::Memory),
        ("/body-of-2-MiB", Cause::Error),
        ("/amplified-strings", Cause::Error),
        ("/changes-without-end", Cause::BadAnswer),
        ("/injected-header", Cause::BadAnswer),
        ("/framing-header", Cause::BadAnswer),
        ("/no-status", Cause::BadAnswer),
    ] {
        let (first, second) = (calls(&stage, &fine), calls(&stage, &fine));
        assert!(first.contains("\"1\"") && second.contains("\"2\""), "before {target}: {first} {second}");
        // On the same worker.
        let bad = Fixture { connection: fine.connection.clone(), ..on(target) };
        let (step, changes) = pre(&stage, &bad);
        let failure = step.unwrap_err();
        assert_eq!((failure.cause, changes.as_str()), (cause, "[]"), "{target}: {failure}");
    }
}

#[tokio::test]
async fn an_instance_per_request_keeps_nothing() {
    let stage = hooks(WasmInstance::PerRequest).await;
    for _ in 0..3 {
        assert!(calls(&stage, &on("/x")).contains("\"1\""));
    }
}

#[tokio::test]
async fn p1_an_instance_per_request_has_whichever_hook_is_called() {
    let stage = hooks(WasmInstance::PerRequest).await;
    assert_eq!(halt(pre(&stage, &on("/h")).0).status.as_u16(), 418);
    let fixture = on("/keep-the-last");
    let mut candidates = fixture.all();
    stage.balance(&mut fixture.session(), &mut candidates).unwrap();
    assert_eq!(candidates.len(), 1);
    assert_eq!(halt(stage.post(&mut on("/q").session())).status.as_u16(), 418);
    let outcome = Outcome { status: 200, duration: Duration::ZERO, upstream: None, bytes: 0 };
    assert_eq!(stage.done(&mut on("/u").session(), &outcome).unwrap_err().cause, Cause::Error);
}

#[tokio::test]
async fn wasi_is_there_and_grants_nothing() {
    calls(&hooks(WasmInstance::Shared).await, &on("/wasi"));
}

#[tokio::test]
async fn p1_a_component_has_the_hooks_that_it_exports_and_its_parameter() {
    let stage = stage(plugin(fixture("greet"), WasmInstance::Shared)).await.unwrap();
    let hooks = stage.hooks();
    assert_eq!((hooks.pre, hooks.balance, hooks.post, hooks.done), (false, false, true, false));
    let fixture = on("/");
    let mut session = fixture.session();
    assert!(matches!(stage.post(&mut session), Ok(Flow::GoOn)));
    assert!(format!("{:?}", session.into_changes()).contains(r#"\"hello\""#));
}

#[tokio::test]
async fn p5_done_sees_the_outcome_and_its_failure_is_told() {
    let stage = hooks(WasmInstance::Shared).await;
    let outcome = Outcome { status: 200, duration: Duration::ZERO, upstream: None, bytes: 0 };
    stage.done(&mut on("/v").session(), &outcome).unwrap();
    assert_eq!(stage.done(&mut on("/u").session(), &outcome).unwrap_err().cause, Cause::Error);
}

#[tokio::test]
async fn s1_what_is_no_plugin_is_refused() {
    for (name, reason) in [
        ("no_hook", "exports none of the hooks"),
        ("other_version", "was made for weir:plugin/done@9.0.0"),
        ("other_type", "cannot be instantiated"),
        ("unknown_import", "does not fit the contract"),
    ] {
        let error = stage(plugin(fixture(name), WasmInstance::Shared)).await.unwrap_err().to_string();
        assert!(error.starts_with("spec.wasm") && error.contains(reason), "{name}: {error}");
    }
    let error = stage(plugin(b"nothing".to_vec(), WasmInstance::Shared)).await.unwrap_err().to_string();
    assert!(error.contains("is no component"), "{error}");
}
