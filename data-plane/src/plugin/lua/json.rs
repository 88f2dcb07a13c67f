//! JSON values as Lua's, read-only, converted once.

use std::cell::RefCell;
use std::sync::{Arc, Weak};

use hashbrown::HashMap;
use mlua::{Lua, Value};
use serde_json::Value as Json;

/// What was made of values that others own; gone with them.
#[derive(Debug)]
pub(super) struct Converted<T>(RefCell<HashMap<usize, (Weak<T>, Value)>>);

impl<T> Default for Converted<T> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<T> Converted<T> {
    /// What was made of this one, or is now. An address names it: the weak reference keeps others from having it.
    pub(super) fn get(&self, of: &Arc<T>, make: impl FnOnce(&T) -> mlua::Result<Value>) -> mlua::Result<Value> {
        let address = Arc::as_ptr(of).addr();
        if let Some((_, value)) = self.0.borrow().get(&address) {
            return Ok(value.clone());
        }
        let value = make(of)?;
        let mut converted = self.0.borrow_mut();
        converted.retain(|_, (owner, _)| owner.strong_count() > 0);
        converted.insert(address, (Arc::downgrade(of), value.clone()));
        Ok(value)
    }
}

/// The value, its tables read-only. `null` is `nil`, so that a list ends before it.
pub(super) fn value(lua: &Lua, json: &Json) -> mlua::Result<Value> {
    Ok(match json {
        Json::Null => Value::Nil,
        Json::Bool(truth) => Value::Boolean(*truth),
        Json::Number(number) => number.as_f64().map_or(Value::Nil, Value::Number),
        Json::String(text) => Value::String(lua.create_string(text)?),
        Json::Array(items) => table(lua, items.iter().enumerate().map(|(place, item)| (place + 1, item)))?,
        Json::Object(fields) => table(lua, fields.iter().map(|(name, field)| (name.as_str(), field)))?,
    })
}

/// A read-only table.
pub(super) fn table<'a>(
    lua: &Lua,
    entries: impl Iterator<Item = (impl mlua::IntoLua, &'a Json)>,
) -> mlua::Result<Value> {
    let table = lua.create_table()?;
    for (key, json) in entries {
        table.raw_set(key, value(lua, json)?)?;
    }
    table.set_readonly(true);
    Ok(Value::Table(table))
}
