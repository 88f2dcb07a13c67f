//! What a worker moves bytes by: one buffer for all its connections, as only one of them moves at a time, and pipes for
//! bulk. A connection on which nothing moves holds neither.

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;

use rustix::pipe::{PipeFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with};

/// Bytes that are copied at once.
pub const CHUNK: usize = 64 << 10;
/// Bytes that a pipe is to hold. The kernel may grant less, and then moves less at once.
pub const PIPE: usize = 512 << 10;
/// Pipes kept for the next connection that needs one: few, as only a slow reader keeps its pipe from being empty again
/// at once.
const SPARE_PIPES: usize = 8;

/// One worker's.
#[derive(Debug)]
pub struct Buffers {
    /// Its content is nobody's between two polls.
    pub chunk: RefCell<Box<[u8]>>,
    pipes: RefCell<Vec<Pipe>>,
}

/// An empty pipe.
#[derive(Debug)]
pub struct Pipe {
    /// Where bytes come out.
    pub reader: OwnedFd,
    /// Where they go in.
    pub writer: OwnedFd,
}

impl Default for Buffers {
    fn default() -> Self {
        Self { chunk: RefCell::new(vec![0; CHUNK].into()), pipes: RefCell::default() }
    }
}

impl Buffers {
    /// A pipe; to be given back only if it is empty.
    ///
    /// # Errors
    /// If there is no file descriptor left, or no pipe that holds as much as is copied at once.
    pub fn take_pipe(&self) -> io::Result<Pipe> {
        match self.pipes.borrow_mut().pop() {
            Some(pipe) => Ok(pipe),
            None => Pipe::new(),
        }
    }

    /// Gives a pipe back.
    pub fn put_pipe(&self, pipe: Pipe) {
        let mut pipes = self.pipes.borrow_mut();
        if pipes.len() < SPARE_PIPES {
            pipes.push(pipe);
        }
    }
}

impl Pipe {
    fn new() -> io::Result<Self> {
        let (reader, writer) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC)?;
        // A user's pipes may hold only so much together. A smaller one does too, but the kernel gives even tiny ones.
        let size = fcntl_setpipe_size(&writer, PIPE).or_else(|_| fcntl_getpipe_size(&writer))?;
        if size < CHUNK {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        Ok(Self { reader, writer })
    }
}
