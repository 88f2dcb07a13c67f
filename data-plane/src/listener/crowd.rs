//! How many connections there are, of a listener and of a client, and whether there is room for one more.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::limits::Limits;
use crate::stats::process::{ListenerStats, Refused};

/// Connections of each client, over all listeners and workers; counted only if there is a limit.
#[derive(Debug, Default)]
pub struct Crowd(Mutex<HashMap<IpAddr, u32>>);

/// A connection that counts until it is dropped; by default, one that does not.
#[derive(Debug, Default)]
pub struct Place(Option<(Arc<Crowd>, IpAddr)>);

/// Whether a listener may have one more. Workers ask at the same time, so it may come to have one more for each of them.
#[must_use]
pub fn has_room(listener: &ListenerStats, limits: &Limits) -> bool {
    limits.max_connections == 0 || listener.connections.current() < limits.max_connections
}

impl Crowd {
    /// Counts a connection of this client.
    ///
    /// # Errors
    /// If the client has as many as it may have.
    pub fn enter(self: &Arc<Self>, client: IpAddr, limits: &Limits) -> Result<Place, Refused> {
        if limits.max_connections_per_client == 0 {
            return Ok(Place(None));
        }
        let client = network(client);
        let mut counts = self.0.lock();
        let count = counts.entry(client).or_default();
        if *count >= limits.max_connections_per_client {
            return Err(Refused::Client);
        }
        *count += 1;
        Ok(Place(Some((self.clone(), client))))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((crowd, client)) = &self.0 else { return };
        let mut counts = crowd.0.lock();
        if let Some(count) = counts.get_mut(client) {
            *count -= 1;
            if *count == 0 {
                counts.remove(client);
            }
        }
    }
}

/// Whom an address stands for: whoever has an IPv6 address has its /64 network.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_its_limit_and_gets_back_what_it_leaves() {
        let crowd = Arc::<Crowd>::default();
        let limits = Limits { max_connections_per_client: 2, ..Limits::default() };
        let enter = |client: &str| crowd.enter(client.parse().unwrap(), &limits);
        let (one, two) = (enter("10.0.0.1").unwrap(), enter("::ffff:10.0.0.1").unwrap());
        assert_eq!(enter("10.0.0.1").unwrap_err(), Refused::Client);
        let other = enter("10.0.0.2").unwrap();
        drop(one);
        let again = enter("10.0.0.1").unwrap();
        drop((two, other, again));
        assert!(crowd.0.lock().is_empty());
    }

    #[test]
    fn an_ipv6_client_is_its_network() {
        let crowd = Arc::<Crowd>::default();
        let limits = Limits { max_connections_per_client: 1, ..Limits::default() };
        let _one = crowd.enter("2001:db8::1".parse().unwrap(), &limits).unwrap();
        assert_eq!(crowd.enter("2001:db8::2".parse().unwrap(), &limits).unwrap_err(), Refused::Client);
        assert!(crowd.enter("2001:db8:0:1::1".parse().unwrap(), &limits).is_ok());
    }

    #[test]
    fn a_listener_has_its_limit() {
        let listener = ListenerStats::new("http", 1);
        let limits = Limits { max_connections: 1, ..Limits::default() };
        assert!(has_room(&listener, &limits));
        listener.connections.enter();
        assert!(!has_room(&listener, &limits) && has_room(&listener, &Limits::default()));
    }

    #[test]
    fn clients_are_counted_only_where_they_have_a_limit() {
        let crowd = Arc::<Crowd>::default();
        let _place = crowd.enter([10, 0, 0, 1].into(), &Limits::default()).unwrap();
        assert!(crowd.0.lock().is_empty());
    }
}
