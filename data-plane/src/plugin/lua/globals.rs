//! The globals `log`, `count` and `store`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use mlua::{Lua, LuaString, Table, Value, Variadic};
use tokio::time::Instant;

use super::argument::{number, text};
use super::error::raise;

use crate::plugin::Failure;
use crate::plugin::counts::{Counts, Series};
use crate::plugin::expiring::{Expiring, Remembered};
use crate::plugin::says::say;

/// Most bytes of a line that `log` writes.
const MAX_LINE: usize = 4 << 10;
/// Longest time of a value in `store`: a century.
const LONGEST: f64 = 3.2e9;

/// Puts them into the globals of a plugin's state.
pub(super) fn install(
    lua: &Lua,
    plugin: &str,
    (counts, worker): (Arc<Counts>, usize),
    store: &Rc<RefCell<Expiring>>,
) -> mlua::Result<()> {
    let globals = lua.globals();
    let name = plugin.to_owned();
    let log = move |_: &Lua, value: Value| {
        let line = value.to_string()?;
        say(&name, &line[..line.floor_char_boundary(MAX_LINE)]);
        Ok(())
    };
    globals.raw_set("log", lua.create_function(log)?)?;
    let count = move |lua: &Lua, arguments: Variadic<Value>| {
        let counted = series(&arguments).and_then(|(series, amount)| counts.add(worker, &series, amount));
        counted.map_err(|Failure { cause, text }| raise(lua, Failure::new(cause, format!("count: {text}"))))
    };
    globals.raw_set("count", lua.create_function(count)?)?;
    globals.raw_set("store", store_table(lua, store)?)
}

/// Reads `name, amount, labels`.
fn series(arguments: &[Value]) -> Result<(Series, f64), Failure> {
    let argument = |place: usize| arguments.get(place).unwrap_or(&Value::Nil);
    let amount = match argument(1) {
        Value::Nil => 1.0,
        other => number(other).ok_or_else(|| Failure::bad_answer("the amount must be a number"))?,
    };
    let labels = match argument(2) {
        Value::Nil => BTreeMap::new(),
        Value::Table(table) => labels(table)?,
        other => return Err(Failure::bad_answer(format!("a {} in place of labels", other.type_name()))),
    };
    Ok((Series::new(text(argument(0))?, labels)?, amount))
}

fn labels(table: &Table) -> Result<BTreeMap<String, String>, Failure> {
    let pairs = table.pairs::<Value, Value>();
    pairs
        .map(|pair| {
            let (name, value) = pair.map_err(|error| Failure::bad_answer(error.to_string()))?;
            Ok((text(&name)?, text(&value)?))
        })
        .collect()
}

fn store_table(lua: &Lua, store: &Rc<RefCell<Expiring>>) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let kept = store.clone();
    let get = move |lua: &Lua, key: LuaString| match kept.borrow_mut().get(&key.as_bytes()) {
        None => Ok(Value::Nil),
        Some(Remembered::Boolean(truth)) => Ok(Value::Boolean(*truth)),
        Some(Remembered::Number(number)) => Ok(Value::Number(*number)),
        Some(Remembered::Text(text)) => lua.create_string(text).map(Value::String),
    };
    table.raw_set("get", lua.create_function(get)?)?;
    let kept = store.clone();
    let set = move |lua: &Lua, (key, value, seconds): (LuaString, Value, Option<f64>)| {
        let result = set(&mut kept.borrow_mut(), &key.as_bytes(), &value, seconds);
        result.map_err(|text| raise(lua, Failure::bad_answer(format!("store.set: {text}"))))
    };
    table.raw_set("set", lua.create_function(set)?)?;
    table.set_readonly(true);
    Ok(table)
}

/// `nil` forgets; without a time the value stays.
fn set(store: &mut Expiring, key: &[u8], value: &Value, seconds: Option<f64>) -> Result<(), String> {
    let value = match value {
        Value::Nil => {
            store.remove(key);
            return Ok(());
        }
        Value::Boolean(truth) => Remembered::Boolean(*truth),
        Value::String(text) => Remembered::Text((&*text.as_bytes()).into()),
        other => Remembered::Number(number(other).ok_or_else(|| format!("keeps no {}", other.type_name()))?),
    };
    let expires = match seconds {
        None => None,
        Some(seconds) if seconds > 0.0 && seconds < LONGEST => Some(Instant::now() + Duration::from_secs_f64(seconds)),
        Some(seconds) => return Err(format!("{seconds} is no time")),
    };
    if store.set(key, value, expires) { Ok(()) } else { Err("the value is too large".to_owned()) }
}
