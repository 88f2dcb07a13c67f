//! `RequestHeaders` and `ResponseHeaders`: take headers away, set them and add some, in this order.
//!
//! In `pre`, so that the plugins that follow see it; in `post`, if a value says something of the chosen backend.

use http::HeaderName;
use weir_proto::model::plugin::param::HeaderEdit;

use super::text::Text;
use crate::plugin::change::HeaderChange;
use crate::plugin::{Change, Failure, Flow, Hooks, Session, Stage, Step};

/// Both types.
#[derive(Debug)]
pub(super) struct Headers {
    edits: Box<[Edit]>,
    /// Makes it a change of the request or of the response.
    wrap: fn(HeaderChange) -> Change,
    needs_server: bool,
}

#[derive(Debug)]
enum Edit {
    Remove(HeaderName),
    Set(HeaderName, Text),
    Add(HeaderName, Text),
}

impl Headers {
    pub(super) fn of_request(edits: Vec<HeaderEdit>) -> Self {
        Self::new(edits, Change::Request)
    }

    pub(super) fn of_response(edits: Vec<HeaderEdit>) -> Self {
        Self::new(edits, Change::Response)
    }

    fn new(edits: Vec<HeaderEdit>, wrap: fn(HeaderChange) -> Change) -> Self {
        let edits: Box<[Edit]> = edits.into_iter().map(Edit::new).collect();
        Self { needs_server: edits.iter().any(Edit::needs_server), edits, wrap }
    }

    fn run(&self, session: &mut Session<'_>) -> Step {
        for edit in &self.edits {
            let change = (self.wrap)(edit.change(session)?);
            session.change(change);
        }
        Ok(Flow::GoOn)
    }
}

impl Edit {
    fn new(edit: HeaderEdit) -> Self {
        match edit {
            HeaderEdit::Remove(name) => Self::Remove(name),
            HeaderEdit::Set(name, value) => Self::Set(name, Text::new(value)),
            HeaderEdit::Add(name, value) => Self::Add(name, Text::new(value)),
        }
    }

    fn needs_server(&self) -> bool {
        matches!(self, Self::Set(_, text) | Self::Add(_, text) if text.needs_server())
    }

    fn change(&self, session: &Session<'_>) -> Result<HeaderChange, Failure> {
        Ok(match self {
            Self::Remove(name) => HeaderChange::Remove(name.clone()),
            Self::Set(name, text) => HeaderChange::Set(name.clone(), text.value(name, session)?),
            Self::Add(name, text) => HeaderChange::Add(name.clone(), text.value(name, session)?),
        })
    }
}

impl Stage for Headers {
    fn hooks(&self) -> Hooks {
        Hooks { pre: !self.needs_server, post: self.needs_server, ..Hooks::default() }
    }

    fn pre(&self, session: &mut Session<'_>) -> Step {
        self.run(session)
    }

    fn post(&self, session: &mut Session<'_>) -> Step {
        if session.server().is_some() { self.run(session) } else { Ok(Flow::GoOn) }
    }
}
