//! What systemd is told of this process (`sd_notify`), if it asks for it.

use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::{env, io, process};

/// Where it listens.
const VARIABLE: &str = "NOTIFY_SOCKET";

/// This process serves, and is the one that the service is about.
///
/// # Errors
/// If systemd, who asked for it, does not listen.
pub fn ready() -> io::Result<()> {
    let Some(socket) = env::var_os(VARIABLE) else { return Ok(()) };
    let text = format!("MAINPID={}\nREADY=1\n", process::id());
    UnixDatagram::unbound()?.send_to_addr(text.as_bytes(), &address(&socket)?)?;
    Ok(())
}

/// A path, or with `@` a name in the abstract namespace.
fn address(socket: &OsStr) -> io::Result<SocketAddr> {
    match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(socket),
    }
}
