//! Sockets on their way between two processes: over a Unix socket, each in a packet with its name.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::cmsg_space;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, send, sendmsg,
};

use super::Inherited;

/// After the last socket. No listener has this name.
const END: &[u8] = b".";
/// The longest packet.
const MAX_NAME: usize = 4096;

/// Sends all of them, and that there are no more.
pub(super) fn hand_over(to: BorrowedFd<'_>, sockets: &[(String, TcpListener)]) -> io::Result<()> {
    for (name, socket) in sockets {
        let one = [socket.as_fd()];
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&one));
        sendmsg(to, &[IoSlice::new(name.as_bytes())], &mut control, SendFlags::NOSIGNAL)?;
    }
    send(to, END, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Waits for what the other process hands over.
pub(super) fn take(from: BorrowedFd<'_>) -> io::Result<Inherited> {
    let mut sockets = Inherited::served();
    loop {
        let (name, socket) = receive(from)?;
        match socket {
            Some(socket) => sockets.add(name, socket.into())?,
            None if name.as_bytes() == END => return Ok(sockets),
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

fn receive(from: BorrowedFd<'_>) -> io::Result<(String, Option<OwnedFd>)> {
    let mut name = [0; MAX_NAME];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(from, &mut [IoSliceMut::new(&mut name)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let socket = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut sockets) => sockets.next(),
        _ => None,
    });
    Ok((String::from_utf8_lossy(&name[..received.bytes]).into_owned(), socket))
}

#[cfg(test)]
mod tests {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    use super::*;

    #[test]
    fn sockets_arrive_with_their_names() {
        let pair = || socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        let sockets = ["http", "http", "weir.admin"].map(|name| {
            let socket = TcpListener::bind("127.0.0.1:0").unwrap();
            (name.to_owned(), socket)
        });
        let (old, new) = pair();
        hand_over(old.as_fd(), &sockets).unwrap();
        let mut taken = take(new.as_fd()).unwrap();
        let addresses = |sockets: &[TcpListener]| sockets.iter().map(|s| s.local_addr().unwrap()).collect::<Vec<_>>();
        let http = sockets[..2].iter().map(|(_, socket)| socket.local_addr().unwrap()).collect::<Vec<_>>();
        assert_eq!(addresses(&taken.take("http")), http);
        assert_eq!(taken.take("weir.admin").len(), 1);
        let (old, new) = pair();
        drop(old);
        assert_eq!(take(new.as_fd()).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
