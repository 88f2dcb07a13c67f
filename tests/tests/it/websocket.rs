//! WebSockets through a proxy, between peers of a library that knows the standard (RFC 6455): what one says, the other hears,
//! over whichever version of HTTP it came.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{Error, Message};
use weir_tests::edge::{Edge, HOST, Site};
use weir_tests::websocket::{Socket, WebSocketServer, exchange, leave, next, open, open_http2};
use weir_tests::{Client, Weir, eventually, within};

const PATH: &str = "/socket";
const LARGE: usize = 4 << 20;

/// How a client comes to the proxy.
#[derive(Debug, Clone, Copy)]
enum Way {
    Http1,
    Http1InTls,
    Http2,
    Http2InTls,
}

const WAYS: [Way; 4] = [Way::Http1, Way::Http1InTls, Way::Http2, Way::Http2InTls];

impl Way {
    async fn open(self, edge: &Edge) -> Socket {
        let (plain, https) = (edge.weir.address(), edge.weir.https_address());
        let secure = async |protocol| edge.client().offering(&[protocol]).connect(https, HOST).await.unwrap();
        let socket = match self {
            Self::Http1 => open(TcpStream::connect(plain).await.unwrap(), PATH).await,
            Self::Http1InTls => open(secure("http/1.1").await.into_stream(), PATH).await,
            Self::Http2 => over(Client::connect_http2(plain).await.unwrap()).await,
            Self::Http2InTls => over(secure("h2").await.http2(HOST).await.unwrap()).await,
        };
        socket.unwrap()
    }

    fn via(self) -> &'static str {
        match self {
            Self::Http1 | Self::Http1InTls => "1.1 weir",
            Self::Http2 | Self::Http2InTls => "2 weir",
        }
    }
}

/// The server's settings say whether it may be asked for a WebSocket at all: they come before the first answer.
async fn over(mut client: Client) -> anyhow::Result<Socket> {
    client.get("/nowhere").await?;
    open_http2(&mut client, PATH).await
}

/// A proxy with these time-outs, among others.
async fn edge(spec: &str) -> (Edge, WebSocketServer) {
    let server = WebSocketServer::start().await;
    (Edge::start(&[Site::new(PATH, server.address()).with(spec)]).await, server)
}

async fn is_echoed(socket: &mut Socket, message: impl Into<Message>) {
    let message = message.into();
    assert!(exchange(socket, message.clone()).await.unwrap() == message);
}

#[tokio::test]
async fn messages_of_every_kind_and_size_pass() {
    let (edge, _server) = edge("").await;
    for way in WAYS {
        let mut socket = way.open(&edge).await;
        assert_eq!(exchange(&mut socket, "via").await.unwrap(), way.via().into(), "{way:?}");
        is_echoed(&mut socket, "").await;
        is_echoed(&mut socket, "gr\u{fc}\u{df}e").await;
        // Each form of a length: 7, 16 and 64 bits.
        for size in [0, 1, 125, 126, 127, 128, 65_535, 65_536, LARGE] {
            is_echoed(&mut socket, vec![0xfe; size]).await;
        }
    }
}

/// A frame, which is not the whole message.
fn piece(kind: Data, text: &'static str, is_last: bool) -> Message {
    Message::Frame(Frame::message(text, OpCode::Data(kind), is_last))
}

#[tokio::test]
async fn a_message_in_fragments_with_a_ping_between_them_passes() {
    let (edge, _server) = edge("").await;
    for way in WAYS {
        let mut socket = way.open(&edge).await;
        socket.send(piece(Data::Text, "one ", false)).await.unwrap();
        socket.send(piece(Data::Continue, "two ", false)).await.unwrap();
        let pong = exchange(&mut socket, Message::Ping("between".into())).await.unwrap();
        assert_eq!(pong, Message::Pong("between".into()), "{way:?}");
        let whole = exchange(&mut socket, piece(Data::Continue, "three", true)).await.unwrap();
        assert_eq!(whole, "one two three".into(), "{way:?}");
    }
}

#[tokio::test]
async fn pings_pass_both_ways() {
    let (edge, _server) = edge("").await;
    for way in WAYS {
        let mut socket = way.open(&edge).await;
        assert_eq!(
            exchange(&mut socket, Message::Ping("a".into())).await.unwrap(),
            Message::Pong("a".into()),
            "{way:?}"
        );
        assert_eq!(exchange(&mut socket, "ping b").await.unwrap(), Message::Ping("b".into()), "{way:?}");
        assert_eq!(next(&mut socket).await.unwrap(), "pong b".into(), "{way:?}");
    }
}

#[tokio::test]
async fn the_code_and_the_reason_of_an_end_pass_both_ways() {
    let (edge, server) = edge("").await;
    for (way, code) in WAYS.into_iter().zip([1000, 1001, 1011, 4001]) {
        let farewell = CloseFrame { code: code.into(), reason: "done".into() };
        let mut socket = way.open(&edge).await;
        let heard = exchange(&mut socket, format!("close {code} done")).await.unwrap();
        assert_eq!(heard, Message::Close(Some(farewell.clone())), "{way:?}");
        is_over(&mut socket).await;

        let (mut socket, before) = (way.open(&edge).await, server.closed());
        socket.close(Some(farewell.clone())).await.unwrap();
        assert_eq!(next(&mut socket).await.unwrap(), Message::Close(Some(farewell)), "{way:?}");
        is_over(&mut socket).await;
        eventually("the server is done", async || (server.closed() == before + 1).then_some(())).await;
    }
    assert_eq!((server.open(), server.broken()), (0, 0));
    eventually("none is counted", async || (edge.weir.metric("weir_requests_active").await == 0.0).then_some(())).await;
}

async fn is_over(socket: &mut Socket) {
    let end = within("the end", socket.next()).await;
    assert!(matches!(end, None | Some(Err(Error::ConnectionClosed))), "{end:?}");
}

#[tokio::test]
async fn an_end_without_a_word_is_told_to_the_other_side() {
    let (edge, server) = edge("").await;
    for (number, way) in WAYS.into_iter().enumerate() {
        let mut socket = way.open(&edge).await;
        assert!(exchange(&mut socket, "abort").await.is_err(), "{way:?}: the server left");
        let mut socket = way.open(&edge).await;
        is_echoed(&mut socket, "hello").await;
        drop(socket);
        eventually("the server hears that the client left", async || (server.broken() == number + 1).then_some(()))
            .await;
    }
    eventually("none is counted", async || (edge.weir.metric("weir_requests_active").await == 0.0).then_some(())).await;
}

#[tokio::test]
async fn one_in_which_nothing_moves_ends_and_one_with_pings_does_not() {
    let (edge, server) = edge("timeouts: {idle: 1s}").await;
    for (number, way) in WAYS.into_iter().enumerate() {
        let (mut idle, mut busy) = (way.open(&edge).await, way.open(&edge).await);
        let end = tokio::spawn(async move { within("the end", idle.next()).await });
        while !end.is_finished() {
            assert_eq!(exchange(&mut busy, Message::Ping("".into())).await.unwrap(), Message::Pong("".into()));
            tokio::time::sleep(Duration::from_millis(50)).await; // how often it pings
        }
        assert!(!matches!(end.await.unwrap(), Some(Ok(_))), "{way:?}");
        is_echoed(&mut busy, "still here").await;
        eventually("the server hears of it", async || (server.broken() == number + 1).then_some(())).await;
        leave(busy).await.unwrap();
    }
}

#[tokio::test]
async fn a_proxy_that_leaves_serves_websockets_until_they_end() {
    let server = WebSocketServer::start().await;
    let builder = Weir::builder().drain_timeout(Duration::from_secs(60));
    let edge = Edge::start_as(builder, &[Site::new(PATH, server.address())]).await;
    let mut sockets = Vec::new();
    for way in WAYS {
        sockets.push(way.open(&edge).await);
    }
    let address = edge.weir.address();
    let stopping = tokio::spawn(edge.weir.stop());
    eventually("nobody else is let in", async || TcpStream::connect(address).await.is_err().then_some(())).await;
    for mut socket in sockets {
        is_echoed(&mut socket, "still here").await;
        let farewell = CloseFrame { code: 1000.into(), reason: "".into() };
        assert_eq!(exchange(&mut socket, "close 1000").await.unwrap(), Message::Close(Some(farewell)));
        is_over(&mut socket).await;
    }
    within("the end of the proxy", stopping).await.unwrap();
    assert_eq!(server.broken(), 0);
}
