//! `inherit`: a value fills what it leaves out from a base, leaf by leaf.

use serde_json::{Map, Value};

/// Fills what is left out from `base`.
pub trait Fill {
    /// A leaf that is there stays as it is; this is what most types want.
    fn fill(&mut self, base: &Self) {
        let _ = base;
    }
}

impl<T: Fill + Clone> Fill for Option<T> {
    fn fill(&mut self, base: &Self) {
        match (self, base) {
            (Some(own), Some(base)) => own.fill(base),
            (own @ None, base) => own.clone_from(base),
            (Some(_), None) => {}
        }
    }
}

impl Fill for bool {}
impl Fill for i32 {}
impl Fill for u32 {}
impl Fill for String {}
/// Key by key; a value is taken whole.
impl Fill for Map<String, Value> {
    fn fill(&mut self, base: &Self) {
        for (key, value) in base {
            if !self.contains_key(key) {
                self.insert(key.clone(), value.clone());
            }
        }
    }
}

/// Lists are taken whole.
impl<T> Fill for Vec<T> {}
