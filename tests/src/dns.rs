//! A DNS server that knows what a test tells it.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{RData, Record, RecordType};
use parking_lot::Mutex;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// Seconds for which its answers hold: the least there is, as tests wait for it.
pub const TTL: u32 = 1;

/// A server on a UDP port of its own; ends when dropped.
#[derive(Debug)]
pub struct Dns {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Addresses by lower-case name with a final dot.
    names: Mutex<BTreeMap<String, Vec<IpAddr>>>,
    /// Answers nothing but failures.
    broken: Mutex<bool>,
    queries: AtomicU64,
}

impl Dns {
    /// Starts without any names.
    ///
    /// # Panics
    /// If there is no free port.
    pub async fn start() -> Self {
        Self::start_on(([127, 0, 0, 1], 0).into()).await
    }

    /// As [`Dns::start`], on this address.
    ///
    /// # Panics
    /// If it is not free.
    pub async fn start_on(address: SocketAddr) -> Self {
        let socket = UdpSocket::bind(address).await.expect("a free port");
        let address = socket.local_addr().expect("a bound socket");
        let shared = Arc::<Shared>::default();
        let task = tokio::spawn(serve(socket, shared.clone()));
        Self { address, shared, task }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets the addresses of a name.
    pub fn set(&self, name: &str, addresses: &[IpAddr]) {
        self.shared.names.lock().insert(format!("{name}."), addresses.to_vec());
    }

    /// Sets the addresses of these names, and forgets all others.
    pub fn set_all(&self, names: BTreeMap<String, Vec<IpAddr>>) {
        *self.shared.names.lock() =
            names.into_iter().map(|(name, addresses)| (format!("{name}."), addresses)).collect();
    }

    /// Whether to answer SERVFAIL to everything.
    pub fn set_broken(&self, broken: bool) {
        *self.shared.broken.lock() = broken;
    }

    /// Queries received so far.
    pub fn queries(&self) -> u64 {
        self.shared.queries.load(SeqCst)
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(socket: UdpSocket, shared: Arc<Shared>) {
    let mut buffer = [0; 4096];
    while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
        let answer = Message::from_vec(&buffer[..length]).map(|query| shared.answer(query).to_vec());
        if let Ok(Ok(bytes)) = answer {
            let _ = socket.send_to(&bytes, client).await;
        }
    }
}

impl Shared {
    fn answer(&self, query: Message) -> Message {
        self.queries.fetch_add(1, SeqCst);
        let answers = query.queries.first().map(|q| self.records(q));
        let mut response = query.into_response();
        match answers {
            Some(Some(records)) if !*self.broken.lock() => drop(response.add_answers(records)),
            Some(None) if !*self.broken.lock() => response.metadata.response_code = ResponseCode::NXDomain,
            _ => response.metadata.response_code = ResponseCode::ServFail,
        }
        response
    }

    /// `None` if there is no such name.
    fn records(&self, query: &Query) -> Option<Vec<Record>> {
        let names = self.names.lock();
        let addresses = names.get(&query.name().to_string().to_ascii_lowercase())?;
        let data = addresses.iter().filter_map(|address| match (address, query.query_type()) {
            (IpAddr::V4(v4), RecordType::A) => Some(RData::A((*v4).into())),
            (IpAddr::V6(v6), RecordType::AAAA) => Some(RData::AAAA((*v6).into())),
            _ => None,
        });
        Some(data.map(|data| Record::from_rdata(query.name().clone(), TTL, data)).collect())
    }
}
