//! Both directions of a [`Transport`], used at the same time, and the kernel's own way to move bytes from one socket to
//! another, through a pipe.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::pipe::{SpliceFlags, splice};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, ReadHalf, WriteHalf};
use tokio::net::{TcpStream, UnixStream, tcp, unix};
use tokio_rustls::client::TlsStream;

use super::stream::Stream;
use super::transport::Transport;

/// What comes from the peer.
#[derive(Debug)]
pub enum Reader<'a> {
    /// Over TCP.
    Tcp(tcp::ReadHalf<'a>),
    /// From a Unix socket.
    Unix(unix::ReadHalf<'a>),
    /// Within TLS.
    Tls(ReadHalf<&'a mut TlsStream<Stream>>),
}

/// What goes to the peer.
#[derive(Debug)]
pub enum Writer<'a> {
    /// Over TCP.
    Tcp(tcp::WriteHalf<'a>),
    /// To a Unix socket.
    Unix(unix::WriteHalf<'a>),
    /// Within TLS.
    Tls(WriteHalf<&'a mut TlsStream<Stream>>),
}

impl Transport {
    /// Both directions.
    pub fn split(&mut self) -> (Reader<'_>, Writer<'_>) {
        match self {
            Self::Plain(Stream::Tcp(stream)) => {
                let (reader, writer) = stream.split();
                (Reader::Tcp(reader), Writer::Tcp(writer))
            }
            Self::Plain(Stream::Unix(stream)) => {
                let (reader, writer) = stream.split();
                (Reader::Unix(reader), Writer::Unix(writer))
            }
            Self::Tls(stream) => {
                let (reader, writer) = tokio::io::split(&mut **stream);
                (Reader::Tls(reader), Writer::Tls(writer))
            }
        }
    }
}

impl Reader<'_> {
    /// Whether what comes in can be moved on by the kernel: within TLS it is not what goes out.
    #[must_use]
    pub fn can_splice(&self) -> bool {
        !matches!(self, Self::Tls(_))
    }

    /// Waits until there is something to read, be it the end.
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(half) => half.as_ref().poll_read_ready(cx),
            Self::Unix(half) => half.as_ref().poll_read_ready(cx),
            Self::Tls(_) => Poll::Ready(Err(no_splice())),
        }
    }

    /// Moves what there is, at most `most` bytes, into `pipe`, which must be empty; 0 = the end.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if there is nothing.
    pub fn try_splice(&self, pipe: BorrowedFd<'_>, most: usize) -> io::Result<usize> {
        let via = |from: BorrowedFd<'_>| move_bytes(from, pipe, most);
        match self {
            Self::Tcp(half) => on_tcp(half.as_ref(), Interest::READABLE, via),
            Self::Unix(half) => on_unix(half.as_ref(), Interest::READABLE, via),
            Self::Tls(_) => Err(no_splice()),
        }
    }
}

impl Writer<'_> {
    /// Whether the kernel can move bytes out by it.
    #[must_use]
    pub fn can_splice(&self) -> bool {
        !matches!(self, Self::Tls(_))
    }

    /// Moves bytes out of `pipe`, which has at least `most`, when the peer takes some.
    pub fn poll_splice(&self, cx: &mut Context<'_>, pipe: BorrowedFd<'_>, most: usize) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.poll_ready(cx))?;
            match self.try_splice(pipe, most) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                moved => return Poll::Ready(moved),
            }
        }
    }

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(half) => half.as_ref().poll_write_ready(cx),
            Self::Unix(half) => half.as_ref().poll_write_ready(cx),
            Self::Tls(_) => Poll::Ready(Err(no_splice())),
        }
    }

    fn try_splice(&self, pipe: BorrowedFd<'_>, most: usize) -> io::Result<usize> {
        let via = |to: BorrowedFd<'_>| move_bytes(pipe, to, most);
        match self {
            Self::Tcp(half) => on_tcp(half.as_ref(), Interest::WRITABLE, via),
            Self::Unix(half) => on_unix(half.as_ref(), Interest::WRITABLE, via),
            Self::Tls(_) => Err(no_splice()),
        }
    }
}

/// To move bytes by the kernel is nobody's wish who asked whether it can be done.
fn no_splice() -> io::Error {
    io::ErrorKind::Unsupported.into()
}

fn on_tcp(
    stream: &TcpStream,
    interest: Interest,
    via: impl FnOnce(BorrowedFd<'_>) -> io::Result<usize>,
) -> io::Result<usize> {
    stream.try_io(interest, || via(stream.as_fd()))
}

fn on_unix(
    stream: &UnixStream,
    interest: Interest,
    via: impl FnOnce(BorrowedFd<'_>) -> io::Result<usize>,
) -> io::Result<usize> {
    stream.try_io(interest, || via(stream.as_fd()))
}

/// Pages change hands; nothing is copied where the kernel can avoid it.
fn move_bytes(from: BorrowedFd<'_>, to: BorrowedFd<'_>, most: usize) -> io::Result<usize> {
    Ok(splice(from, None, to, None, most, SpliceFlags::MOVE | SpliceFlags::NONBLOCK)?)
}

impl AsyncRead for Reader<'_> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(half) => Pin::new(half).poll_read(cx, buf),
            Self::Unix(half) => Pin::new(half).poll_read(cx, buf),
            Self::Tls(half) => Pin::new(half).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Writer<'_> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(half) => Pin::new(half).poll_write(cx, buf),
            Self::Unix(half) => Pin::new(half).poll_write(cx, buf),
            Self::Tls(half) => Pin::new(half).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(half) => Pin::new(half).poll_flush(cx),
            Self::Unix(half) => Pin::new(half).poll_flush(cx),
            Self::Tls(half) => Pin::new(half).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(half) => Pin::new(half).poll_shutdown(cx),
            Self::Unix(half) => Pin::new(half).poll_shutdown(cx),
            Self::Tls(half) => Pin::new(half).poll_shutdown(cx),
        }
    }
}
