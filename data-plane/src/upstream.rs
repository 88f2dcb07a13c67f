//! Connections to backends, per worker: made, reused, given up. TCP passes through here, too.

pub mod connect;
pub mod fastcgi;
pub mod h2;
pub mod halves;
pub mod idle;
pub mod incoming;
pub mod io;
pub mod speaks;
pub mod stream;
pub mod tls;
pub mod transport;

pub use connect::{ConnectError, Connection, Link, connect};
pub use idle::IdlePool;
pub use incoming::{Incoming, IncomingError};
pub use speaks::Speaks;
