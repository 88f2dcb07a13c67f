//! A FastCGI application that says whatever it is told to, and remembers what it was told.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const BEGIN: u8 = 1;
const ABORT: u8 = 2;
const END: u8 = 3;
const PARAMS: u8 = 4;
const STDIN: u8 = 5;
const STDOUT: u8 = 6;
const STDERR: u8 = 7;

/// An application; ends when dropped.
#[derive(Debug)]
pub struct Application {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    plan: Mutex<Plan>,
    /// For the next requests, before the plan.
    once: Mutex<VecDeque<Plan>>,
    requests: Mutex<Vec<Seen>>,
    connections: AtomicUsize,
    aborts: AtomicUsize,
}

/// What is done with a request.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What is said when all of it has come.
    pub says: Vec<u8>,
    /// What is done then.
    pub then: Then,
}

/// What is done after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Wait for the next request, if the client wants that, else close.
    Keep,
    /// Close, whatever the client wants.
    Close,
    /// Wait for the client to do something.
    Hold,
}

/// A request.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Its environment.
    pub params: BTreeMap<String, String>,
    /// Its body.
    pub body: Vec<u8>,
    /// Whether the connection was to be kept.
    pub keep: bool,
}

/// Output of a script, as a record.
#[must_use]
pub fn stdout(text: &str) -> Vec<u8> {
    record(STDOUT, text.as_bytes())
}

/// Its complaints, as a record.
#[must_use]
pub fn stderr(text: &str) -> Vec<u8> {
    record(STDERR, text.as_bytes())
}

/// The end of a request, with this protocol status, as a record.
#[must_use]
pub fn end(status: u8) -> Vec<u8> {
    record(END, &[0, 0, 0, 0, status, 0, 0, 0])
}

/// Any record.
///
/// # Panics
/// If it is too long.
#[must_use]
pub fn record(kind: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(content.len()).expect("a short record").to_be_bytes();
    [&[1, kind, 0, 1, high, low, 0, 0], content].concat()
}

/// A whole answer with this text.
#[must_use]
pub fn answer(text: &str) -> Vec<u8> {
    [stdout("Content-Type: text/plain\r\n\r\n"), stdout(text), end(0)].concat()
}

impl Application {
    /// Listens on a free port; answers each request with `text`.
    ///
    /// # Panics
    /// If there is no free port.
    pub async fn start(text: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener");
        let shared = Arc::new(Shared {
            plan: Mutex::new(Plan { says: answer(text), then: Then::Keep }),
            once: Mutex::default(),
            requests: Mutex::default(),
            connections: AtomicUsize::new(0),
            aborts: AtomicUsize::new(0),
        });
        let serving = shared.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                serving.connections.fetch_add(1, Relaxed);
                let shared = serving.clone();
                // A client that leaves is no error here.
                tokio::spawn(async move { drop(serve(stream, &shared).await) });
            }
        });
        Self { address, shared, task }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What is done with requests from now on.
    pub fn set(&self, says: Vec<u8>, then: Then) {
        *self.shared.plan.lock() = Plan { says, then };
    }

    /// What is done with the next request, after those that this was said of before.
    pub fn once(&self, says: Vec<u8>, then: Then) {
        self.shared.once.lock().push_back(Plan { says, then });
    }

    /// The requests so far, in the order of their ends.
    #[must_use]
    pub fn requests(&self) -> Vec<Seen> {
        self.shared.requests.lock().clone()
    }

    /// How many connections were made.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Relaxed)
    }

    /// How many requests were aborted.
    #[must_use]
    pub fn aborts(&self) -> usize {
        self.shared.aborts.load(Relaxed)
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    let mut seen = Seen::default();
    let mut params = Vec::new();
    loop {
        let (kind, content) = read(&mut stream).await?;
        match kind {
            BEGIN => {
                seen = Seen { keep: content[2] & 1 == 1, ..Seen::default() };
                params.clear();
            }
            ABORT => drop(shared.aborts.fetch_add(1, Relaxed)),
            PARAMS if content.is_empty() => seen.params = pairs(&params),
            PARAMS => params.extend(content),
            STDIN if content.is_empty() => {
                let keep = seen.keep;
                shared.requests.lock().push(std::mem::take(&mut seen));
                let once = shared.once.lock().pop_front();
                let Plan { says, then } = once.unwrap_or_else(|| shared.plan.lock().clone());
                stream.write_all(&says).await?;
                if then == Then::Close || (then == Then::Keep && !keep) {
                    return Ok(());
                }
            }
            STDIN => seen.body.extend(content),
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

async fn read(stream: &mut TcpStream) -> io::Result<(u8, Vec<u8>)> {
    let mut head = [0; 8];
    stream.read_exact(&mut head).await?;
    let mut content = vec![0; usize::from(u16::from_be_bytes([head[4], head[5]]))];
    stream.read_exact(&mut content).await?;
    let mut padding = vec![0; head[6].into()];
    stream.read_exact(&mut padding).await?;
    Ok((head[1], content))
}

fn pairs(mut bytes: &[u8]) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    while !bytes.is_empty() {
        let (name, value) = (length(&mut bytes), length(&mut bytes));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        found.insert(text(&bytes[..name]), text(&bytes[name..name + value]));
        bytes = &bytes[name + value..];
    }
    found
}

fn length(bytes: &mut &[u8]) -> usize {
    let size = if bytes[0] < 0x80 { 1 } else { 4 };
    let (length, rest) = bytes.split_at(size);
    *bytes = rest;
    length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)) & 0x7fff_ffff
}
