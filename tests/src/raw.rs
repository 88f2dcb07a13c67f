//! A client that sends whatever bytes it is told to: for requests that no HTTP library would write.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::within;

/// A TCP connection.
#[derive(Debug)]
pub struct RawClient {
    stream: TcpStream,
}

impl RawClient {
    /// Connects.
    ///
    /// # Errors
    /// If that fails.
    pub async fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream })
    }

    /// Connects and changes to another protocol, of which every byte is passed on.
    ///
    /// # Errors
    /// If the connection fails.
    ///
    /// # Panics
    /// If the answer is not 101.
    pub async fn tunnel(address: SocketAddr) -> io::Result<Self> {
        let mut client = Self::connect(address).await?;
        client.send("GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n").await?;
        let head = client.read_head().await?;
        assert_eq!(status(&head), 101, "{head}");
        Ok(client)
    }

    /// Sends these bytes.
    ///
    /// # Errors
    /// If the connection is closed.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref()).await
    }

    /// Reads until `end` has arrived and gives all of it.
    ///
    /// # Errors
    /// If the connection ends before that.
    pub async fn read_until(&mut self, end: &str) -> io::Result<String> {
        let mut got = Vec::new();
        while !got.ends_with(end.as_bytes()) {
            got.push(within(end, self.stream.read_u8()).await?);
        }
        Ok(String::from_utf8_lossy(&got).into_owned())
    }

    /// Reads a response head.
    ///
    /// # Errors
    /// If the connection ends before that.
    pub async fn read_head(&mut self) -> io::Result<String> {
        self.read_until("\r\n\r\n").await
    }

    /// Reads until the other side closes. A reset counts as the end: what came before it is given.
    pub async fn read_to_end(&mut self) -> String {
        let mut got = Vec::new();
        let _ = within("the end of the connection", self.stream.read_to_end(&mut got)).await;
        String::from_utf8_lossy(&got).into_owned()
    }
}

/// Sends these bytes on a connection of its own and reads until the other side closes.
///
/// # Errors
/// If the connection cannot be made or closes before it took the bytes.
pub async fn exchange(address: SocketAddr, bytes: impl AsRef<[u8]>) -> io::Result<String> {
    let mut client = RawClient::connect(address).await?;
    client.send(bytes).await?;
    Ok(client.read_to_end().await)
}

/// The status of a response head; 0 if this is none.
#[must_use]
pub fn status(response: &str) -> u16 {
    response.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok()).unwrap_or(0)
}
