//! A small memory of scripts, one per plugin and worker: bounded, and its entries expire.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use tokio::time::Instant;

/// Most entries.
pub const MAX_ENTRIES: usize = 10_000;
/// Most bytes of all keys and values.
pub const MAX_BYTES: usize = 1 << 20;

/// What scripts remember.
#[derive(Debug, Clone, PartialEq)]
pub enum Remembered {
    /// Yes or no.
    Boolean(bool),
    /// A number.
    Number(f64),
    /// A text.
    Text(Rc<[u8]>),
}

/// Values by key. If it is full, what was set longest ago goes.
#[derive(Debug, Default)]
pub struct Expiring {
    entries: HashMap<Rc<[u8]>, Entry>,
    /// Keys in the order in which they were set.
    order: BTreeMap<u64, Rc<[u8]>>,
    bytes: usize,
    last: u64,
}

#[derive(Debug)]
struct Entry {
    value: Remembered,
    expires: Option<Instant>,
    order: u64,
}

impl Remembered {
    fn size(&self) -> usize {
        match self {
            Self::Boolean(_) | Self::Number(_) => size_of::<Self>(),
            Self::Text(text) => text.len(),
        }
    }
}

impl Expiring {
    /// The value of a key, unless it has expired.
    pub fn get(&mut self, key: &[u8]) -> Option<&Remembered> {
        // The clock is read for those only that expire.
        if self.entries.get(key)?.expires.is_some_and(|expires| expires <= Instant::now()) {
            self.remove(key);
        }
        self.entries.get(key).map(|entry| &entry.value)
    }

    /// Sets the value of a key. Says whether there is room for it at all.
    #[must_use]
    pub fn set(&mut self, key: &[u8], value: Remembered, expires: Option<Instant>) -> bool {
        self.remove(key);
        let size = key.len() + value.size();
        if size > MAX_BYTES {
            return false;
        }
        while self.entries.len() >= MAX_ENTRIES || self.bytes + size > MAX_BYTES {
            self.remove_oldest();
        }
        self.last += 1;
        let key: Rc<[u8]> = key.into();
        self.order.insert(self.last, key.clone());
        self.entries.insert(key, Entry { value, expires, order: self.last });
        self.bytes += size;
        true
    }

    /// Forgets a key.
    pub fn remove(&mut self, key: &[u8]) {
        if let Some(Entry { value, order, .. }) = self.entries.remove(key) {
            self.order.remove(&order);
            self.bytes -= key.len() + value.size();
        }
    }

    fn remove_oldest(&mut self) {
        if let Some((_, key)) = self.order.first_key_value() {
            self.remove(&key.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn text(length: usize) -> Remembered {
        Remembered::Text(vec![b'x'; length].into())
    }

    #[tokio::test(start_paused = true)]
    async fn values_expire() {
        let mut store = Expiring::default();
        let second = Duration::from_secs(1);
        assert!(store.set(b"a", Remembered::Number(1.0), Some(Instant::now() + second)));
        assert!(store.set(b"b", Remembered::Boolean(true), None));
        assert_eq!(store.get(b"a"), Some(&Remembered::Number(1.0)));
        tokio::time::advance(second).await;
        assert_eq!(store.get(b"a"), None);
        assert_eq!(store.bytes, 1 + size_of::<Remembered>());
        assert_eq!(store.get(b"b"), Some(&Remembered::Boolean(true)));
    }

    #[test]
    fn p7_it_is_bounded_and_forgets_what_was_set_longest_ago() {
        let mut store = Expiring::default();
        (0..=MAX_ENTRIES).for_each(|number| assert!(store.set(&number.to_be_bytes(), text(1), None)));
        assert_eq!((store.entries.len(), store.order.len()), (MAX_ENTRIES, MAX_ENTRIES));
        assert_eq!(store.get(&0_usize.to_be_bytes()), None);
        assert!(!store.set(b"huge", text(MAX_BYTES), None));
        assert!(store.set(b"big", text(MAX_BYTES - 3), None));
        assert_eq!((store.entries.len(), store.bytes), (1, MAX_BYTES));
        store.remove(b"big");
        assert_eq!((store.bytes, store.order.len()), (0, 0));
    }
}
