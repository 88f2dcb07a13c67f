//! FastCGI, the client's side of it, in the role of a web server before responders (specification 1.0).
//!
//! One request at a time has a connection, which is kept for the next if the application allows it (U5). Bytes become
//! [`record`]s, what a request says becomes [`params`] by way of its [`environment`] and [`script`], what a script says
//! becomes a [`head`] and a body. [`session`] drives a connection; nothing else here does I/O but [`probe`].

pub mod application;
pub mod backlog;
pub mod connection;
pub mod environment;
pub mod error;
pub mod head;
pub mod output;
pub mod params;
pub mod probe;
pub mod record;
pub mod script;
pub mod session;
pub mod stderr;
pub mod upload;

pub use application::Application;
pub use connection::{Incoming, Shared};
pub use error::Error;
pub use session::{Begin, Session};
