//! Records on their way to the application.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

use super::record::{self, Kind, MAX_CONTENT};
use crate::upstream::io::UpstreamIo;

/// Parts that one write takes.
const GATHERED: usize = 8;

/// Whole records, in order. What a client sends is not copied.
#[derive(Debug, Default)]
pub struct Output(VecDeque<Bytes>);

impl Output {
    /// Adds records that are there as a whole.
    pub fn push(&mut self, records: Bytes) {
        if !records.is_empty() {
            self.0.push_back(records);
        }
    }

    /// Adds a record with this content, of at most [`MAX_CONTENT`] bytes.
    pub fn push_record(&mut self, kind: Kind, content: Bytes) {
        debug_assert!(content.len() <= MAX_CONTENT, "the caller has cut it");
        let head = record::head(kind, u16::try_from(content.len()).unwrap_or(u16::MAX));
        self.push(Bytes::copy_from_slice(&head));
        self.push(content);
    }

    /// Adds a record without content, which ends its stream.
    pub fn push_empty(&mut self, kind: Kind) {
        self.push(Bytes::from_static(record::empty(kind)));
    }

    /// Whether everything was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Writes until nothing is left.
    ///
    /// # Errors
    /// If the connection takes no more.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>, io: &mut UpstreamIo) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let written = {
                let mut slices = [IoSlice::new(&[]); GATHERED];
                let parts = slices.iter_mut().zip(&self.0).map(|(slice, part)| *slice = IoSlice::new(part)).count();
                ready!(Pin::new(&mut *io).poll_write_vectored(cx, &slices[..parts]))?
            };
            self.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    /// Writes what the connection takes at once; for what need not arrive.
    pub fn flush_now(&mut self, io: &UpstreamIo) {
        while let Some(part) = self.0.front() {
            match io.try_write(part) {
                Ok(written) if written > 0 => self.advance(written),
                _ => return,
            }
        }
    }

    fn advance(&mut self, mut written: usize) {
        while let Some(part) = self.0.front_mut() {
            if part.len() > written {
                return part.advance(written);
            }
            written -= part.len();
            self.0.pop_front();
        }
    }
}
