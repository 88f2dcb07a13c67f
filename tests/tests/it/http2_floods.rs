//! Clients that speak HTTP/2 badly, byte by byte: what they do is refused or bounded, and counted.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use weir_data_plane::limits::Limits;
use weir_tests::manifest::web;
use weir_tests::{Backend, Behaviour, Client, Weir, eventually, within};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

async fn start(limits: Limits) -> (Weir, Backend) {
    let server = Backend::start("web-1").await;
    let weir = Weir::builder().limits(limits).file("web.yaml", &web("", &[server.address()])).start().await;
    (weir, server)
}

fn frame(kind: u8, flags: u8, stream: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes()[..], body].concat()
}

/// A header field that is not indexed, its name and value as they are (RFC 7541, 6.2.2).
fn field(name: &str, value: &[u8]) -> Vec<u8> {
    let length = |bytes: &[u8]| u8::try_from(bytes.len()).unwrap();
    [&[0, length(name.as_bytes())], name.as_bytes(), &[length(value)], value].concat()
}

/// The fields of a GET of `/`.
fn get() -> Vec<u8> {
    [field(":method", b"GET"), field(":scheme", b"http"), field(":path", b"/"), field(":authority", b"a")].concat()
}

/// A connection whose settings are exchanged.
struct Peer(TcpStream);

impl Peer {
    async fn connect(address: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream.write_all(&[PREFACE, &frame(4, 0, 0, &[])].concat()).await.unwrap();
        Self(stream)
    }

    /// The next frame of this kind that is not an acknowledgement, and its body; `None` at the end of the connection.
    async fn next(&mut self, wanted: u8) -> Option<Vec<u8>> {
        loop {
            let mut head = [0; 9];
            within("a frame", self.0.read_exact(&mut head)).await.ok()?;
            let [a, b, c, kind, flags, ..] = head;
            let mut body = vec![0; usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c)];
            within("its body", self.0.read_exact(&mut body)).await.ok()?;
            if kind == wanted && !(kind == 4 && flags == 1) {
                return Some(body);
            }
        }
    }

    /// Sends the same so many times, and reads until the connection is ended.
    async fn flood(&mut self, bytes: &[u8], times: usize) {
        let (mut reader, mut writer) = self.0.split();
        let sending = async {
            for _ in 0..times {
                if writer.write_all(bytes).await.is_err() {
                    return;
                }
            }
        };
        let mut answers = vec![0; 64 << 10];
        let reading = async { while reader.read(&mut answers).await.is_ok_and(|n| n > 0) {} };
        within("the end of a flood", async { tokio::join!(sending, reading) }).await;
    }
}

async fn is_counted(weir: &Weir, reason: &str) {
    let labels = format!("listener=\"http\",reason=\"{reason}\"");
    eventually(reason, async || weir.sample("weir_http2_faults_total", &labels).await.filter(|count| *count == 1.0))
        .await;
}

/// Reason codes (RFC 9113, 7).
const PROTOCOL_ERROR: u8 = 1;

#[tokio::test]
async fn r7_fields_that_would_break_a_message_of_http1_end_their_stream_alone() {
    let (weir, server) = start(Limits::default()).await;
    let mut peer = Peer::connect(weir.address()).await;
    for (stream, (name, value)) in (1..).step_by(2).zip([
        ("connection", &b"close"[..]),
        ("transfer-encoding", b"chunked"),
        ("te", b"gzip"),
        (":path", b"/twice"),
    ]) {
        let block = [get(), field(name, value)].concat();
        peer.0.write_all(&frame(1, END_HEADERS | END_STREAM, stream, &block)).await.unwrap();
        let reset = peer.next(3).await.unwrap_or_else(|| panic!("{name}: {value:?} ended the connection"));
        assert_eq!(reset, [0, 0, 0, PROTOCOL_ERROR], "{name}: {value:?}");
    }
    assert_eq!(server.requests(), 0);
    peer.0.write_all(&frame(1, END_HEADERS | END_STREAM, 101, &get())).await.unwrap();
    assert!(peer.next(1).await.is_some() && server.requests() == 1, "the connection is as good as before");
}

#[tokio::test]
async fn r7_fields_that_are_no_fields_reach_no_backend() {
    let (weir, server) = start(Limits::default()).await;
    for (name, value) in [
        ("x-evil", &b"a\r\nx-injected: b"[..]),
        ("x-evil", b"a\0b"),
        ("x-evil", b"a\nb"),
        ("X-Upper", b"a"),
        ("x evil", b"a"),
        ("x-evil\r\nx-injected", b"a"),
        (":unknown", b"a"),
    ] {
        let mut peer = Peer::connect(weir.address()).await;
        let block = [get(), field(name, value)].concat();
        peer.0.write_all(&frame(1, END_HEADERS | END_STREAM, 1, &block)).await.unwrap();
        // Either the stream is reset, or the connection ends.
        peer.next(3).await;
    }
    assert_eq!(server.requests(), 0);
}

#[tokio::test]
async fn r7_a_body_of_another_length_than_told_ends_its_stream() {
    let (weir, server) = start(Limits::default()).await;
    server.set(Behaviour::Echo);
    let mut peer = Peer::connect(weir.address()).await;
    for (stream, body) in [(1, &b"short"[..]), (3, b"much too long")] {
        let block = [get(), field("content-length", b"8")].concat();
        let bytes = [frame(1, END_HEADERS, stream, &block), frame(0, END_STREAM, stream, body)].concat();
        peer.0.write_all(&bytes).await.unwrap();
        assert_eq!(peer.next(3).await, Some(vec![0, 0, 0, PROTOCOL_ERROR]), "{stream}");
    }
}

#[tokio::test]
async fn r7_hosts_that_differ_or_lack_are_refused() {
    let (weir, server) = start(Limits::default()).await;
    let mut peer = Peer::connect(weir.address()).await;
    let nameless = [field(":method", b"GET"), field(":scheme", b"http"), field(":path", b"/")].concat();
    for (stream, block) in [(1, [get(), field("host", b"b")].concat()), (3, nameless)] {
        peer.0.write_all(&frame(1, END_HEADERS | END_STREAM, stream, &block)).await.unwrap();
        let text = peer.next(0).await.unwrap();
        assert!(String::from_utf8_lossy(&text).contains("Host"), "{text:?}");
    }
    assert_eq!(server.requests(), 0);
}

#[tokio::test]
async fn r7_floods_end_their_connection_are_counted_and_leave_others_alone() {
    let (weir, _server) = start(Limits::default()).await;
    let mut good = Client::connect_http2(weir.address()).await.unwrap();
    let pings = frame(6, 0, 0, &[0; 8]).repeat(1000);
    Peer::connect(weir.address()).await.flood(&pings, 200).await;
    is_counted(&weir, "control_flood").await;
    assert_eq!(good.get("/").await.unwrap().status, 200);
    // Each ends the one before, so that the server sees requests begin and end in turn.
    let rapid =
        |stream: u32| [frame(1, END_HEADERS | END_STREAM, stream, &get()), frame(3, 0, stream, &[0, 0, 0, 8])].concat();
    let all: Vec<u8> = (0..2000).flat_map(|number| rapid(2 * number + 1)).collect();
    Peer::connect(weir.address()).await.flood(&all, 1).await;
    eventually("the flood is counted", async || {
        let samples = weir.samples("weir_http2_faults_total").await;
        let by = |reason: &str| samples.iter().any(|(labels, _)| labels.contains(reason));
        (by("reset_flood") || by("enhance_your_calm")).then_some(())
    })
    .await;
    assert_eq!(good.get("/").await.unwrap().status, 200);
}

#[tokio::test]
async fn r7_a_header_block_without_end_is_bounded_in_pieces_and_in_time() {
    let (weir, _server) = start(Limits { header_timeout: Duration::from_secs(1), ..Limits::default() }).await;
    let mut endless = Peer::connect(weir.address()).await;
    endless.0.write_all(&frame(1, 0, 1, &get())).await.unwrap();
    let piece = frame(9, 0, 1, &field("x-more", &[b'x'; 100])).repeat(10);
    endless.flood(&piece, 10_000).await;
    is_counted(&weir, "enhance_your_calm").await;

    let mut slow = Peer::connect(weir.address()).await;
    slow.0.write_all(&frame(1, 0, 1, &get())).await.unwrap();
    assert_eq!(slow.next(0xff).await, None, "it ends");
}

#[tokio::test]
async fn r7_frames_out_of_order_end_the_connection_with_a_reason() {
    for (bytes, fault, code) in [
        (frame(0, 0, 1, b"x"), "protocol_error", PROTOCOL_ERROR),
        (frame(9, END_HEADERS, 1, b""), "protocol_error", PROTOCOL_ERROR),
        (frame(6, 0, 0, &[0; 20_000]), "frame_size_error", 6),
        (frame(8, 0, 0, &[0xff; 4]), "flow_control_error", 3),
    ] {
        let (weir, _server) = start(Limits::default()).await;
        let mut peer = Peer::connect(weir.address()).await;
        peer.0.write_all(&bytes).await.unwrap();
        let goodbye = peer.next(7).await.unwrap_or_else(|| panic!("{fault}: no GOAWAY"));
        assert_eq!(goodbye[4..8], [0, 0, 0, code], "{fault}");
        is_counted(&weir, fault).await;
    }
}
