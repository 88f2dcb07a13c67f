//! Bytes of connections of TCP: each arrives, once, in order, and none pile up.

use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener};
use weir_tests::manifest::{backend, pool};
use weir_tests::{Weir, eventually, within};

const MIB: usize = 1 << 20;
/// No multiple of anything that bytes are cut into.
const BLOCK: usize = 1_000_003;

async fn weir_before(address: impl Display, more: &str) -> Weir {
    let text = pool("db", "protocol: TCP") + &backend("a", "db", address, more);
    Weir::builder().tcp().file("db.yaml", &text).start().await
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Random bytes, which one side repeats and the other expects.
fn block(seed: u64) -> Vec<u8> {
    let mut block = vec![0; BLOCK];
    SmallRng::seed_from_u64(seed).fill_bytes(&mut block);
    block
}

/// Sends so many bytes in pieces of 1 byte to 200 KB, then closes this direction.
async fn send(mut to: impl AsyncWrite + Unpin, seed: u64, total: usize) {
    let (block, mut rng, mut sent) = (block(seed), SmallRng::seed_from_u64(!seed), 0);
    while sent < total {
        let at = sent % BLOCK;
        let most = [1, 100, 5_000, 200_000][rng.random_range(0..4)];
        let len = rng.random_range(1..=most).min(total - sent).min(BLOCK - at);
        to.write_all(&block[at..at + len]).await.unwrap();
        sent += len;
    }
    to.shutdown().await.unwrap();
}

/// Reads to the end, and gives the number of bytes, which are those that were sent.
async fn receive(mut from: impl AsyncRead + Unpin, seed: u64) -> usize {
    let (block, mut received, mut buffer) = (block(seed), 0, vec![0; 100_000]);
    loop {
        let at = received % BLOCK;
        let most = buffer.len().min(BLOCK - at);
        let n = from.read(&mut buffer[..most]).await.unwrap();
        assert!(buffer[..n] == block[at..at + n], "other bytes after {received}");
        if n == 0 {
            return received;
        }
        received += n;
    }
}

/// Each side sends and receives at once, and ends when it has said all.
async fn session_is_exact(
    client: TcpStream,
    (far_reader, far_writer): (impl AsyncRead + Unpin, impl AsyncWrite + Unpin),
    [there, back]: [usize; 2],
) {
    let (reader, writer) = client.into_split();
    let all = async {
        tokio::join!(send(writer, 1, there), send(far_writer, 2, back), receive(far_reader, 1), receive(reader, 2))
    };
    let ((), (), there_received, back_received) = within("the end of a session", all).await;
    assert_eq!([there_received, back_received], [there, back]);
}

async fn bytes(weir: &Weir, direction: &str) -> f64 {
    weir.sample("weir_tcp_bytes_total", direction).await.unwrap_or_default()
}

async fn all_ended(weir: &Weir) {
    eventually("all connections have ended", async || {
        (weir.metric("weir_requests_active").await + weir.metric("weir_connections_active").await == 0.0).then_some(())
    })
    .await;
}

/// Bytes there and back: in bulk, in small pieces, and none at all.
const SESSIONS: [[usize; 2]; 6] = [[20 * MIB, 3_000], [5_000, 20 * MIB], [8 * MIB, 8 * MIB], [0, 1], [1, 0], [0, 0]];

#[tokio::test]
async fn f5_long_sessions_are_exact_both_ways_whichever_side_ends_first() {
    let (listener, address) = listener().await;
    let weir = weir_before(address, "").await;
    for sizes in SESSIONS {
        let client = TcpStream::connect(weir.tcp_address()).await.unwrap();
        let (far, _) = within("a connection", listener.accept()).await.unwrap();
        session_is_exact(client, far.into_split(), sizes).await;
    }
    all_ended(&weir).await;
    let sum = |side: usize| SESSIONS.iter().map(|sizes| sizes[side]).sum::<usize>() as f64;
    assert_eq!([bytes(&weir, "upstream").await, bytes(&weir, "downstream").await], [sum(0), sum(1)], "T2");
    assert_eq!(weir.metric("weir_tcp_connections_total").await, SESSIONS.len() as f64);
}

#[tokio::test]
async fn u1_unix_sockets_are_as_exact() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("db.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let weir = weir_before(format!("unix:{}", path.display()), "").await;
    for sizes in SESSIONS {
        let client = TcpStream::connect(weir.tcp_address()).await.unwrap();
        let (far, _) = within("a connection", listener.accept()).await.unwrap();
        session_is_exact(client, far.into_split(), sizes).await;
    }
}

/// What the kernel keeps at most of bytes on their way: those sent by the backend and by Weir, those received by Weir and
/// by a client with a small buffer.
fn kernel_bytes() -> usize {
    let largest = |name: &str| -> usize {
        let text = std::fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).unwrap();
        text.split_whitespace().last().unwrap().parse().unwrap()
    };
    2 * largest("tcp_wmem") + largest("tcp_rmem") + MIB
}

#[tokio::test]
async fn a_slow_reader_slows_its_peer_down_and_nothing_piles_up() {
    // Weir itself adds less than 1 MiB to what the kernel keeps.
    let bound = kernel_bytes() + MIB;
    let total = 2 * bound;
    let (listener, address) = listener().await;
    let weir = weir_before(address, "").await;
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = sent.clone();
    let sending = tokio::spawn(async move {
        let (mut far, _) = listener.accept().await.unwrap();
        let piece = vec![7; 64 << 10];
        while counted.load(SeqCst) < total {
            far.write_all(&piece).await.unwrap();
            counted.fetch_add(piece.len(), SeqCst);
        }
    });
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(64 << 10).unwrap();
    let mut client = socket.connect(weir.tcp_address()).await.unwrap();
    let (mut received, mut most, mut buffer) = (0, 0, vec![0; 64 << 10]);
    while received < total {
        received += within("more bytes", client.read(&mut buffer)).await.unwrap();
        // The sender gets every chance to run ahead.
        tokio::task::yield_now().await;
        most = most.max(sent.load(SeqCst).saturating_sub(received));
    }
    assert!(most < bound, "{most} bytes are between the sender and its slow reader");
    sending.await.unwrap();
}

#[tokio::test]
async fn a_stream_that_breaks_off_does_not_look_complete() {
    let (listener, address) = listener().await;
    let weir = weir_before(address, "").await;
    let mut client = TcpStream::connect(weir.tcp_address()).await.unwrap();
    let (mut far, _) = within("a connection", listener.accept()).await.unwrap();
    far.write_all(b"half of").await.unwrap();
    let mut text = [0; 7];
    client.read_exact(&mut text).await.unwrap();
    far.set_zero_linger().unwrap();
    drop(far);
    let error = within("the end", client.read(&mut text)).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_backend_is_told_who_the_client_is_before_its_first_byte() {
    for version in ["V1", "V2"] {
        let (listener, address) = listener().await;
        let weir = weir_before(address, &format!("proxyProtocol: {version}")).await;
        let mut client = TcpStream::connect(weir.tcp_address()).await.unwrap();
        client.write_all(b"hello").await.unwrap();
        client.shutdown().await.unwrap();
        let (mut far, _) = within("a connection", listener.accept()).await.unwrap();
        let mut got = Vec::new();
        within("all of it", far.read_to_end(&mut got)).await.unwrap();
        assert_eq!(got, expected(version, client.local_addr().unwrap(), weir.tcp_address()), "{version}");
        drop(far);
        all_ended(&weir).await;
        assert_eq!(bytes(&weir, "upstream").await, 5.0, "the header is not the client's");
    }
}

/// What a backend reads of a client that says `hello`.
fn expected(version: &str, client: SocketAddr, here: SocketAddr) -> Vec<u8> {
    let ports = [client.port().to_be_bytes(), here.port().to_be_bytes()].concat();
    match version {
        "V1" => format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\nhello", client.port(), here.port()).into_bytes(),
        _ => [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01", &ports[..], b"hello"].concat(),
    }
}
