//! `string.find` and `string.split` in time that grows with the text. The interpreter's own compare every place of a
//! text with all of what is sought, without a look at the clock: minutes, within a few megabytes.

use memchr::memmem;
use mlua::{Function, IntoLuaMulti, Lua, LuaString, MultiValue, Table, Value};

/// Characters that make a pattern of a text.
const SPECIAL: &[u8] = b"^$*+?.([%-";

/// Puts them in place of the interpreter's.
pub(super) fn install(lua: &Lua) -> mlua::Result<()> {
    let string: Table = lua.globals().raw_get("string")?;
    let by_pattern: Function = string.raw_get("find")?;
    let find = move |lua: &Lua, (text, sought, start, plain): (LuaString, LuaString, Option<i64>, Value)| {
        let is_plain = !matches!(plain, Value::Nil | Value::Boolean(false));
        if !is_plain && sought.as_bytes().iter().any(|byte| SPECIAL.contains(byte)) {
            return by_pattern.call::<MultiValue>((text, sought, start));
        }
        match find_plain(&text.as_bytes(), &sought.as_bytes(), start.unwrap_or(1)) {
            Some(place) => place.into_lua_multi(lua),
            None => Value::Nil.into_lua_multi(lua),
        }
    };
    string.raw_set("find", lua.create_function(find)?)?;
    let by_bytes: Function = string.raw_get("split")?;
    let split = move |lua: &Lua, (text, separator): (LuaString, Option<LuaString>)| match separator {
        Some(separator) if separator.as_bytes().len() > 1 => split_by(lua, &text, &separator),
        separator => by_bytes.call::<Table>((text, separator)),
    };
    string.raw_set("split", lua.create_function(split)?)
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
            "table.concat((', '):split(', '), '|')",
            "table.concat(('abc'):split(''), '|')",
            "table.concat((''):split('ab'), '|')",
            "table.concat(('a,b'):split(), '|')",
        ];
        for call in calls {
            let of = |lua: &Lua| lua.load(call).eval::<MultiValue>().unwrap().into_iter().map(|v| v.to_string().unwrap()).collect::<Vec<_>>();
            assert_eq!(of(&ours), of(&theirs), "{call}");
        }
    }
}
