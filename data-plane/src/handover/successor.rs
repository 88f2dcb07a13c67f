//! The process that takes the place of this one.

use std::env;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::info;

use super::predecessor::{READY, VARIABLE};
use super::{Sockets, passing};

/// How long it may take until it serves.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long one socket may take to be taken.
const TAKEN_WITHIN: Duration = Duration::from_secs(5);

/// Why there is no new process.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("this process is about to end")]
    Leaving,
    #[error("the new process cannot be started: {0}")]
    Start(#[source] io::Error),
    #[error("it does not take the sockets: {0}")]
    HandOver(#[source] io::Error),
    #[error("the new process ended before it was ready; its log says why")]
    Ended,
    #[error("the new process was not ready within {}s", READY_WITHIN.as_secs())]
    Late,
}

/// Starts this process's executable anew, which may be another one by now, with the same arguments, and waits until it
/// serves. Gives its number.
pub(super) async fn start(sockets: &Sockets) -> Result<u32, Error> {
    let sockets = sockets.copies().map_err(Error::Start)?;
    if sockets.is_empty() {
        return Err(Error::Leaving);
    }
    let (here, there) = pair().map_err(Error::Start)?;
    let mut child = spawn(there).map_err(Error::Start)?;
    info!(pid = child.id(), "a new process is to take over");
    let ready = match hand_over(here, sockets).await {
        Ok(socket) => timeout(READY_WITHIN, ready(socket)).await.unwrap_or(Err(Error::Late)),
        Err(error) => Err(Error::HandOver(error)),
    };
    if ready.is_err() {
        end(&mut child);
    }
    ready.map(|()| child.id())
}

fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// The executable is looked up as it was for this process: what stands there now is what runs.
fn spawn(socket: OwnedFd) -> io::Result<Child> {
    let mut arguments = env::args_os();
    let program = arguments.next().ok_or(io::ErrorKind::NotFound)?;
    Command::new(program).args(arguments).env(VARIABLE, "1").stdin(Stdio::from(socket)).spawn()
}

/// Off this thread, as a process that takes nothing lets it wait.
async fn hand_over(socket: OwnedFd, sockets: Vec<(String, TcpListener)>) -> io::Result<OwnedFd> {
    let handed = spawn_blocking(move || {
        set_socket_timeout(&socket, Timeout::Send, Some(TAKEN_WITHIN))?;
        passing::hand_over(socket.as_fd(), &sockets).map(|()| socket)
    });
    handed.await.map_err(io::Error::other)?
}

async fn ready(socket: OwnedFd) -> Result<(), Error> {
    let mut said = [0; READY.len()];
    let socket = StdUnixStream::from(socket);
    socket.set_nonblocking(true).map_err(Error::HandOver)?;
    let mut socket = UnixStream::from_std(socket).map_err(Error::HandOver)?;
    match socket.read_exact(&mut said).await {
        Ok(_) if said == READY => Ok(()),
        _ => Err(Error::Ended),
    }
}

/// Ends it, if it has not ended by itself, so that it does not serve beside this process.
fn end(child: &mut Child) {
    // Both fail only if it has ended.
    let _ = child.kill();
    let _ = child.wait();
}
