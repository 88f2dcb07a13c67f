//! Writing several pieces at once.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;

/// Pieces of together at most so many bytes are copied into one: gathering two small pieces costs the
/// kernel more than copying them costs us.
const SMALL: usize = 2048;

/// Writes `pieces` in one system call, the cheapest that does.
pub fn poll_write<W: AsyncWrite + Unpin>(
    stream: &mut W,
    cx: &mut Context<'_>,
    pieces: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    let stream = Pin::new(stream);
    if let [piece] = pieces {
        return stream.poll_write(cx, piece);
    }
    let mut joined = [0; SMALL];
    let mut len = 0;
    for piece in pieces {
        let Some(room) = joined.get_mut(len..len + piece.len()) else {
            return stream.poll_write_vectored(cx, pieces);
        };
        room.copy_from_slice(piece);
        len += piece.len();
    }
    stream.poll_write(cx, &joined[..len])
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn pieces_arrive_in_order_whatever_their_size() {
        for size in [1, 100, SMALL, SMALL + 1] {
            let (mut near, mut far) = tokio::io::duplex(4 * SMALL);
            let (head, body) = (vec![b'h'; 10], vec![b'b'; size]);
            let pieces = [IoSlice::new(&head), IoSlice::new(&body)];
            let written = poll_fn(|cx| poll_write(&mut near, cx, &pieces)).await.unwrap();
            let mut read = vec![0; written];
            far.read_exact(&mut read).await.unwrap();
            assert_eq!(read, [head, body].concat()[..written]);
        }
    }
}
