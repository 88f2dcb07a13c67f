//! `Compress`: responses of certain types go out compressed to clients that can read them so.

use std::sync::Arc;

use weir_proto::model::plugin::param;

use crate::http::compress::Compression;
use crate::plugin::{Change, Flow, Hooks, Session, Stage, Step};

/// The type.
#[derive(Debug)]
pub(super) struct Compress(pub(super) Arc<param::Compress>);

impl Stage for Compress {
    fn hooks(&self) -> Hooks {
        Hooks { pre: true, ..Hooks::default() }
    }

    fn pre(&self, session: &mut Session<'_>) -> Step {
        session.change(Change::Compress(Compression::new(&self.0, session.headers())));
        Ok(Flow::GoOn)
    }
}
