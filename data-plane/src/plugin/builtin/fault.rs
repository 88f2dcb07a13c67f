//! `Fault`: delays requests, or answers in place of a backend, by chance: how do clients take it?

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::time::sleep;
use weir_proto::model::plugin::param;

use super::chance::hits;
use crate::plugin::says::suppose;
use crate::plugin::{Flow, Halt, Hooks, Resumed, Session, Stage, Step, Waiting};

/// The type.
#[derive(Debug)]
pub(super) struct Fault(pub(super) param::Fault);

/// The same, where nobody waits and nothing is left to chance.
#[derive(Debug)]
struct Dry(param::Fault);

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

    fn dry(&self) -> Option<Arc<dyn Stage>> {
        Some(Arc::new(Dry(self.0.clone())))
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

impl Stage for Dry {
    fn hooks(&self) -> Hooks {
        Hooks { pre: true, ..Hooks::default() }
    }

    /// Halts only what is always halted.
    fn pre(&self, _: &mut Session<'_>) -> Step {
        Ok(match &self.0.abort {
            Some(abort) if abort.percent >= 100.0 => answer(abort.status).into(),
            Some(abort) if abort.percent > 0.0 => {
                let param::Abort { status, percent } = abort;
                suppose(&format!("it is none of the {percent} percent of requests that are answered {status}"));
                Flow::GoOn
            }
            _ => Flow::GoOn,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::testing::Fixture;

    #[tokio::test]
    async fn p1_in_a_dry_run_nobody_waits_and_only_what_is_certain_is_answered() {
        let delay = Some(param::Delay { time: Duration::from_hours(1), percent: 100.0 });
        let fixture = Fixture::new(&[1], |_| ());
        for (percent, halts) in [(0.0, false), (50.0, false), (100.0, true)] {
            let abort = Some(param::Abort { status: StatusCode::IM_A_TEAPOT, percent });
            let dry = Fault(param::Fault { abort, delay: delay.clone() }).dry().unwrap();
            let flow = dry.pre(&mut fixture.session()).unwrap();
            assert!(matches!((flow, halts), (Flow::GoOn, false) | (Flow::Halt(_), true)), "{percent}");
        }
    }
}
