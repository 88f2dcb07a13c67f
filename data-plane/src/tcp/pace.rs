//! Whether bytes come in bulk, for which the kernel's pipes are cheaper, or in small pieces, for which a copy is.

/// A piece from this size on speaks for bulk.
const LARGE: usize = 16 << 10;
/// So many large pieces more than small ones make it bulk.
const BULK: u8 = 2;
/// It takes as many small ones to end that.
const MOST: u8 = 2 * BULK;

/// What the last pieces of one direction say.
#[derive(Debug, Default)]
pub struct Pace(u8);

impl Pace {
    /// Takes in the size of a piece.
    pub fn note(&mut self, bytes: usize) {
        self.0 = if bytes >= LARGE { (self.0 + 1).min(MOST) } else { self.0.saturating_sub(1) };
    }

    /// Whether bytes come in bulk.
    #[must_use]
    pub fn is_bulk(&self) -> bool {
        self.0 > BULK
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bulk_begins_with_several_large_pieces_and_ends_with_several_small_ones() {
        let mut pace = Pace::default();
        let mut after = |bytes| {
            pace.note(bytes);
            pace.is_bulk()
        };
        assert_eq!([LARGE, LARGE, 1, LARGE].map(&mut after), [false; 4]);
        assert_eq!([LARGE, LARGE, LARGE].map(&mut after), [true; 3]);
        assert_eq!([1, LARGE, 1, 1].map(&mut after), [true, true, true, false]);
        assert_eq!([1, 1, 1, 1, LARGE, LARGE, LARGE].map(&mut after)[4..], [false, false, true]);
    }
}
