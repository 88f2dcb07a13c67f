//! The table `request`. Only what a script reads is copied.

use std::rc::Rc;

use mlua::{Lua, LuaString, Table, Value};

use super::current::Current;
use crate::http::query;
use crate::plugin::Session;

/// The table, of whichever request is current.
pub(super) fn table(lua: &Lua, current: &Rc<Current>) -> mlua::Result<Table> {
    let table = lazy(lua, current, field)?;
    for (name, read) in [("headers", header as Read), ("query", parameter), ("cookies", cookie)] {
        let part = lazy(lua, current, read)?;
        part.set_readonly(true);
        table.raw_set(name, part)?;
    }
    table.set_readonly(true);
    Ok(table)
}

/// Reads a field of a table.
type Read = fn(&Lua, &Session<'_>, &str) -> mlua::Result<Option<LuaString>>;

/// A table whose fields are read when they are asked for. Not yet read-only.
fn lazy(lua: &Lua, current: &Rc<Current>, read: Read) -> mlua::Result<Table> {
    let current = current.clone();
    let index = lua.create_function(move |lua, (_, name): (Value, LuaString)| match name.to_str() {
        Ok(name) => current.look(|call| read(lua, &call.session(), &name)),
        Err(_) => Ok(None),
    })?;
    let meta = lua.create_table()?;
    meta.raw_set("__index", index)?;
    meta.raw_set("__metatable", "locked")?;
    let table = lua.create_table()?;
    table.set_metatable(Some(meta))?;
    Ok(table)
}

fn field(lua: &Lua, session: &Session<'_>, name: &str) -> mlua::Result<Option<LuaString>> {
    let text = |text: &str| lua.create_string(text).map(Some);
    match name {
        "method" => text(session.method().as_str()),
        "scheme" => text(session.scheme()),
        "host" => text(session.host()),
        "path" => text(session.path()),
        "client_address" => text(&session.client().to_string()),
        _ => Ok(None),
    }
}

fn header(lua: &Lua, session: &Session<'_>, name: &str) -> mlua::Result<Option<LuaString>> {
    session.header(name).map(|value| lua.create_string(value)).transpose()
}

fn parameter(lua: &Lua, session: &Session<'_>, name: &str) -> mlua::Result<Option<LuaString>> {
    let value = session.query().and_then(|query| query::values(query, name).next());
    value.map(|value| lua.create_string(value.decode())).transpose()
}

fn cookie(lua: &Lua, session: &Session<'_>, name: &str) -> mlua::Result<Option<LuaString>> {
    session.cookie(name).map(|value| lua.create_string(value)).transpose()
}
