//! What has happened to objects lately, for those who watch them. Versions are microseconds since 1970, or the next
//! number if two changes share one: they grow over restarts without being kept anywhere, unless the clock is set back,
//! and then a watch from before is told to begin anew as if it came too late.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;
use weir_proto::model::Kind;

/// Changes that are remembered: the status of each of ten thousand objects may change at once.
const REMEMBERED: usize = 16_384;

/// One change of one object.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) version: u64,
    pub(crate) of: Kind,
    pub(crate) kind: ChangeKind,
    /// As it is now, or was last.
    pub(crate) object: Arc<Value>,
    /// As it was before.
    pub(crate) before: Option<Arc<Value>>,
}

/// What has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    Added,
    Modified,
    Deleted,
}

/// What has happened since a version is not known any more, or not yet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooOld;

/// The last changes.
#[derive(Debug)]
pub(super) struct History {
    changes: VecDeque<Change>,
    /// Everything after this version is remembered.
    floor: u64,
    newest: u64,
}

impl History {
    pub(super) fn new(now: Timestamp) -> Self {
        let now = micros(now);
        Self { changes: VecDeque::new(), floor: now, newest: now }
    }

    pub(super) fn newest(&self) -> u64 {
        self.newest
    }

    /// A new version.
    pub(super) fn next(&mut self, now: Timestamp) -> u64 {
        self.newest = micros(now).max(self.newest + 1);
        self.newest
    }

    pub(super) fn push(&mut self, change: Change) {
        self.changes.push_back(change);
        while self.changes.len() > REMEMBERED {
            self.floor = self.changes.pop_front().map_or(self.floor, |oldest| oldest.version);
        }
    }

    pub(super) fn since(&self, version: u64) -> Result<Vec<Change>, TooOld> {
        if !(self.floor..=self.newest).contains(&version) {
            return Err(TooOld);
        }
        let first = self.changes.partition_point(|change| change.version <= version);
        Ok(self.changes.range(first..).cloned().collect())
    }
}

fn micros(now: Timestamp) -> u64 {
    now.as_microsecond().try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(history: &mut History, now: Timestamp) -> u64 {
        let version = history.next(now);
        let (object, before) = (Arc::new(Value::Null), None);
        history.push(Change { version, of: Kind::Pool, kind: ChangeKind::Added, object, before });
        version
    }

    #[test]
    fn versions_grow_even_if_the_clock_does_not() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let mut history = History::new(now);
        let (first, second) = (change(&mut history, now), change(&mut history, Timestamp::UNIX_EPOCH));
        assert!(first < second);
        let after_restart = History::new(Timestamp::from_second(1_000_001).unwrap());
        assert!(after_restart.newest() > second);
        assert_eq!(after_restart.since(second).unwrap_err(), TooOld);
    }

    #[test]
    fn what_is_forgotten_or_yet_to_come_is_too_old() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let mut history = History::new(now);
        let start = history.newest();
        let versions: Vec<u64> = (0..REMEMBERED + 2).map(|_| change(&mut history, now)).collect();
        assert!(history.since(start).is_err() && history.since(versions[0]).is_err());
        assert_eq!(history.since(versions[1]).unwrap().len(), REMEMBERED);
        assert_eq!(history.since(history.newest()).unwrap().len(), 0);
        assert!(history.since(history.newest() + 1).is_err());
    }
}
