//! gRPC through a proxy, between peers of more than one library: every kind of call, with what goes wrong, and many of them.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_stream::iter;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};
use weir_data_plane::limits::Limits;
use weir_tests::manifest::{backend, pool};
use weir_tests::port::free_address;
use weir_tests::talk::pb::Line;
use weir_tests::talk::pb::talk_client::TalkClient;
use weir_tests::talk::{self, MESSAGE, Speaker};
use weir_tests::{Weir, eventually, within};

type Talk = TalkClient<Channel>;

async fn weir(server: SocketAddr) -> Weir {
    Weir::start(&talk_pool(server)).await
}

/// Streams may be silent, and a machine on which ten thousand begin at once may be slow, for as long as a test takes.
fn talk_pool(server: SocketAddr) -> String {
    pool("talk", "timeouts: {connect: 60s, read: 0s}") + &backend("talk-1", "talk", server, "protocol: H2")
}

fn line(text: &str) -> Line {
    Line { text: text.to_owned() }
}

/// A call with this in its metadata.
fn with<T>(message: T, metadata: &[(&'static str, &str)]) -> Request<T> {
    let mut request = Request::new(message);
    for (name, value) in metadata {
        request.metadata_mut().insert(*name, value.parse().unwrap());
    }
    request
}

/// A call of each kind, by tonic.
async fn tonic_calls(address: SocketAddr) {
    let mut talk = talk::client(address).await;
    let said = talk.say(with(line("hello"), &[("x-tag", "blue")])).await.unwrap();
    assert_eq!(
        (said.metadata().get("x-tag").unwrap().as_bytes(), said.get_ref().text.as_str()),
        (&b"blue"[..], "hello")
    );
    let joined = talk.join(iter(["a", "b", "c"].map(line))).await.unwrap();
    assert_eq!(joined.into_inner().text, "abc");
    let mut words = talk.split(line("one two three")).await.unwrap().into_inner();
    for word in ["one", "two", "three"] {
        assert_eq!(words.message().await.unwrap(), Some(line(word)));
    }
    assert_eq!(words.message().await.unwrap(), None);
    let mut chat = Chat::open(&mut talk).await.unwrap();
    for number in 0..10 {
        chat.exchange(&number.to_string()).await.unwrap();
    }
    chat.end().await.unwrap();
    tonic_failures(&mut talk).await;
}

async fn tonic_failures(talk: &mut Talk) {
    let status = talk.say(with(line("hello"), &[("x-fail", "9"), ("x-tag", "blue")])).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::FailedPrecondition, MESSAGE));
    assert_eq!(status.metadata().get("x-why").unwrap(), "blue");
    let mut late = with(line("hello"), &[("x-wait", "1")]);
    late.set_timeout(Duration::from_millis(300));
    let status = talk.say(late).await.unwrap_err();
    // Whoever looks at its clock first: the client says that it has given up.
    assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status:?}");
}

/// A stream both ways, that is open.
struct Chat {
    says: mpsc::Sender<Line>,
    hears: Streaming<Line>,
}

impl Chat {
    async fn open(talk: &mut Talk) -> Result<Self, Status> {
        let (says, lines) = mpsc::channel(1);
        let hears = within("the head of a stream", talk.chat(ReceiverStream::new(lines))).await?.into_inner();
        Ok(Self { says, hears })
    }

    /// Says something, and hears it again.
    async fn exchange(&mut self, text: &str) -> Result<(), Status> {
        self.says.send(line(text)).await.map_err(|_| Status::aborted("nobody listens"))?;
        match within("a line", self.hears.message()).await? {
            Some(heard) if heard.text == text => Ok(()),
            heard => Err(Status::data_loss(format!("{heard:?}"))),
        }
    }

    /// Says no more, and hears that this is the end.
    async fn end(mut self) -> Result<(), Status> {
        drop(self.says);
        match within("the end", self.hears.message()).await? {
            None => Ok(()),
            heard => Err(Status::data_loss(format!("{heard:?}"))),
        }
    }
}

#[tokio::test]
async fn tonic_calls_tonic() {
    let speaker = Speaker::start().await;
    tonic_calls(weir(speaker.address()).await.address()).await;
    eventually("what is over is over at the server, too", async || (speaker.waiting() == 0).then_some(())).await;
}

#[tokio::test]
#[ignore = "fetches grpcio with pip"]
async fn grpcio_calls_tonic_and_grpcio_and_is_called_by_tonic() {
    let speaker = Speaker::start().await;
    talk::python_calls(weir(speaker.address()).await.address()).await;
    eventually("what is over is over at the server, too", async || (speaker.waiting() == 0).then_some(())).await;
    let (_server, address) = talk::python_server().await;
    let weir = weir(address).await;
    talk::python_calls(weir.address()).await;
    tonic_calls(weir.address()).await;
}

#[tokio::test]
async fn what_the_proxy_answers_itself_is_a_status_to_tonic() {
    let weir = weir(free_address()).await;
    let mut talk = talk::client(weir.address()).await;
    assert_eq!(talk.say(line("hello")).await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(Chat::open(&mut talk).await.err().unwrap().code(), Code::Unavailable);
    weir.write("web.yaml", &pool("talk", "match: [{path: {type: Exact, value: /elsewhere}}]")).await;
    assert_eq!(talk.say(line("hello")).await.unwrap_err().code(), Code::Unimplemented);
}

#[tokio::test]
async fn a_stream_whose_deadline_passes_ends_with_that_status() {
    let speaker = Speaker::start().await;
    let weir = weir(speaker.address()).await;
    let (says, lines) = mpsc::channel(1);
    let mut request = Request::new(ReceiverStream::new(lines));
    request.set_timeout(Duration::from_millis(500));
    let mut hears = talk::client(weir.address()).await.chat(request).await.unwrap().into_inner();
    says.send(line("hello")).await.unwrap();
    assert_eq!(hears.message().await.unwrap(), Some(line("hello")));
    let status = within("the deadline", hears.message()).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::DeadlineExceeded, "the deadline has passed"));
}

const CONNECTIONS: u32 = 20;
const STREAMS_OF_EACH: u32 = 500;

/// Streams on a connection of their own, each of which has said something and been heard.
async fn opened(address: SocketAddr) -> Vec<Chat> {
    let talk = talk::client(address).await;
    let streams = (0..STREAMS_OF_EACH).map(|number| {
        let mut talk = talk.clone();
        async move {
            let mut chat = Chat::open(&mut talk).await?;
            chat.exchange(&number.to_string()).await.map(|()| chat)
        }
    });
    join_all(streams).await.into_iter().map(|chat| chat.expect("a stream that opens")).collect()
}

/// Says something on each, and hears it; then ends each, and hears that, too.
async fn ended(mut chats: Vec<Chat>) {
    for result in join_all(chats.iter_mut().map(|chat| chat.exchange("more"))).await {
        result.expect("a stream that is open");
    }
    for result in join_all(chats.into_iter().map(Chat::end)).await {
        result.expect("a stream that ends well");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_streams_at_once_and_a_drain_that_breaks_none_of_them() {
    let speaker = Speaker::start().await;
    let limits = Limits { http2_max_streams: STREAMS_OF_EACH, ..Limits::default() };
    let builder = Weir::builder().limits(limits).drain_timeout(Duration::from_secs(300));
    let weir = builder.file("web.yaml", &talk_pool(speaker.address())).start().await;
    let address = weir.address();
    let opening = (0..CONNECTIONS).map(|_| tokio::spawn(opened(address)));
    let chats: Vec<_> = join_all(opening).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(weir.metric("weir_requests_active").await, f64::from(CONNECTIONS * STREAMS_OF_EACH));

    let stopping = tokio::spawn(weir.stop());
    eventually("nobody else is let in", async || TcpStream::connect(address).await.is_err().then_some(())).await;
    assert!(!stopping.is_finished());
    for ending in join_all(chats.into_iter().map(|chats| tokio::spawn(ended(chats)))).await {
        ending.unwrap();
    }
    within("the end of the proxy", stopping).await.unwrap();
}
