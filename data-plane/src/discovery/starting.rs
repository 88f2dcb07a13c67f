//! What a proxy waits for before it calls itself ready (S3): the first table, and one answer, good or bad,
//! for each DNS name in it. Otherwise it would be sent requests whose backends it has not looked up yet.

use std::collections::BTreeSet;

use crate::readiness::{Blocker, Readiness};

/// Holds back readiness during the start.
#[derive(Debug)]
pub(super) struct Starting {
    readiness: Readiness,
    table: Option<Blocker>,
    names: Option<Blocker>,
    unanswered: BTreeSet<String>,
}

impl Starting {
    /// Not ready from now on.
    pub(super) fn new(readiness: Readiness) -> Self {
        let table = Some(readiness.block("first table"));
        Self { readiness, table, names: None, unanswered: BTreeSet::new() }
    }

    /// A table with these DNS names is live.
    pub(super) fn live(&mut self, names: &BTreeSet<String>) {
        if self.table.is_some() {
            self.unanswered.clone_from(names);
            // Before the other guard is dropped: ready must not flicker.
            self.names = Some(self.readiness.block("first answers of DNS"));
            self.table = None;
        }
        self.unanswered.retain(|name| names.contains(name));
        self.check();
    }

    /// DNS answered for `name`, or failed to.
    pub(super) fn answered(&mut self, name: &str) {
        self.unanswered.remove(name);
        self.check();
    }

    fn check(&mut self) {
        if self.unanswered.is_empty() {
            self.names = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn s3_not_ready_before_the_first_table_and_its_names() {
        let readiness = Readiness::default();
        let mut starting = Starting::new(readiness.clone());
        starting.answered("a");
        assert_eq!(readiness.missing(), ["first table"]);
        starting.live(&names(&["a", "b"]));
        assert_eq!(readiness.missing(), ["first answers of DNS"]);
        starting.answered("a");
        starting.live(&names(&["a"]));
        assert!(readiness.missing().is_empty(), "b is no longer used");
    }

    #[test]
    fn s2_later_tables_and_names_do_not_take_readiness_back() {
        let readiness = Readiness::default();
        let mut starting = Starting::new(readiness.clone());
        starting.live(&names(&[]));
        assert!(readiness.missing().is_empty());
        starting.live(&names(&["new"]));
        assert!(readiness.missing().is_empty());
    }
}
