//! `Fault`: delays requests, or answers in place of a backend, by chance: how do clients take it?

use std::time::Duration;

use http::StatusCode;
use tokio::time::sleep;
use weir_proto::model::plugin::param;

use super::chance::hits;
use crate::plugin::{Flow, Halt, Hooks, Resumed, Session, Stage, Step, Waiting};

/// The type.
#[derive(Debug)]
pub(super) struct Fault(pub(super) param::Fault);

/// Beyond the delay, so that a busy worker's delay is no failure.
const GRACE: Duration = Duration::from_secs(5);

impl Fault {
    fn delay(&self, session: &Session<'_>) -> Option<Duration> {
        self.0.delay.as_ref().filter(|delay| hits(session, delay.percent)).map(|delay| delay.time)
    }

    fn abort(&self, session: &Session<'_>) -> Option<Box<Halt>> {
        let abort = self.0.abort.as_ref().filter(|abort| hits(session, abort.percent))?;
        Some(Box::new(answer(abort.status)))
    }
}

fn answer(status: StatusCode) -> Halt {
    Halt::new(status, "this failure is on purpose\n")
}

impl Stage for Fault {
    fn hooks(&self) -> Hooks {
        Hooks { pre: true, ..Hooks::default() }
    }

    fn wait_limit(&self) -> Option<Duration> {
        self.0.delay.as_ref().map(|delay| delay.time + GRACE)
    }

    fn pre(&self, session: &mut Session<'_>) -> Step {
        Ok(match (self.delay(session), self.abort(session)) {
            (None, None) => Flow::GoOn,
            (None, Some(halt)) => Flow::Halt(halt),
            (Some(time), halt) => Flow::Wait(Waiting(Box::pin(async move {
                sleep(time).await;
                Ok(Resumed { halt, ..Resumed::default() })
            }))),
        })
    }
}
