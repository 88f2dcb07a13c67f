//! What plugins have made of one request so far.

use std::rc::Rc;
use std::sync::Arc;

use super::chain::Link;
use super::change::HeaderChange;
use super::{Change, Stage};
use crate::http::attempt::Template;

/// The request as it is now, and what will be done to its response.
#[derive(Debug, Clone)]
pub struct Effects {
    /// What the upstream shall see.
    pub request: Rc<Template>,
    /// Changes of the response's header, in order.
    pub response: Vec<HeaderChange>,
}

impl Effects {
    /// Nothing is changed yet.
    #[must_use]
    pub fn new(request: Rc<Template>) -> Self {
        Self { request, response: Vec::new() }
    }

    /// Makes changes.
    pub fn apply(&mut self, changes: impl IntoIterator<Item = Change>) {
        for change in changes {
            match change {
                Change::Request(change) => change.apply(&mut Rc::make_mut(&mut self.request).headers),
                Change::Response(change) => self.response.push(change),
                Change::Target(target) => Rc::make_mut(&mut self.request).uri = target.into(),
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
    ran: Vec<(Arc<dyn Stage>, Vec<Change>)>,
}

impl Visit {
    /// Of a request that is in no pool yet.
    #[must_use]
    pub fn new(request: Template) -> Self {
        Self { effects: Effects::new(Rc::new(request)), original: None, ran: Vec::new() }
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

    /// Whether the `pre` of this stage has run; what it changed then is changed again, if it was undone.
    pub fn has_run(&mut self, link: &Link) -> bool {
        let Self { effects, original, ran } = self;
        let found = ran.iter().find(|(stage, _)| Arc::ptr_eq(stage, &link.stage));
        if let (Some((_, changes)), Some(_)) = (found, original) {
            effects.apply(changes.iter().cloned());
        }
        found.is_some()
    }

    /// The `pre` of this stage has run, and changes this.
    pub fn note(&mut self, link: &Link, changes: Vec<Change>) {
        let kept = if self.original.is_some() { changes.clone() } else { Vec::new() };
        self.ran.push((link.stage.clone(), kept));
        self.effects.apply(changes);
    }
}
