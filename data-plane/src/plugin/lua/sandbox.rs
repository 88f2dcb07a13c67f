//! An interpreter without anything that reaches outside.

use std::rc::Rc;

use mlua::{Lua, LuaOptions, StdLib, Value};

use super::deadline::Deadline;
use super::library;

/// What of the base library goes: code from text, other functions' environments, output, and knobs of the interpreter.
const REMOVED: [&str; 9] =
    ["collectgarbage", "gcinfo", "getfenv", "setfenv", "loadstring", "newproxy", "print", "require", "_VERSION"];

/// A new interpreter with these limits. Not closed yet: globals are added before [`close`].
pub(super) fn open(memory_limit: u64, deadline: &Rc<Deadline>) -> mlua::Result<Lua> {
    let libraries = StdLib::TABLE | StdLib::STRING | StdLib::UTF8 | StdLib::BIT | StdLib::MATH | StdLib::BUFFER;
    let lua = Lua::new_with(libraries | StdLib::COROUTINE, LuaOptions::default())?;
    lua.set_memory_limit(usize::try_from(memory_limit).unwrap_or(usize::MAX))?;
    let deadline = deadline.clone();
    lua.set_interrupt(move |_| deadline.check());
    let globals = lua.globals();
    REMOVED.iter().try_for_each(|name| globals.raw_set(*name, Value::Nil))?;
    library::install(&lua)?;
    Ok(lua)
}

/// Makes libraries and globals read-only.
pub(super) fn close(lua: &Lua) -> mlua::Result<()> {
    lua.sandbox(true)
}
