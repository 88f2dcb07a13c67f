//! What stages keep on each worker: a script's state, an instance of a component.

use std::any::Any;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};

use hashbrown::HashMap;

use super::Failure;

/// Names what one stage keeps; gone with the stage. Its number is that of no other stage, not even of one that is gone.
#[derive(Debug, Clone)]
pub struct LocalKey(Arc<u64>);

impl Default for LocalKey {
    fn default() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(Arc::new(NEXT.fetch_add(1, Relaxed)))
    }
}

/// One worker's share of all stages.
#[derive(Default)]
pub struct Locals(RefCell<HashMap<u64, Local>>);

struct Local {
    stage: Weak<u64>,
    state: Rc<dyn Any>,
}

impl std::fmt::Debug for Locals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Locals").field(&self.0.borrow().len()).finish()
    }
}

impl Locals {
    /// What this worker has of a stage, made if it is not there.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn get<T: 'static>(&self, key: &LocalKey, make: impl FnOnce() -> Result<T, Failure>) -> Result<Rc<T>, Failure> {
        let known = self.0.borrow().get(&*key.0).map(|local| local.state.clone());
        if let Some(Ok(state)) = known.map(Rc::downcast) {
            return Ok(state);
        }
        let state = Rc::new(make()?);
        let local = Local { stage: Arc::downgrade(&key.0), state: state.clone() };
        self.0.borrow_mut().insert(*key.0, local);
        Ok(state)
    }

    /// Forgets what this worker has of a stage: the next call makes it anew.
    pub fn forget(&self, key: &LocalKey) {
        self.0.borrow_mut().remove(&*key.0);
    }

    /// Forgets what belongs to stages that are gone.
    pub fn sweep(&self) {
        self.0.borrow_mut().retain(|_, local| local.stage.strong_count() > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stage_has_its_own_until_it_is_gone() {
        let locals = Locals::default();
        let (a, b) = (LocalKey::default(), LocalKey::default());
        let get = |key: &LocalKey, value: u32| *locals.get(key, || Ok(value)).unwrap();
        assert_eq!((get(&a, 1), get(&b, 2), get(&a, 3)), (1, 2, 1));
        locals.forget(&a);
        assert_eq!(get(&a, 4), 4);
        drop(b);
        locals.sweep();
        assert_eq!(locals.0.borrow().len(), 1);
        assert!(locals.get::<u8>(&LocalKey::default(), || Err(Failure::bad_answer("no"))).is_err());
    }
}
