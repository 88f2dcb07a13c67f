//! The sockets of a proxy: those that it was given, and its own where it was given none.

use std::io;
use std::net::{SocketAddr, TcpListener};

use weir_proto::process::file_limit;

use super::Error;
use crate::admin;
use crate::config::{Config, Listen};
use crate::handover::{self, Inherited, Sockets};
use crate::listener::Listener;

/// The sockets of one worker, with the indices of their listeners.
pub(super) type Share = Vec<(usize, TcpListener)>;

/// All sockets, ready for who uses them.
#[derive(Debug)]
pub(super) struct Opened {
    /// Name and real address of each listener.
    pub(super) listeners: Vec<(String, SocketAddr)>,
    /// What each worker listens with.
    pub(super) shares: Vec<Share>,
    /// The admin server's.
    pub(super) admin: TcpListener,
    /// All of them, for whom they are handed on to.
    pub(super) sockets: Sockets,
    /// Whether another process serves them until this one is ready.
    pub(super) served: bool,
}

impl Opened {
    /// Takes what was inherited, and binds the rest.
    pub(super) fn new(config: &Config, mut inherited: Inherited) -> Result<Self, Error> {
        file_limit::raise();
        let workers = config.workers.get();
        let open = |listen| listener(listen, workers, &mut inherited);
        let listeners = config.listeners.iter().map(open).collect::<Result<Vec<_>, _>>()?;
        let admin = admin_socket(config.admin, &mut inherited)?;
        let (shares, sockets) = share(&listeners, &admin, workers).map_err(Error::Sockets)?;
        let listeners = listeners.into_iter().map(|listener| (listener.name, listener.address)).collect();
        Ok(Self { listeners, shares, admin, sockets, served: inherited.are_served() })
    }
}

fn listener(listen: &Listen, workers: usize, inherited: &mut Inherited) -> Result<Listener, Error> {
    let mut sockets = inherited.take(&listen.name);
    if inherited.are_served() && listen.address.port() != 0 {
        // Those of a listener that has moved end with the process that had them.
        sockets.retain(|socket| socket.local_addr().is_ok_and(|address| address == listen.address));
    }
    let listener = if sockets.is_empty() {
        Listener::bind(listen.name.clone(), listen.address, workers)
    } else {
        Listener::inherit(listen.name.clone(), sockets)
    };
    listener.map_err(|cause| Error::Bind { flag: format!("--listen {listen}"), cause })
}

fn admin_socket(address: SocketAddr, inherited: &mut Inherited) -> Result<TcpListener, Error> {
    let socket = inherited.take(handover::ADMIN).pop().map_or_else(|| admin::bind(address), Ok);
    socket.map_err(|cause| Error::Bind { flag: format!("--admin {address}"), cause })
}

/// What each worker listens with; and all sockets, for whom they are handed on to.
fn share(listeners: &[Listener], admin: &TcpListener, workers: usize) -> io::Result<(Vec<Share>, Sockets)> {
    let mut shares: Vec<Share> = Vec::new();
    shares.resize_with(workers, Share::new);
    let mut sockets = vec![(handover::ADMIN.to_owned(), admin.try_clone()?)];
    for (number, listener) in listeners.iter().enumerate() {
        for (id, share) in shares.iter_mut().enumerate() {
            share.extend(listener.share(id, workers)?.into_iter().map(|socket| (number, socket)));
        }
        for socket in &listener.sockets {
            sockets.push((listener.name.clone(), socket.try_clone()?));
        }
    }
    Ok((shares, Sockets::new(sockets)))
}
