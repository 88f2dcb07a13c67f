//! Numbers of client connections, for the method `Rotate`: the lowest number not in use, as a file
//! descriptor is, which is what monkey's "naive" method starts from.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use parking_lot::Mutex;

/// Hands out numbers to the connections of all workers; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct ConnectionNumbers(Arc<Mutex<Numbers>>);

#[derive(Debug, Default)]
struct Numbers {
    free: BinaryHeap<Reverse<usize>>,
    next: usize,
}

/// A number in use; free again when dropped.
#[derive(Debug)]
pub struct ConnectionNumber {
    value: usize,
    /// `None` of a copy: another one has it in use.
    pool: Option<ConnectionNumbers>,
}

impl ConnectionNumbers {
    /// The lowest number not in use.
    #[must_use]
    pub fn take(&self) -> ConnectionNumber {
        let mut numbers = self.0.lock();
        let value = match numbers.free.pop() {
            Some(Reverse(value)) => value,
            None => {
                numbers.next += 1;
                numbers.next - 1
            }
        };
        ConnectionNumber { value, pool: Some(self.clone()) }
    }

    /// The number that the next connection will get; it stays free.
    #[must_use]
    pub fn peek(&self) -> ConnectionNumber {
        let numbers = self.0.lock();
        let value = numbers.free.peek().map_or(numbers.next, |Reverse(value)| *value);
        ConnectionNumber { value, pool: None }
    }
}

impl ConnectionNumber {
    /// The same number; it is free again when the original is dropped.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self { value: self.value, pool: None }
    }

    /// The number itself.
    #[must_use]
    pub fn get(&self) -> usize {
        self.value
    }
}

impl Drop for ConnectionNumber {
    fn drop(&mut self) {
        if let Some(pool) = &self.pool {
            pool.0.lock().free.push(Reverse(self.value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c3_rotate_gets_the_lowest_free_number() {
        let numbers = ConnectionNumbers::default();
        let (a, b, c) = (numbers.take(), numbers.take(), numbers.take());
        assert_eq!([a.get(), b.get(), c.get()], [0, 1, 2]);
        drop(b.copy());
        drop(b);
        drop(a);
        assert_eq!([numbers.peek().get(), numbers.peek().get()], [0, 0]);
        assert_eq!([numbers.take().get(), c.get()], [0, 2]);
    }
}
