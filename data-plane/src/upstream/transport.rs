//! A connection to an endpoint as bytes, within TLS or not.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::client::TlsStream;
use weir_proto::model::EndpointAddress;

use super::stream::Stream;
use super::tls::{Spoken, Terms};

/// A connection to an endpoint, over what the kernel has of it.
#[derive(Debug)]
pub enum Transport<S = Stream> {
    /// As it is.
    Plain(S),
    /// Within TLS.
    Tls(Box<TlsStream<S>>),
}

impl Transport {
    /// Connects, within TLS if there are terms.
    ///
    /// # Errors
    /// As the operating system and TLS say.
    pub async fn connect(address: &EndpointAddress, tls: Option<&Terms>, spoken: Spoken) -> io::Result<Self> {
        Self::within(Stream::connect(address), tls, spoken).await
    }

    /// The socket.
    #[must_use]
    pub fn socket(&self) -> &Stream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Transport<S> {
    /// On the connection that is being made, within TLS if there are terms.
    ///
    /// # Errors
    /// As `connecting` and TLS say.
    pub async fn within(
        connecting: impl Future<Output = io::Result<S>>,
        tls: Option<&Terms>,
        spoken: Spoken,
    ) -> io::Result<Self> {
        let stream = connecting.await?;
        match tls {
            None => Ok(Self::Plain(stream)),
            // Boxed, as few connections need it.
            Some(terms) => Ok(Self::Tls(Box::new(Box::pin(terms.connect(spoken, stream)).await?))),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Transport<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Transport<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
