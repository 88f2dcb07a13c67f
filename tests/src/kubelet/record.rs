//! What is known about a pod that runs or ran here, for tests.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;

use parking_lot::Mutex;

use super::probe::Probes;

/// Shared by the pod's tasks and by tests.
#[derive(Debug, Default)]
pub(super) struct Record {
    output: Arc<Mutex<String>>,
    probes: Mutex<Probes>,
    /// Process ids by container.
    processes: Mutex<BTreeMap<String, u32>>,
}

impl Record {
    pub(super) fn output(&self) -> String {
        self.output.lock().clone()
    }

    /// Where the lines of its containers go.
    pub(super) fn sink(&self) -> Arc<Mutex<String>> {
        self.output.clone()
    }

    pub(super) fn probes(&self) -> Probes {
        *self.probes.lock()
    }

    pub(super) fn probed(&self, passed: bool) {
        let mut probes = self.probes.lock();
        *if passed { &mut probes.passed } else { &mut probes.failed } += 1;
    }

    pub(super) fn started(&self, container: &str, process: u32) {
        self.processes.lock().insert(container.to_owned(), process);
    }

    pub(super) fn ended(&self, container: &str) {
        self.processes.lock().remove(container);
    }

    /// The processes of its containers that run now.
    pub(super) fn processes(&self) -> impl Iterator<Item = u32> + use<> {
        self.processes.lock().values().copied().collect::<Vec<_>>().into_iter()
    }

    /// # Panics
    /// If nothing of it runs.
    pub(super) fn kill(&self) {
        let mut processes = self.processes().peekable();
        assert!(processes.peek().is_some(), "no container runs");
        processes.for_each(|process| signal("KILL", process));
    }
}

/// Sends a signal to a process that may have ended just now.
pub(super) fn signal(name: &str, process: u32) {
    let _ = Command::new("kill").args(["-s", name, &process.to_string()]).output();
}
