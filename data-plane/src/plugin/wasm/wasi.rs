//! What language runtimes want of WASI 0.2, with nothing granted: no files, no sockets, no environment, no arguments.
//!
//! Clocks and chance are real, what is printed goes to the log, and whatever else is called traps. The functions take
//! and give values by their dynamic types, so that one table serves every version of the interfaces.

use jiff::Timestamp;
use tokio::time::Instant;
use wasmtime::component::types::{ComponentInstance, ComponentItem};
use wasmtime::component::{LinkerInstance, Resource, ResourceAny, ResourceType, Val};
use wasmtime::{AsContextMut, Result, StoreContextMut};

use super::engine::Engine;
use super::host::Host;
use crate::plugin::{Cause, Failure};

/// Streams and pollables: there is nothing behind them.
struct Nothing;

/// Most bytes at a time, written or of chance.
const MOST_BYTES: u64 = 64 << 10;

/// What a function answers.
type Reply = fn(StoreContextMut<'_, Host>, &[Val]) -> Result<Val>;

/// Defines all that a component imports of one interface of WASI.
///
/// # Errors
/// If something of its name is there already.
pub(super) fn define(
    linker: &mut LinkerInstance<'_, Host>,
    name: &str,
    wanted: &ComponentInstance,
    engine: &Engine,
) -> Result<()> {
    let interface = name.split('@').next().unwrap_or(name);
    for (item, ty) in wanted.exports(engine.wasmtime()) {
        match ty.ty {
            ComponentItem::Resource(_) => linker.resource(item, ResourceType::host::<Nothing>(), |_, _| Ok(()))?,
            ComponentItem::ComponentFunc(_) => function(linker, interface, item)?,
            _ => {}
        }
    }
    Ok(())
}

fn function(linker: &mut LinkerInstance<'_, Host>, interface: &str, name: &str) -> Result<()> {
    let Some(reply) = reply(interface, name) else {
        let text = format!("it called {name} of {interface}, which is not granted");
        return linker.func_new(name, move |_, _, _, _| Err(Failure::new(Cause::Error, text.clone()).into()));
    };
    linker.func_new(name, move |mut store, _, params, results| {
        let value = reply(store.as_context_mut(), params)?;
        if let [result] = results {
            *result = value;
        }
        params.iter().try_for_each(|param| give_back(store.as_context_mut(), param))
    })
}

/// Handles that were lent for the call.
fn give_back(mut store: StoreContextMut<'_, Host>, param: &Val) -> Result<()> {
    match param {
        Val::Resource(handle) => handle.resource_drop(store),
        Val::List(items) => items.iter().try_for_each(|item| give_back(store.as_context_mut(), item)),
        _ => Ok(()),
    }
}

fn reply(interface: &str, function: &str) -> Option<Reply> {
    match interface {
        "wasi:clocks/monotonic-clock" | "wasi:clocks/wall-clock" => clock(interface, function),
        "wasi:random/random" | "wasi:random/insecure" | "wasi:random/insecure-seed" => chance(function),
        "wasi:io/streams" | "wasi:io/poll" => stream(function),
        _ => environment(interface, function),
    }
}

/// Everything is empty.
fn environment(interface: &str, function: &str) -> Option<Reply> {
    match (interface, function) {
        ("wasi:cli/environment", "get-environment" | "get-arguments")
        | ("wasi:filesystem/preopens", "get-directories") => Some(|_, _| Ok(Val::List(Vec::new()))),
        ("wasi:cli/environment", "initial-cwd")
        | ("wasi:cli/terminal-stdin" | "wasi:cli/terminal-stdout" | "wasi:cli/terminal-stderr", _)
        | ("wasi:filesystem/types", "filesystem-error-code") => Some(|_, _| Ok(Val::Option(None))),
        ("wasi:cli/stdin" | "wasi:cli/stdout" | "wasi:cli/stderr", _) => Some(handle),
        _ => None,
    }
}

fn clock(interface: &str, function: &str) -> Option<Reply> {
    match (interface, function) {
        ("wasi:clocks/monotonic-clock", "now") => Some(|_, _| Ok(Val::U64(monotonic()))),
        ("wasi:clocks/monotonic-clock", "resolution") => Some(|_, _| Ok(Val::U64(1))),
        ("wasi:clocks/monotonic-clock", "subscribe-instant" | "subscribe-duration") => Some(handle),
        ("wasi:clocks/wall-clock", "now") => Some(|_, _| Ok(wall(Timestamp::now()))),
        ("wasi:clocks/wall-clock", "resolution") => Some(|_, _| Ok(wall(Timestamp::UNIX_EPOCH + NANOSECOND))),
        _ => None,
    }
}

const NANOSECOND: std::time::Duration = std::time::Duration::from_nanos(1);

/// Nanoseconds since it was first asked.
fn monotonic() -> u64 {
    static BEGAN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    u64::try_from(BEGAN.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX)
}

fn wall(time: Timestamp) -> Val {
    let seconds = u64::try_from(time.as_second()).unwrap_or_default();
    let nanoseconds = u32::try_from(time.subsec_nanosecond()).unwrap_or_default();
    Val::Record(vec![("seconds".to_owned(), Val::U64(seconds)), ("nanoseconds".to_owned(), Val::U32(nanoseconds))])
}

fn chance(function: &str) -> Option<Reply> {
    match function {
        "get-random-bytes" | "get-insecure-random-bytes" => Some(random_bytes),
        "get-random-u64" | "get-insecure-random-u64" => Some(|_, _| Ok(Val::U64(rand::random()))),
        "insecure-seed" => Some(|_, _| Ok(Val::Tuple(vec![Val::U64(rand::random()), Val::U64(rand::random())]))),
        _ => None,
    }
}

fn random_bytes(_: StoreContextMut<'_, Host>, params: &[Val]) -> Result<Val> {
    match params {
        [Val::U64(length @ 0..=MOST_BYTES)] => Ok(Val::List((0..*length).map(|_| Val::U8(rand::random())).collect())),
        _ => Err(Failure::new(Cause::Memory, format!("it asked for more than {MOST_BYTES} random bytes")).into()),
    }
}

/// Input has ended, output is taken at once.
fn stream(function: &str) -> Option<Reply> {
    let (kind, method) =
        function.strip_prefix("[method]").unwrap_or(function).split_once('.').unwrap_or((function, ""));
    match (kind, method) {
        (_, "subscribe") => Some(handle),
        ("input-stream", "read" | "blocking-read" | "skip" | "blocking-skip") => Some(|_, _| Ok(closed())),
        ("output-stream", "check-write") => Some(|_, _| Ok(Val::Result(Ok(Some(Box::new(Val::U64(MOST_BYTES))))))),
        ("output-stream", "write" | "blocking-write-and-flush") => Some(print),
        ("output-stream", "flush" | "blocking-flush") => Some(|_, _| Ok(Val::Result(Ok(None)))),
        ("pollable", "ready") => Some(|_, _| Ok(Val::Bool(true))),
        ("pollable", "block") => Some(|_, _| Ok(Val::Bool(true))),
        ("poll", "") => Some(all_ready),
        _ => None,
    }
}

fn closed() -> Val {
    Val::Result(Err(Some(Box::new(Val::Variant("closed".to_owned(), None)))))
}

fn print(mut store: StoreContextMut<'_, Host>, params: &[Val]) -> Result<Val> {
    if let [_, Val::List(bytes)] = params {
        let bytes: Vec<u8> =
            bytes.iter().filter_map(|byte| if let Val::U8(byte) = byte { Some(*byte) } else { None }).collect();
        store.data_mut().log(&String::from_utf8_lossy(&bytes));
    }
    Ok(Val::Result(Ok(None)))
}

fn all_ready(_: StoreContextMut<'_, Host>, params: &[Val]) -> Result<Val> {
    let [Val::List(asked)] = params else { return Ok(Val::List(Vec::new())) };
    Ok(Val::List((0_u32..).zip(asked).map(|(place, _)| Val::U32(place)).collect()))
}

fn handle(store: StoreContextMut<'_, Host>, _: &[Val]) -> Result<Val> {
    let handle: ResourceAny = Resource::<Nothing>::new_own(0).try_into_resource_any(store)?;
    Ok(Val::Resource(handle))
}
