//! `Mirror`: a share of the requests goes to another pool, too. Plugins before it in the chain have had their say, those
//! after it have not.

use std::sync::Arc;

use weir_proto::model::plugin::param;

use super::chance::hits;
use crate::http::mirror;
use crate::plugin::local::LocalKey;
use crate::plugin::says::say;
use crate::plugin::{Failure, Flow, Hooks, Session, Stage, Step};

/// The type.
#[derive(Debug)]
pub(super) struct Mirror {
    param: param::Mirror,
    in_flight: LocalKey,
}

impl Mirror {
    pub(super) fn new(param: param::Mirror) -> Self {
        Self { param, in_flight: LocalKey::default() }
    }
}

/// The same without a copy.
#[derive(Debug)]
struct Dry(param::Mirror);

impl Stage for Dry {
    fn hooks(&self) -> Hooks {
        Hooks { pre: true, ..Hooks::default() }
    }

    fn pre(&self, session: &mut Session<'_>) -> Step {
        let param::Mirror { pool, percent } = &self.0;
        say(
            &session.pool().config.name.to_string(),
            &format!("copies {percent} percent of the requests to the pool {pool}"),
        );
        Ok(Flow::GoOn)
    }
}

impl Stage for Mirror {
    fn hooks(&self) -> Hooks {
        Hooks { pre: true, ..Hooks::default() }
    }

    fn dry(&self) -> Option<Arc<dyn Stage>> {
        Some(Arc::new(Dry(self.param.clone())))
    }

    fn pre(&self, session: &mut Session<'_>) -> Step {
        let scene = session.scene();
        // No copy of a copy: two pools may mirror each other.
        if scene.connection.is_copy || !hits(session, self.param.percent) {
            return Ok(Flow::GoOn);
        }
        let to = scene.pool.config.name.sibling(&self.param.pool).map_err(Failure::bad_answer)?;
        let in_flight = session.worker().locals.get(&self.in_flight, || Ok(mirror::InFlight::default()))?;
        mirror::start(&scene, session.request(), to, in_flight);
        Ok(Flow::GoOn)
    }
}
