//! The request that a state is called for. Tables that scripts see are made once and look here.

use std::cell::RefCell;

use http::{HeaderName, HeaderValue};
use mlua::{Error, Lua, Table};

use super::error::raise;
use crate::plugin::change::{HeaderChange, push};
use crate::plugin::names::Names;
use crate::plugin::session::Kept;
use crate::plugin::stats::Hook;
use crate::plugin::{Change, Changes, Failure, Outcome, Session};

/// Most bytes that one call changes: they are not the interpreter's, whose memory has a limit of its own.
pub(super) const MAX_CHANGED: usize = 64 << 10;
/// Bytes that each field counts besides its name and value, as in HTTP/2.
const FIELD: usize = 32;

/// One call of a hook.
#[derive(Debug)]
pub(super) struct Call {
    /// Which hook.
    pub(super) hook: Hook,
    /// The candidates, in `balance`.
    pub(super) servers: Option<Table>,
    /// What has become of the request, in `done`.
    pub(super) outcome: Option<Outcome>,
    request: Kept,
    changes: Changes,
    /// Bytes of the changes.
    changed: usize,
}

impl Call {
    /// A call for the request of a session.
    pub(super) fn new(hook: Hook, session: &Session<'_>) -> Self {
        Self { hook, servers: None, outcome: None, request: session.keep(), changes: Changes::new(), changed: 0 }
    }

    /// The same with candidates.
    pub(super) fn with_servers(self, servers: Table) -> Self {
        Self { servers: Some(servers), ..self }
    }

    /// The same with what has become of the request.
    pub(super) fn with_outcome(self, outcome: Outcome) -> Self {
        Self { outcome: Some(outcome), ..self }
    }

    fn change(&mut self, read: impl FnOnce(&Names) -> Result<Change, Failure>) -> Result<(), Failure> {
        let change = read(&self.session().worker().names)?;
        if !matches!(self.hook, Hook::Pre | Hook::Post) {
            let text = format!("{} changes nothing: pre and post do", self.hook.as_str());
            return Err(Failure::bad_answer(text));
        }
        self.changed += size(&change);
        if self.changed > MAX_CHANGED {
            return Err(Failure::bad_answer(format!("changes more than {MAX_CHANGED} bytes")));
        }
        push(&mut self.changes, change);
        Ok(())
    }

    /// A view on the request.
    pub(super) fn session(&self) -> Session<'_> {
        self.request.session()
    }
}

/// The call that runs, if one does.
#[derive(Debug, Default)]
pub(super) struct Current(RefCell<Option<Call>>);

impl Current {
    /// A call begins.
    pub(super) fn enter(&self, call: Call) {
        self.0.replace(Some(call));
    }

    /// The call is over; gives what it changed.
    pub(super) fn leave(&self) -> Changes {
        self.0.borrow_mut().take().map_or_else(Changes::new, |call| call.changes)
    }

    /// Looks at the call that runs.
    pub(super) fn look<T>(&self, look: impl FnOnce(&Call) -> mlua::Result<T>) -> mlua::Result<T> {
        self.0.borrow().as_ref().map_or_else(|| Err(no_request()), look)
    }

    /// Changes the request or its response.
    pub(super) fn change(&self, lua: &Lua, read: impl FnOnce(&Names) -> Result<Change, Failure>) -> mlua::Result<()> {
        let mut current = self.0.borrow_mut();
        let call = current.as_mut().ok_or_else(no_request)?;
        call.change(read).map_err(|failure| raise(lua, failure))
    }
}

fn size(change: &Change) -> usize {
    match change {
        Change::Request(HeaderChange::Set(name, value) | HeaderChange::Add(name, value))
        | Change::Response(HeaderChange::Set(name, value) | HeaderChange::Add(name, value)) => header_size(name, value),
        Change::Request(HeaderChange::Remove(name)) | Change::Response(HeaderChange::Remove(name)) => {
            name.as_str().len() + FIELD
        }
        Change::Target(target) => target.as_str().len(),
        Change::Compress(_) => 0,
    }
}

/// What a field of a header counts.
pub(super) fn header_size(name: &HeaderName, value: &HeaderValue) -> usize {
    name.as_str().len() + value.len() + FIELD
}

fn no_request() -> Error {
    Error::runtime("there is no request: request and session are for hooks, while they run")
}
