//! `Respond`: answers in place of a backend.

use weir_proto::model::plugin::param;

use crate::plugin::{Flow, Halt, Hooks, Session, Stage, Step};

/// The type, with its answer.
#[derive(Debug)]
pub(super) struct Respond(Halt);

impl Respond {
    pub(super) fn new(param: param::Respond) -> Self {
        let param::Respond { status, headers, body } = param;
        Self(Halt { status, headers: headers.into_iter().collect(), body: body.into(), plugin: None })
    }
}

impl Stage for Respond {
    fn hooks(&self) -> Hooks {
        Hooks { pre: true, ..Hooks::default() }
    }

    fn pre(&self, _: &mut Session<'_>) -> Step {
        Ok(Flow::from(self.0.clone()))
    }
}
