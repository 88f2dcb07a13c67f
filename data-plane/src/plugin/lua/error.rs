//! Errors of the interpreter, as failures of the plugin.

use mlua::{Error, Lua};

use crate::plugin::{Cause, Failure};

/// Stands between an error and where it came from.
const TRACEBACK: &str = "\nstack traceback:";

/// What an error of the plugin of this name amounts to; says where it happened: `shop/limits:12: ...`.
pub(super) fn failure(plugin: &str, error: &Error) -> Failure {
    match root(error) {
        Error::MemoryError(_) => Failure::new(Cause::Memory, format!("{plugin}: it asks for too much memory")),
        Error::ExternalError(inner) => match inner.downcast_ref::<Failure>() {
            Some(failure) => failure.clone(),
            None => Failure::new(Cause::Error, located(plugin, &inner.to_string())),
        },
        Error::RuntimeError(text) | Error::SyntaxError { message: text, .. } => {
            Failure::new(Cause::Error, located(plugin, text))
        }
        other => Failure::new(Cause::Error, located(plugin, &other.to_string())),
    }
}

/// An error that a function of ours raises: says which line called it.
pub(super) fn raise(lua: &Lua, failure: Failure) -> Error {
    let Failure { cause, text } = failure;
    Error::external(Failure::new(cause, format!("{}{text}", line(lua))))
}

fn line(lua: &Lua) -> String {
    let caller =
        lua.inspect_stack(1, |caller| Some(format!("{}:{}: ", caller.source().short_src?, caller.current_line()?)));
    caller.flatten().unwrap_or_default()
}

fn root(error: &Error) -> &Error {
    match error {
        Error::CallbackError { cause, .. } | Error::WithContext { cause, .. } => root(cause),
        other => other,
    }
}

fn located(plugin: &str, text: &str) -> String {
    let text = text.split(TRACEBACK).next().unwrap_or_default();
    if text.starts_with(plugin) { text.to_owned() } else { format!("{plugin}: {text}") }
}
