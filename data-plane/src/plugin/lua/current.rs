//! The request that a state is called for. Tables that scripts see are made once and look here.

use std::cell::RefCell;

use http::{HeaderName, HeaderValue};
use mlua::{Error, Lua, Table};

use super::error::raise;
use crate::plugin::change::HeaderChange;
use crate::plugin::session::Kept;
use crate::plugin::stats::Hook;
use crate::plugin::{Change, Failure, Outcome, Session};

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
    changes: Vec<Change>,
    /// Bytes of the changes.
    changed: usize,
}

impl Call {
    /// A call for the request of a session.
    pub(super) fn new(hook: Hook, session: &Session<'_>) -> Self {
        Self { hook, servers: None, outcome: None, request: session.keep(), changes: Vec::new(), changed: 0 }
    }

    /// The same with candidates.
    pub(super) fn with_servers(self, servers: Table) -> Self {
        Self { servers: Some(servers), ..self }
    }

    /// The same with what has become of the request.
    pub(super) fn with_outcome(self, outcome: Outcome) -> Self {
        Self { outcome: Some(outcome), ..self }
    }

    /// A view on the request.
    pub(super) fn session(&self) -> Session<'_> {
        self.request.session()
    }

    /// What the script changed.
    pub(super) fn into_changes(self) -> Vec<Change> {
        self.changes
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

    /// The call is over.
    pub(super) fn leave(&self) -> Option<Call> {
        self.0.take()
    }

    /// Looks at the call that runs.
    pub(super) fn look<T>(&self, look: impl FnOnce(&Call) -> mlua::Result<T>) -> mlua::Result<T> {
        self.0.borrow().as_ref().map_or_else(|| Err(no_request()), look)
    }

    /// Changes the request or its response.
    pub(super) fn change(&self, lua: &Lua, change: Result<Change, Failure>) -> mlua::Result<()> {
        let change = change.map_err(|failure| raise(lua, failure))?;
        let mut current = self.0.borrow_mut();
        let call = current.as_mut().ok_or_else(no_request)?;
        if !matches!(call.hook, Hook::Pre | Hook::Post) {
            let text = format!("{} changes nothing: pre and post do", call.hook.as_str());
            return Err(raise(lua, Failure::bad_answer(text)));
        }
        call.changed += size(&change);
        if call.changed > MAX_CHANGED {
            return Err(raise(lua, Failure::bad_answer(format!("changes more than {MAX_CHANGED} bytes"))));
        }
        call.changes.push(change);
        Ok(())
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
