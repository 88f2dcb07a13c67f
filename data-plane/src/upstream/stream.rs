//! A connected socket of either kind.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use weir_proto::model::{EndpointAddress, UnixName};

/// A connection to an endpoint.
#[derive(Debug)]
pub enum Stream {
    /// Over TCP.
    Tcp(TcpStream),
    /// To a Unix socket.
    Unix(UnixStream),
}

impl Stream {
    /// Connects. TCP sends small pieces at once: what is written to an upstream is complete.
    ///
    /// # Errors
    /// As the operating system says.
    pub async fn connect(address: &EndpointAddress) -> io::Result<Self> {
        match address {
            EndpointAddress::Ip(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Ok(Self::Tcp(stream))
            }
            EndpointAddress::Unix(name) => Ok(Self::Unix(connect_unix(name).await?)),
        }
    }
}

impl Stream {
    /// Reads what is there.
    ///
    /// # Errors
    /// As the operating system says; [`io::ErrorKind::WouldBlock`] if nothing is.
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_read(buf),
            Self::Unix(stream) => stream.try_read(buf),
        }
    }

    /// Writes what there is room for.
    ///
    /// # Errors
    /// As the operating system says; [`io::ErrorKind::WouldBlock`] if there is none.
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write(buf),
            Self::Unix(stream) => stream.try_write(buf),
        }
    }
}

async fn connect_unix(name: &UnixName) -> io::Result<UnixStream> {
    match name.in_abstract() {
        // tokio takes the kernel's own notation for its abstract namespace.
        Some(name) => UnixStream::connect(format!("\0{name}")).await,
        None => UnixStream::connect(name.path().unwrap_or_default()).await,
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixListener;

    use super::*;

    async fn echoes(address: &str, listener: UnixListener) {
        let address = address.parse().unwrap();
        let (near, far) = tokio::join!(Stream::connect(&address), listener.accept());
        let (mut near, (mut far, _)) = (near.unwrap(), far.unwrap());
        near.write_all(b"hello").await.unwrap();
        near.shutdown().await.unwrap();
        let mut text = String::new();
        far.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "hello");
    }

    #[tokio::test]
    async fn u1_unix_sockets_by_path_and_by_abstract_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.sock");
        echoes(&format!("unix:{}", path.display()), UnixListener::bind(&path).unwrap()).await;
        let name = format!("weir-test-{}", std::process::id());
        echoes(&format!("unix:@{name}"), UnixListener::bind(format!("\0{name}")).unwrap()).await;
    }

    #[tokio::test]
    async fn u1_what_is_no_socket_is_an_error_of_the_system() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| format!("unix:{}{path}", folder.path().display()).parse().unwrap();
        let kind = async |path| Stream::connect(&at(path)).await.unwrap_err().kind();
        assert_eq!(kind("/missing").await, io::ErrorKind::NotFound);
        assert_eq!(kind("").await, io::ErrorKind::ConnectionRefused, "a folder");
    }
}
