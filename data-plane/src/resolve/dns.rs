//! Lookups over the network, by hickory. Its cache is off: when to ask again is decided here.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::lookup::Lookup as Found;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{IntoName, RecordType};
use tokio::time::timeout;
use tracing::warn;

use super::{Answer, Lookup, Records};

/// Bounds one lookup, whatever the number of servers and tries.
const LIMIT: Duration = Duration::from_secs(5);

/// Asks `/etc/hosts` and DNS servers; cheap to clone.
#[derive(Clone)]
pub struct Dns(TokioResolver);

impl std::fmt::Debug for Dns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Dns")
    }
}

impl Dns {
    /// Asks `server`, or the servers of the system if `None`.
    ///
    /// # Errors
    /// If the resolver refuses its settings.
    pub fn new(server: Option<SocketAddr>) -> Result<Self, NetError> {
        let mut builder = match server {
            Some(server) => TokioResolver::builder_with_config(only(server), TokioRuntimeProvider::default()),
            None => TokioResolver::builder_tokio().unwrap_or_else(|error| {
                // A proxy whose backends have plain addresses needs no DNS.
                warn!(%error, "no DNS servers: only names of /etc/hosts will resolve");
                TokioResolver::builder_with_config(ResolverConfig::default(), TokioRuntimeProvider::default())
            }),
        };
        builder.options_mut().cache_size = 0;
        builder.build().map(Self)
    }

    async fn find(&self, name: impl IntoName, family: RecordType) -> Result<Option<Found>, String> {
        match timeout(LIMIT, self.0.lookup(name, family)).await {
            Ok(Ok(found)) => Ok(Some(found)),
            Ok(Err(error)) if error.is_no_records_found() => Ok(None),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {} s", LIMIT.as_secs())),
        }
    }
}

impl Lookup for Dns {
    /// One after the other: where a search list applies, both families must come of the same full name.
    async fn lookup(&self, name: &str) -> Answer {
        let v4 = self.find(name, RecordType::A).await;
        let v6 = match &v4 {
            Ok(Some(found)) => self.find(found.query().name().clone(), RecordType::AAAA).await,
            _ => self.find(name, RecordType::AAAA).await,
        };
        Answer { v4: v4.map(records), v6: v6.map(records) }
    }
}

fn only(server: SocketAddr) -> ResolverConfig {
    let mut config = NameServerConfig::udp_and_tcp(server.ip());
    config.connections.iter_mut().for_each(|connection| connection.port = server.port());
    ResolverConfig::from_name_servers(vec![config])
}

/// Aliases on the way count too: the answer holds as long as the shortest record of it.
fn records(found: Option<Found>) -> Records {
    let Some(found) = found else { return Records::default() };
    let addresses: Vec<IpAddr> = found.answers().iter().filter_map(|record| record.data.ip_addr()).collect();
    let shortest = found.answers().iter().map(|record| record.ttl).min();
    let ttl = shortest.filter(|_| !addresses.is_empty()).map(|seconds| Duration::from_secs(seconds.into()));
    Records { addresses, ttl }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hickory_resolver::proto::op::{Message, ResponseCode};
    use hickory_resolver::proto::rr::{RData, Record};
    use parking_lot::Mutex;
    use tokio::net::UdpSocket;

    use super::*;

    type Zone = Arc<Mutex<Option<Vec<IpAddr>>>>;

    /// A server that knows one set of addresses for every name, or answers SERVFAIL.
    async fn server(zone: Zone) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
                let query = Message::from_vec(&buffer[..length]).unwrap();
                let reply = reply(query, zone.lock().clone());
                socket.send_to(&reply.to_vec().unwrap(), client).await.unwrap();
            }
        });
        address
    }

    fn reply(query: Message, zone: Option<Vec<IpAddr>>) -> Message {
        let question = query.queries[0].clone();
        let mut reply = query.into_response();
        let Some(addresses) = zone else {
            reply.metadata.response_code = ResponseCode::ServFail;
            return reply;
        };
        let data = addresses.into_iter().map(RData::from).filter(|data| data.record_type() == question.query_type());
        reply.add_answers(data.map(|data| Record::from_rdata(question.name().clone(), 300, data)));
        reply
    }

    fn addresses(addresses: &[&str]) -> Option<Vec<IpAddr>> {
        Some(addresses.iter().map(|a| a.parse().unwrap()).collect())
    }

    #[tokio::test]
    async fn u1_both_families_are_asked_and_nothing_is_cached() {
        let zone = Zone::default();
        let dns = Dns::new(Some(server(zone.clone()).await)).unwrap();
        *zone.lock() = addresses(&["10.0.0.1", "fd00::1"]);
        let Answer { v4, v6 } = dns.lookup("web.test").await;
        assert_eq!(v4.clone().unwrap().addresses, addresses(&["10.0.0.1"]).unwrap());
        assert_eq!(v6.unwrap().addresses, addresses(&["fd00::1"]).unwrap());
        assert_eq!(v4.unwrap().ttl, Some(Duration::from_secs(300)));
        *zone.lock() = addresses(&["10.0.0.2"]);
        let Answer { v4, v6 } = dns.lookup("web.test").await;
        assert_eq!(v4.unwrap().addresses, addresses(&["10.0.0.2"]).unwrap());
        let v6 = v6.unwrap();
        assert_eq!((v6.addresses, v6.ttl), (vec![], None));
    }

    #[tokio::test]
    async fn u1_a_failing_server_is_an_error_of_both_families() {
        let dns = Dns::new(Some(server(Zone::default()).await)).unwrap();
        let Answer { v4, v6 } = dns.lookup("web.test").await;
        assert!(v4.is_err() && v6.is_err());
    }
}
