//! Sockets that this process was given, by name.

use std::collections::BTreeMap;
use std::env;
use std::io;
use std::net::TcpListener;

use listenfd::ListenFd;
use tracing::warn;

/// Those that nobody has taken yet; those that are never taken are closed.
#[derive(Debug, Default)]
pub struct Inherited {
    sockets: BTreeMap<String, Vec<TcpListener>>,
    served: bool,
}

impl Inherited {
    /// Those of systemd's protocol: `LISTEN_FDS`, with the names of `LISTEN_FDNAMES`. Looked at once, while the process
    /// has one thread.
    ///
    /// # Errors
    /// If one is no socket that listens for TCP.
    pub fn from_systemd() -> io::Result<Self> {
        if env::var_os("LISTEN_FDS").is_none() {
            return Ok(Self::default());
        }
        let mut given = ListenFd::from_env();
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let mut sockets = Self::default();
        for place in 0..given.len() {
            let name = names.next().unwrap_or_default();
            if let Some(socket) = given.take_tcp_listener(place)? {
                sockets.add(name.to_owned(), socket)?;
            }
        }
        Ok(sockets)
    }

    /// Those of a process that serves until this one does.
    #[must_use]
    pub fn served() -> Self {
        Self { sockets: BTreeMap::new(), served: true }
    }

    /// Whether another process serves until this one does.
    #[must_use]
    pub fn are_served(&self) -> bool {
        self.served
    }

    /// Adds a socket of this name.
    ///
    /// # Errors
    /// If it is none any more.
    pub fn add(&mut self, name: String, socket: TcpListener) -> io::Result<()> {
        socket.set_nonblocking(true)?;
        self.sockets.entry(name).or_default().push(socket);
        Ok(())
    }

    /// The sockets of this name.
    pub fn take(&mut self, name: &str) -> Vec<TcpListener> {
        self.sockets.remove(name).unwrap_or_default()
    }
}

impl Drop for Inherited {
    fn drop(&mut self) {
        for name in self.sockets.keys() {
            warn!(name, "a socket that was handed over is not used: no --listen has this name");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_taken_by_name_and_once() {
        let socket = || TcpListener::bind("127.0.0.1:0").unwrap();
        let mut inherited = Inherited::default();
        for name in ["http", "https", "http"] {
            inherited.add(name.to_owned(), socket()).unwrap();
        }
        let found = ["http", "http", "https", "other"].map(|name| inherited.take(name).len());
        assert_eq!(found, [2, 0, 1, 0]);
    }
}
