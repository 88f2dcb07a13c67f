//! A second copy of a request body, kept while the first goes to the upstream.

use bytes::Bytes;
use tokio::sync::oneshot;

/// A body, whole.
pub type Pieces = Vec<Bytes>;

/// The body is larger than what is kept.
#[derive(Debug, PartialEq, Eq)]
pub struct TooLarge;

/// Collects a body up to a limit, and hands it over at its end. Dropped before, the receiver learns that it never came
/// to its end.
#[derive(Debug)]
pub struct Tee {
    pieces: Pieces,
    /// Bytes that may still come.
    left: usize,
    /// `None` when it is said that the body is too large.
    receiver: Option<oneshot::Sender<Result<Pieces, TooLarge>>>,
}

impl Tee {
    /// Keeps at most this many bytes.
    #[must_use]
    pub fn new(limit: usize) -> (Self, oneshot::Receiver<Result<Pieces, TooLarge>>) {
        let (sender, receiver) = oneshot::channel();
        (Self { pieces: Pieces::new(), left: limit, receiver: Some(sender) }, receiver)
    }

    /// Takes the next bytes; they are not copied.
    pub fn push(&mut self, data: &Bytes) {
        match self.left.checked_sub(data.len()) {
            Some(left) => {
                self.left = left;
                self.pieces.push(data.clone());
            }
            None => {
                self.pieces = Pieces::new();
                self.left = 0;
                self.send(Err(TooLarge));
            }
        }
    }

    /// The body is complete.
    pub fn finish(mut self) {
        let pieces = std::mem::take(&mut self.pieces);
        self.send(Ok(pieces));
    }

    /// Whoever waits for it may have left.
    fn send(&mut self, body: Result<Pieces, TooLarge>) {
        let _ = self.receiver.take().map(|receiver| receiver.send(body));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn teed(limit: usize, pieces: &[&'static [u8]]) -> Option<Result<usize, TooLarge>> {
        let (mut tee, mut receiver) = Tee::new(limit);
        pieces.iter().for_each(|piece| tee.push(&Bytes::from_static(piece)));
        tee.finish();
        receiver.try_recv().ok().map(|body| body.map(|pieces| pieces.iter().map(Bytes::len).sum()))
    }

    #[test]
    fn a_body_within_the_limit_is_handed_over_at_its_end() {
        assert_eq!(teed(5, &[b"abc", b"de"]), Some(Ok(5)));
        assert_eq!(teed(0, &[]), Some(Ok(0)));
        let (mut tee, mut receiver) = Tee::new(5);
        tee.push(&Bytes::from_static(b"abc"));
        assert!(receiver.try_recv().is_err());
    }

    #[test]
    fn a_larger_one_is_given_up_at_once_and_keeps_nothing() {
        assert_eq!(teed(5, &[b"abc", b"def", b"g"]), Some(Err(TooLarge)));
        let (mut tee, mut receiver) = Tee::new(5);
        tee.push(&Bytes::from_static(b"abcdef"));
        assert_eq!(receiver.try_recv(), Ok(Err(TooLarge)));
        assert!(tee.pieces.is_empty());
    }
}
