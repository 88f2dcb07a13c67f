//! The table `session`.

use std::rc::Rc;

use mlua::{FromLuaMulti, Lua, LuaString, Table, Value, Variadic};
use weir_proto::model;

use super::argument::{self, Arguments, field_name, text, without_table};
use super::cookie;
use super::current::{Call, Current};
use super::json::{self, Converted};
use super::servers;
use crate::plugin::change::HeaderChange;
use crate::plugin::names::Names;
use crate::plugin::set_cookie::set_cookie;
use crate::plugin::{Change, Failure};

/// The table, of whichever request is current.
pub(super) fn table(lua: &Lua, current: &Rc<Current>) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let meta = lua.create_table()?;
    let (configs, now) = (Converted::default(), current.clone());
    let index = move |lua: &Lua, (_, name): (Value, LuaString)| now.look(|call| field(lua, call, &configs, &name));
    meta.raw_set("__index", lua.create_function(index)?)?;
    meta.raw_set("__metatable", "locked")?;
    table.set_metatable(Some(meta))?;
    changer(lua, &table, current, "set_request_header", request_header)?;
    changer(lua, &table, current, "add_response_header", response_header)?;
    changer(lua, &table, current, "set_cookie", response_cookie)?;
    table.set_readonly(true);
    Ok(table)
}

fn field(lua: &Lua, call: &Call, configs: &Converted<model::Pool>, name: &LuaString) -> mlua::Result<Value> {
    let session = call.session();
    let outcome = call.outcome;
    Ok(match &*name.as_bytes() {
        b"pool" => Value::String(lua.create_string(session.pool().config.name.to_string())?),
        b"rule" => Value::String(lua.create_string(session.rule())?),
        b"config" => configs.get(&session.pool().config, |pool| {
            json::table(lua, pool.config.iter().map(|(name, value)| (name.as_str(), value)))
        })?,
        b"servers" => call.servers.clone().map_or(Value::Nil, Value::Table),
        b"server" => match session.server() {
            Some(server) => Value::Table(servers::table(lua, server)?),
            None => Value::Nil,
        },
        b"status" => outcome.map_or(Value::Nil, |outcome| Value::Number(outcome.status.into())),
        b"duration" => outcome.map_or(Value::Nil, |outcome| Value::Number(outcome.duration.as_secs_f64())),
        b"bytes" => outcome.map_or(Value::Nil, |outcome| Value::Number(outcome.bytes as f64)),
        _ => Value::Nil,
    })
}

/// A function of the table that changes something.
fn changer<A: FromLuaMulti + 'static>(
    lua: &Lua,
    table: &Table,
    current: &Rc<Current>,
    name: &'static str,
    read: fn(A, &Names) -> Result<Change, Failure>,
) -> mlua::Result<()> {
    let current = current.clone();
    let function = lua.create_function(move |lua, arguments: A| {
        current.change(lua, |names| {
            read(arguments, names).map_err(|Failure { cause, text }| Failure::new(cause, format!("{name}: {text}")))
        })
    })?;
    table.raw_set(name, function)
}

/// Without a value the header is removed.
fn request_header(arguments: Arguments, names: &Names) -> Result<Change, Failure> {
    Ok(Change::Request(match without_table(arguments) {
        [Some(name), None, None] => HeaderChange::Remove(field_name(names, name)?),
        [Some(name), Some(value), None] => {
            let (name, value) = argument::field(names, name, value)?;
            HeaderChange::Set(name, value)
        }
        _ => return Err(Failure::bad_answer("takes a name and a value")),
    }))
}

fn response_header(arguments: Arguments, names: &Names) -> Result<Change, Failure> {
    let [Some(name), Some(value), None] = without_table(arguments) else {
        return Err(Failure::bad_answer("takes a name and a value"));
    };
    let (name, value) = argument::field(names, name, value)?;
    Ok(Change::Response(HeaderChange::Add(name, value)))
}

fn response_cookie(arguments: Variadic<Value>, _: &Names) -> Result<Change, Failure> {
    let arguments = match &arguments[..] {
        [Value::Table(_), rest @ ..] => rest,
        all => all,
    };
    let (name, value, attributes) = match arguments {
        [name, value] => (name, value, &Value::Nil),
        [name, value, attributes] => (name, value, attributes),
        _ => return Err(Failure::bad_answer("takes a name, a value and attributes")),
    };
    set_cookie(&text(name)?, &text(value)?, &cookie::attributes(attributes)?).map(Change::Response)
}
