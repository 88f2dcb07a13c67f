//! A container that runs: started, probed, started again when it ends, until its pod is to stop.
//!
//! LIFECYCLE: (start -> startup probe -> liveness and readiness probes -> end -> pause)* -> stop. A pod that is not to
//! be restarted ends with its containers.

use std::future::pending;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use tokio::process::Child;
use tokio::time::sleep;

use super::container::Container;
use super::node::Stop;
use super::record::Record;
use super::status::{Reporter, State};
use super::stop::{PreStop, stop};
use crate::program::collect;

/// The first restart comes at once, the next ones after this, doubled each time.
const RESTART_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// What a container gets to end when its probes want it restarted.
const GRACE_OF_UNHEALTHY: Duration = Duration::from_secs(30);

/// When a container that ended is started again.
#[derive(Debug, Clone, Copy)]
pub(super) enum Restart {
    Always,
    OnFailure,
    Never,
}

impl Restart {
    pub(super) fn of(pod: &Pod) -> Self {
        match pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref()) {
            Some("Never") => Self::Never,
            Some("OnFailure") => Self::OnFailure,
            _ => Self::Always,
        }
    }

    fn again(self, code: i32) -> bool {
        match self {
            Self::Always => true,
            Self::OnFailure => code != 0,
            Self::Never => false,
        }
    }
}

/// A container and who is told about it.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) container: Container,
    pub(super) restart: Restart,
    pub(super) reporter: Arc<Reporter>,
    pub(super) record: Arc<Record>,
    pub(super) until: Stop,
}

impl Run {
    /// Runs it for as long as its pod wants.
    pub(super) async fn run(mut self) {
        let mut pause = Duration::ZERO;
        loop {
            let code = self.run_once().await;
            self.record.ended(&self.container.name);
            let again = self.until.borrow().is_none() && self.restart.again(code);
            self.report_end(code, again);
            if !again {
                return;
            }
            tokio::select! {
                () = sleep(pause) => pause = (pause * 2).clamp(RESTART_PAUSE, LONGEST_PAUSE),
                _ = self.until.wait_for(Option::is_some) => return,
            }
        }
    }

    fn report_end(&self, code: i32, again: bool) {
        self.reporter.container(self.container.index, |status| {
            status.ready = false;
            status.restarts += u32::from(again);
            status.state =
                if again { State::Waiting("it ended, and is started again".to_owned()) } else { State::Ended(code) };
        });
    }

    /// Gives the code that it ended with; a signal counts as shells count it.
    async fn run_once(&mut self) -> i32 {
        let mut child = self.start().expect("nsenter of util-linux");
        let mut until = self.until.clone();
        self.reporter.container(self.container.index, |status| status.state = State::Running);
        let status = tokio::select! {
            status = child.wait() => status,
            () = self.probe() => stop(&mut child, &PreStop::Nothing, GRACE_OF_UNHEALTHY).await,
            grace = grace(&mut until) => self.stop(&mut child, grace).await,
        };
        let status = status.expect("the status of a child");
        status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1)
    }

    fn start(&self) -> io::Result<Child> {
        let mut child = self.container.command().spawn()?;
        if let (Some(process), Some(out), Some(err)) = (child.id(), child.stdout.take(), child.stderr.take()) {
            self.record.started(&self.container.name, process);
            collect(out, self.record.sink());
            collect(err, self.record.sink());
        }
        Ok(child)
    }

    /// Stops it. It is probed on meanwhile, so that its EndpointSlice can say whether it still serves; and when a second
    /// deletion leaves no time, it is killed.
    async fn stop(&self, child: &mut Child, grace: Duration) -> io::Result<ExitStatus> {
        let mut until = self.until.clone();
        tokio::select! {
            status = stop(child, &self.container.pre_stop, grace) => return status,
            () = self.probe_readiness() => {}
            _ = until.wait_for(|grace| grace.is_some_and(|grace| grace.is_zero())), if !grace.is_zero() => {}
        }
        child.kill().await?;
        child.wait().await
    }

    /// Probes until it is to be restarted.
    async fn probe(&self) {
        if let Some(startup) = &self.container.probers.startup
            && !startup.run(&self.record, ControlFlow::Break).await
        {
            return;
        }
        tokio::select! {
            () = self.probe_readiness() => {}
            () = self.probe_liveness() => {}
        }
    }

    async fn probe_liveness(&self) {
        let Some(liveness) = &self.container.probers.liveness else { return pending().await };
        let judge = |passing| if passing { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
        liveness.run(&self.record, judge).await;
    }

    async fn probe_readiness(&self) {
        let set = |ready| self.reporter.container(self.container.index, |status| status.ready = ready);
        let Some(readiness) = &self.container.probers.readiness else {
            set(true);
            return pending().await;
        };
        let judge = |passing| -> ControlFlow<()> {
            set(passing);
            ControlFlow::Continue(())
        };
        readiness.run(&self.record, judge).await;
    }
}

/// Waits until the pod is to stop.
async fn grace(until: &mut Stop) -> Duration {
    match until.wait_for(Option::is_some).await {
        Ok(grace) => grace.unwrap_or_default(),
        // The node is gone.
        Err(_) => Duration::ZERO,
    }
}
