//! What [`super::admission`] synchronises with, in one place: the model check puts the types of a checker here.

pub(super) use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

pub(super) use parking_lot::Mutex;

/// Between two sequentially consistent operations, which all threads see in one order anyway. A checker may know this of
/// fences only.
pub(super) fn in_one_order() {}
