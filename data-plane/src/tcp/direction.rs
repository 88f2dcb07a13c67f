//! One direction of a connection: bytes from one socket to the other, until the first has no more.
//!
//! What is read is written before more is read, so a reader that is slow slows its peer down, and nothing piles up
//! here. Small pieces are copied; what comes in bulk moves through a pipe, by splice(2), and never enters this process.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::task::yield_now;

use super::buffers::{Buffers, CHUNK, PIPE, Pipe};
use super::pace::Pace;
use crate::stats::Counter;
use crate::tunnel::Movement;
use crate::upstream::halves::{Reader, Writer};

/// One direction.
#[derive(Debug)]
pub struct Direction<'a> {
    /// Where bytes come from.
    pub from: Reader<'a>,
    /// Where they go.
    pub to: Writer<'a>,
    /// The worker's.
    pub buffers: &'a Buffers,
    /// What is told of them.
    pub tally: Tally<'a>,
    /// How they came so far.
    pub pace: Pace,
}

/// Counts bytes that went on.
#[derive(Debug)]
pub struct Tally<'a> {
    /// Those of the endpoint.
    pub endpoint: &'a Counter,
    /// Those of the connection.
    pub connection: &'a Cell<u64>,
    /// That they move at all.
    pub movement: &'a Movement,
}

impl Tally<'_> {
    fn add(&self, bytes: usize) {
        self.endpoint.add(bytes as u64);
        self.connection.set(self.connection.get() + bytes as u64);
        self.movement.note();
    }
}

/// Which socket failed.
#[derive(Debug)]
pub enum Fault {
    /// The one that bytes come from.
    From(io::Error),
    /// The one that they go to.
    To(io::Error),
}

impl Direction<'_> {
    /// Moves everything, then passes the end on.
    ///
    /// # Errors
    /// If one of the sockets fails.
    pub async fn run(mut self) -> Result<(), Fault> {
        let can_splice = self.from.can_splice() && self.to.can_splice();
        loop {
            let moved = if self.pace.is_bulk() && can_splice { self.splice().await? } else { self.copy().await? };
            if moved == 0 {
                return self.to.shutdown().await.map_err(Fault::To);
            }
            self.pace.note(moved);
            if self.pace.is_bulk() {
                // Other connections have their turn. That is fair, and cheaper for all of them: meanwhile the kernel
                // sends what it got, and more comes in that then moves at once.
                yield_now().await;
            }
        }
    }

    /// Copies one piece; 0 = there is no more.
    async fn copy(&mut self) -> Result<usize, Fault> {
        let (read, rest) = poll_fn(|cx| self.poll_copy(cx)).await?;
        if !rest.is_empty() {
            self.to.write_all(&rest).await.map_err(Fault::To)?;
            self.tally.add(rest.len());
        }
        Ok(read)
    }

    /// Reads a piece, and writes as much of it as goes at once, which is mostly all; gives the rest.
    fn poll_copy(&mut self, cx: &mut Context<'_>) -> Poll<Result<(usize, Vec<u8>), Fault>> {
        let mut chunk = self.buffers.chunk.borrow_mut();
        let mut buffer = ReadBuf::new(&mut chunk[..CHUNK]);
        ready!(Pin::new(&mut self.from).poll_read(cx, &mut buffer)).map_err(Fault::From)?;
        let piece = buffer.filled();
        if piece.is_empty() {
            return Poll::Ready(Ok((0, Vec::new())));
        }
        let written = match Pin::new(&mut self.to).poll_write(cx, piece) {
            Poll::Ready(written) => written.map_err(Fault::To)?,
            Poll::Pending => 0,
        };
        self.tally.add(written);
        Poll::Ready(Ok((piece.len(), piece[written..].to_vec())))
    }

    /// Moves one pipe's fill; 0 = there is no more.
    async fn splice(&mut self) -> Result<usize, Fault> {
        loop {
            poll_fn(|cx| self.from.poll_ready(cx)).await.map_err(Fault::From)?;
            // Not before there is something, and without a pipe copying goes on.
            let Ok(pipe) = self.buffers.take_pipe() else { return self.copy().await };
            match self.from.try_splice(pipe.writer.as_fd(), PIPE) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.buffers.put_pipe(pipe),
                Err(error) => return Err(Fault::From(error)),
                Ok(filled) => {
                    self.empty(pipe, filled).await.map_err(Fault::To)?;
                    return Ok(filled);
                }
            }
        }
    }

    /// Moves on what a pipe has. One that is not emptied is closed, and not given back.
    async fn empty(&mut self, pipe: Pipe, filled: usize) -> io::Result<()> {
        let mut left = filled;
        while left > 0 {
            let moved = poll_fn(|cx| self.to.poll_splice(cx, pipe.reader.as_fd(), left)).await?;
            self.tally.add(moved);
            left -= moved;
        }
        self.buffers.put_pipe(pipe);
        Ok(())
    }
}
