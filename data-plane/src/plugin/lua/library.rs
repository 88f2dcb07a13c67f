//! Library functions in bounded time. The interpreter's own `string.find` and `string.split` compare every place of a
//! text with all of what is sought, `table.move` moves a billion times nothing, none with a look at the clock: minutes.

use memchr::memmem;
use mlua::{Error, Function, IntoLuaMulti, Lua, LuaString, MultiValue, Table, Value};

/// Characters that make a pattern of a text.
const SPECIAL: &[u8] = b"^$*+?.([%-";

/// Most elements that `table.move` moves.
const MAX_MOVED: f64 = 100_000.0;

/// Puts them in place of the interpreter's.
pub(super) fn install(lua: &Lua) -> mlua::Result<()> {
    let string: Table = lua.globals().raw_get("string")?;
    string.raw_set("find", find(lua, string.raw_get("find")?)?)?;
    string.raw_set("split", split(lua, string.raw_get("split")?)?)?;
    let table: Table = lua.globals().raw_get("table")?;
    table.raw_set("move", move_some(lua, table.raw_get("move")?)?)
}

fn find(lua: &Lua, by_pattern: Function) -> mlua::Result<Function> {
    lua.create_function(move |lua: &Lua, (text, sought, start, plain): (LuaString, LuaString, Option<i64>, Value)| {
        let is_plain = !matches!(plain, Value::Nil | Value::Boolean(false));
        if !is_plain && sought.as_bytes().iter().any(|byte| SPECIAL.contains(byte)) {
            return by_pattern.call::<MultiValue>((text, sought, start));
        }
        match find_plain(&text.as_bytes(), &sought.as_bytes(), start.unwrap_or(1)) {
            Some(place) => place.into_lua_multi(lua),
            None => Value::Nil.into_lua_multi(lua),
        }
    })
}

fn split(lua: &Lua, by_byte: Function) -> mlua::Result<Function> {
    lua.create_function(move |lua, (text, separator): (LuaString, Option<LuaString>)| match separator {
        Some(separator) if separator.as_bytes().len() > 1 => split_by(lua, &text, &separator),
        separator => by_byte.call::<Table>((text, separator)),
    })
}

fn move_some(lua: &Lua, any: Function) -> mlua::Result<Function> {
    lua.create_function(move |_, (from, first, last, to, target): (Table, f64, f64, f64, Option<Table>)| {
        if last - first > MAX_MOVED {
            return Err(Error::runtime(format!("table.move moves at most {MAX_MOVED} elements")));
        }
        any.call::<Table>((from, first, last, to, target))
    })
}

/// First and last place, counted from 1; a negative start counts from the end.
fn find_plain(text: &[u8], sought: &[u8], start: i64) -> Option<(usize, usize)> {
    let from_end = || text.len().saturating_sub(usize::try_from(start.unsigned_abs()).unwrap_or(usize::MAX));
    let start = if start < 0 { from_end() } else { usize::try_from(start.max(1) - 1).ok()? };
    let place = memmem::find(text.get(start..)?, sought)? + start;
    Some((place + 1, place + sought.len()))
}

fn split_by(lua: &Lua, text: &LuaString, separator: &LuaString) -> mlua::Result<Table> {
    let (text, separator) = (text.as_bytes(), separator.as_bytes());
    let pieces = lua.create_table()?;
    let mut start = 0;
    for place in memmem::find_iter(&text, &*separator) {
        pieces.raw_push(lua.create_string(&text[start..place])?)?;
        start = place + separator.len();
    }
    pieces.raw_push(lua.create_string(&text[start..])?)?;
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_answer_as_the_interpreters_own() {
        let (ours, theirs) = (Lua::new(), Lua::new());
        install(&ours).unwrap();
        let calls = [
            "('abcabc'):find('bc')",
            "('abcabc'):find('bc', 3)",
            "('abcabc'):find('bc', -2)",
            "('abcabc'):find('bc', -100)",
            "('abc'):find('')",
            "('abc'):find('', 4)",
            "('abc'):find('', 5)",
            "('abc'):find('x')",
            "('a.c'):find('.', 2, true)",
            "('a.c'):find('.', 2)",
            "('a1c'):find('(%d)(%a)')",
            "table.concat(('a, b, c'):split(', '), '|')",
            "table.concat(('a,b'):split(','), '|')",
            "table.concat(table.move({1, 2, 3}, 2, 3, 1), '|')",
            "table.concat(table.move({1, 2, 3}, 1, 3, 2, {9}), '|')",
            "table.concat((', '):split(', '), '|')",
            "table.concat(('abc'):split(''), '|')",
            "table.concat((''):split('ab'), '|')",
            "table.concat(('a,b'):split(), '|')",
        ];
        for call in calls {
            let of = |lua: &Lua| {
                lua.load(call)
                    .eval::<MultiValue>()
                    .unwrap()
                    .into_iter()
                    .map(|v| v.to_string().unwrap())
                    .collect::<Vec<_>>()
            };
            assert_eq!(of(&ours), of(&theirs), "{call}");
        }
    }
}
