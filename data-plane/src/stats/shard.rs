//! One value per worker.

/// 128 bytes: two cache lines, as the prefetcher of x86 fetches lines in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Padded<T>(T);

/// A `T` for each worker, each on cache lines of its own.
#[derive(Debug)]
pub struct Sharded<T>(Box<[Padded<T>]>);

impl<T: Default> Sharded<T> {
    /// Makes a `T` for each of `workers`.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self((0..workers).map(|_| Padded::default()).collect())
    }

    /// The value of one worker.
    #[must_use]
    pub fn of(&self, worker: usize) -> &T {
        &self.0[worker].0
    }

    /// All workers' values.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|padded| &padded.0)
    }

    /// The sum of a figure over all workers.
    pub fn sum(&self, figure: impl Fn(&T) -> u64) -> u64 {
        self.iter().map(figure).sum()
    }
}
