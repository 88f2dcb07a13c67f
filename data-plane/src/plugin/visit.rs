//! What plugins have made of one request so far.

use std::rc::Rc;
use std::sync::Arc;

use smallvec::SmallVec;

use super::chain::Link;
use super::change::HeaderChange;
use super::{Change, Changes, Stage};
use crate::http::attempt::Template;
use crate::http::compress::Compression;

/// The request as it is now, and what will be done to its response.
#[derive(Debug, Clone)]
pub struct Effects {
    /// What the upstream shall see.
    pub request: Rc<Template>,
    /// Changes of the response's header, in order.
    pub response: Vec<HeaderChange>,
    /// How its body is compressed, if it is.
    pub compression: Option<Compression>,
}

impl Effects {
    /// Nothing is changed yet.
    #[must_use]
    pub fn new(request: Rc<Template>) -> Self {
        Self { request, response: Vec::new(), compression: None }
    }

    /// Makes changes.
    pub fn apply(&mut self, changes: impl IntoIterator<Item = Change>) {
        for change in changes {
            match change {
                Change::Request(change) => change.apply(&mut Rc::make_mut(&mut self.request).headers),
                Change::Response(change) => self.response.push(change),
                Change::Target(target) => Rc::make_mut(&mut self.request).uri = target.into(),
                Change::Compress(compression) => self.compression = Some(compression),
            }
        }
    }
}

/// A request on its way through pools.
#[derive(Debug)]
pub struct Visit {
    /// In the pool where it is.
    pub effects: Effects,
    /// As the client sent it, for the next pool; `None` while no plugin may change it, or if there is no other pool.
    original: Option<Rc<Template>>,
    /// Stages whose `pre` has run, with what they changed (P8).
    ran: SmallVec<[Ran; 1]>,
}

type Ran = (Arc<dyn Stage>, Changes);

impl Visit {
    /// Of a request that is in no pool yet.
    #[must_use]
    pub fn new(request: Template) -> Self {
        Self { effects: Effects::new(Rc::new(request)), original: None, ran: SmallVec::new() }
    }

    /// What plugins will change from now on is undone in the next pool.
    pub fn keep_original(&mut self) {
        self.original.get_or_insert_with(|| self.effects.request.clone());
    }

    /// The request enters a pool: what plugins of another one have made of it is undone.
    pub fn enter(&mut self) {
        if let Some(original) = &self.original {
            self.effects = Effects::new(original.clone());
        }
    }

    /// What was made of the request in the pool where it is, for its answer.
    pub fn take_effects(&mut self) -> Effects {
        let request = self.effects.request.clone();
        std::mem::replace(&mut self.effects, Effects::new(request))
    }

    /// Whether the `pre` of this stage has run; what it changed then is changed again, if it was undone.
    pub fn has_run(&mut self, link: &Link) -> bool {
        let Self { effects, original, ran } = self;
        let is_it = |stage: &Arc<dyn Stage>| std::ptr::addr_eq(Arc::as_ptr(stage), Arc::as_ptr(&link.stage));
        let found = ran.iter().find(|(stage, _)| is_it(stage));
        if let (Some((_, changes)), Some(_)) = (found, original) {
            effects.apply(changes.iter().cloned());
        }
        found.is_some()
    }

    /// The `pre` of this stage has run, and changes this.
    pub fn note(&mut self, link: &Link, changes: Changes) {
        let kept = if self.original.is_some() { changes.clone() } else { Changes::new() };
        self.ran.push((link.stage.clone(), kept));
        self.effects.apply(changes);
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use weir_proto::model::FailurePolicy;

    use super::*;
    use crate::plugin::stats::PluginStats;
    use crate::plugin::{Hooks, testing};

    #[derive(Debug)]
    struct Nothing(#[expect(dead_code, reason = "an address of its own")] u8);

    impl Stage for Nothing {
        fn hooks(&self) -> Hooks {
            Hooks { pre: true, ..Hooks::default() }
        }
    }

    fn link() -> Link {
        Link {
            stage: Arc::new(Nothing(0)),
            hooks: Hooks::default(),
            policy: FailurePolicy::Closed,
            timeout: std::time::Duration::ZERO,
            stats: Arc::new(PluginStats::new("a/b".into(), 1)),
            tally: None,
        }
    }

    fn visit() -> Visit {
        Visit::new(testing::request("/a?b", &[]))
    }

    fn add(name: &'static str) -> Change {
        Change::Request(HeaderChange::Add(HeaderName::from_static(name), HeaderValue::from_static("1")))
    }

    fn names(visit: &Visit) -> Vec<&str> {
        visit.effects.request.headers.keys().map(HeaderName::as_str).collect()
    }

    #[test]
    fn p8_what_a_plugin_changed_is_changed_again_in_the_next_pool_that_has_it_without_running_it() {
        let (shared, own) = (link(), link());
        let mut visit = visit();
        visit.enter();
        visit.keep_original();
        assert!(!visit.has_run(&shared) && !visit.has_run(&own));
        visit.note(&own, [add("own")].into());
        visit.note(&shared, [add("shared")].into());
        assert_eq!(names(&visit).len(), 2);
        visit.enter();
        assert_eq!(names(&visit), [] as [&str; 0], "what plugins of another pool did is undone");
        assert!(visit.has_run(&shared));
        assert_eq!(names(&visit), ["shared"]);
    }

    #[test]
    fn without_another_pool_nothing_is_kept_and_nothing_copied() {
        let mut visit = visit();
        let before = Rc::as_ptr(&visit.effects.request);
        visit.note(&link(), [add("x")].into());
        assert_eq!((names(&visit), Rc::as_ptr(&visit.effects.request)), (vec!["x"], before));
    }

    #[test]
    fn p4_what_was_changed_for_one_try_is_not_there_in_the_next() {
        let mut visit = visit();
        visit.note(&link(), [add("pre")].into());
        let mut attempt = visit.effects.clone();
        let target = "/c".parse().unwrap();
        let response = HeaderChange::Remove(HeaderName::from_static("server"));
        attempt.apply([add("post"), Change::Target(target), Change::Response(response)]);
        assert_eq!((attempt.request.uri.path(), attempt.response.len()), ("/c", 1));
        assert_eq!((names(&visit), visit.effects.request.uri.path()), (vec!["pre"], "/a"));
        assert!(visit.effects.response.is_empty());
    }
}
