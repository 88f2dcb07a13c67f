//! A real Redis, and as much of its protocol as tests speak.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::port::free_address;
use crate::program::Program;
use crate::within;

/// A server that keeps nothing; killed when dropped.
#[derive(Debug)]
pub struct Redis {
    address: SocketAddr,
    program: Program,
}

/// A connection to one.
#[derive(Debug)]
pub struct RedisClient(BufReader<TcpStream>);

impl Redis {
    /// Starts one on a free port.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start() -> Self {
        let address = free_address();
        let (port, ip) = (address.port().to_string(), address.ip().to_string());
        let arguments = ["--port", &port, "--bind", &ip, "--save", "", "--appendonly", "no"];
        let program = Program::start_file(Path::new("redis-server"), &arguments);
        program.line("Ready to accept connections").await;
        Self { address, program }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Kills it, whatever it does.
    pub async fn kill(self) {
        self.program.kill().await;
    }

    /// What it says of itself, asked for directly.
    ///
    /// # Panics
    /// If it does not answer.
    pub async fn info(&self, section: &str) -> BTreeMap<String, String> {
        let mut client = RedisClient::connect(self.address).await.expect("a Redis that accepts");
        let text = client.ask(&["INFO", section]).await.expect("an answer");
        let pairs = text.lines().filter_map(|line| line.split_once(':'));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
}

impl RedisClient {
    /// Connects.
    ///
    /// # Errors
    /// If that fails.
    pub async fn connect(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Sends a command and reads its answer.
    ///
    /// # Errors
    /// If the connection breaks, or the answer is an error.
    pub async fn ask(&mut self, command: &[&str]) -> std::io::Result<String> {
        self.send(&encoded(command)).await?;
        self.answer().await
    }

    /// Sends commands as they are encoded.
    ///
    /// # Errors
    /// If the connection breaks.
    pub async fn send(&mut self, commands: &[u8]) -> std::io::Result<()> {
        within("a server that takes commands", self.0.get_mut().write_all(commands)).await
    }

    /// Reads one answer; the items of a list are joined by spaces.
    ///
    /// # Errors
    /// If the connection breaks, or the answer is an error.
    pub async fn answer(&mut self) -> std::io::Result<String> {
        within("an answer of Redis", self.read()).await
    }

    async fn read(&mut self) -> std::io::Result<String> {
        let line = self.line().await?;
        let (kind, rest) = line.split_at_checked(1).unwrap_or_default();
        match kind {
            "$" => self.bulk(number(rest)?).await,
            "*" => {
                let mut items = Vec::new();
                for _ in 0..number(rest)? {
                    items.push(Box::pin(self.read()).await?);
                }
                Ok(items.join(" "))
            }
            "+" | ":" => Ok(rest.to_owned()),
            _ => Err(std::io::Error::other(line)),
        }
    }

    async fn line(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        match self.0.read_line(&mut line).await? {
            0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(line.trim_end().to_owned()),
        }
    }

    async fn bulk(&mut self, len: usize) -> std::io::Result<String> {
        let mut bytes = vec![0; len + 2];
        self.0.read_exact(&mut bytes).await?;
        Ok(String::from_utf8_lossy(&bytes[..len]).into_owned())
    }
}

fn number(text: &str) -> std::io::Result<usize> {
    text.parse().map_err(std::io::Error::other)
}

/// A command as Redis reads it.
#[must_use]
pub fn encoded(command: &[&str]) -> Vec<u8> {
    let items = command.iter().map(|item| format!("${}\r\n{item}\r\n", item.len()));
    format!("*{}\r\n{}", command.len(), items.collect::<String>()).into_bytes()
}
