//! A session against an application that says what the test tells it to.

use std::future::poll_fn;
use std::time::Duration;

use http_body::Frame;
use http_body_util::{Full, StreamBody};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::super::record::tests::{end, said};
use super::*;
use crate::upstream::fastcgi::upload::UploadError;
use crate::upstream::io::WriteLimit;
use crate::upstream::stream::Stream;

type Body = Full<Bytes>;

/// A session, and the application's end of its connection.
fn pair() -> (Session<Body>, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    (Session::new(UpstreamIo::new(Stream::Unix(ours), WriteLimit::default())), theirs)
}

async fn request(body: &'static str) -> Begin<Body> {
    Begin {
        params: Bytes::new(),
        upload: Upload::of(Full::from(body), 0).await.unwrap(),
        keep: true,
        head_only: false,
        tag: Tag { backend: "shop/app".parse().unwrap(), request: None },
        waiting: None,
    }
}

/// The head and the body, or what went wrong.
async fn answer(session: &mut Session<Body>) -> Result<(u16, String), Error> {
    let head = poll_fn(|cx| session.poll_head(cx)).await?;
    let mut body = Vec::new();
    while let Some(data) = poll_fn(|cx| session.poll_data(cx)).await {
        body.extend_from_slice(&data?);
    }
    Ok((head.status.as_u16(), String::from_utf8(body).unwrap()))
}

/// What comes of an application that says these bytes and closes, and of its connection.
async fn answer_to(said: &[u8]) -> (Result<(u16, String), Error>, Session<Body>) {
    let (mut session, mut application) = pair();
    application.write_all(said).await.unwrap();
    application.shutdown().await.unwrap();
    session.begin(request("").await);
    (answer(&mut session).await, session)
}

async fn error_of(said: &[u8]) -> Error {
    let (answer, session) = answer_to(said).await;
    assert!(session.is_over());
    answer.unwrap_err()
}

/// Output of a script.
fn out(text: &str) -> Vec<u8> {
    said(6, text.as_bytes(), 0)
}

#[tokio::test]
async fn u5_a_connection_serves_one_request_after_another() {
    let (mut session, mut application) = pair();
    for body in ["one", "two"] {
        assert!(session.is_idle());
        session.begin(request(body).await);
        application.write_all(&[out("A: b\n\n"), out(body), end(0, 0)].concat()).await.unwrap();
        assert_eq!(answer(&mut session).await.unwrap(), (200, body.to_owned()));
    }
    assert!(session.is_idle() && !session.is_over());
    drop(application);
    // The system tells of the other side's end when asked.
    session.io.read_u8().await.unwrap_err();
    assert!(session.is_over() && !session.is_idle());
}

#[tokio::test]
async fn u5_a_request_is_its_environment_its_length_and_its_body() {
    let (mut session, mut application) = pair();
    let mut params = super::super::params::Params::default();
    params.push("A", b"b").unwrap();
    session.begin(Begin { params: params.finish(), ..request("hello").await });
    let answering = async {
        let mut sent = vec![0; 16 + 8 + 4 + 8 + 17 + 8 + 8 + 5 + 8];
        application.read_exact(&mut sent).await.unwrap();
        application.write_all(&[out("A: b\n\n"), end(0, 0)].concat()).await.unwrap();
        sent
    };
    let (answer, sent) = tokio::join!(answer(&mut session), answering);
    answer.unwrap();
    let expected = [
        record::begin(true),
        &[1, 4, 0, 1, 0, 4, 0, 0, 1, 1, b'A', b'b'],
        &[1, 4, 0, 1, 0, 17, 0, 0, 14, 1],
        b"CONTENT_LENGTH5",
        &[1, 4, 0, 1, 0, 0, 0, 0],
        &[1, 5, 0, 1, 0, 5, 0, 0],
        b"hello",
        &[1, 5, 0, 1, 0, 0, 0, 0],
    ];
    assert_eq!(sent, expected.concat());
}

#[tokio::test]
async fn u5_a_connection_is_kept_only_if_nothing_is_left_on_it() {
    let answer = [out("A: b\n\n"), out("x"), end(0, 0)].concat();
    let after = async |keep, more: &[u8]| {
        let (mut session, mut application) = pair();
        application.write_all(&[&answer, more].concat()).await.unwrap();
        session.begin(Begin { keep, ..request("").await });
        self::answer(&mut session).await.unwrap();
        session.is_idle()
    };
    assert!(after(true, b"").await);
    assert!(!after(false, b"").await);
    assert!(!after(true, b"more").await);
}

#[tokio::test]
async fn u5_an_application_that_answers_before_the_body_has_come_is_heard() {
    let (mut session, mut application) = pair();
    application.write_all(&[out("Status: 413\n\n"), end(0, 0)].concat()).await.unwrap();
    session.begin(Begin { upload: Upload::of(Full::from(vec![b'x'; 4 << 20]), 0).await.unwrap(), ..request("").await });
    assert_eq!(answer(&mut session).await.unwrap(), (413, String::new()));
    assert!(session.is_over(), "a part of the body is still on the way");
}

#[tokio::test]
async fn f4_broken_answers_are_told_apart_and_end_the_connection() {
    assert!(matches!(error_of(b"").await, Error::Closed));
    assert!(matches!(error_of(&out("A: b\n")).await, Error::Closed), "in its head");
    assert!(matches!(error_of(&[out("A: b\n\n"), out("x")].concat()).await, Error::Closed), "in its body");
    assert!(matches!(error_of(b"HTTP/1.1 200 OK\r\n\r\n").await, Error::Record(_)));
    assert!(matches!(error_of(&[out("A: b\n\n"), b"rubbish!".to_vec()].concat()).await, Error::Record(_)));
    assert!(matches!(error_of(&[out("no head\n\n"), end(0, 0)].concat()).await, Error::Head(_)));
    assert!(matches!(error_of(&end(0, 0)).await, Error::NoHead));
    assert!(matches!(error_of(&[out("A: b\n"), end(0, 0)].concat()).await, Error::NoHead));
    for verdict in [1, 2, 3, 77] {
        assert!(matches!(error_of(&end(0, verdict)).await, Error::Refused(_)), "{verdict}");
    }
}

#[tokio::test]
async fn f4_a_body_is_as_long_as_announced() {
    let of = |body: &str| [out("Content-Length: 5\n\n"), out(body), end(0, 0)].concat();
    assert_eq!(answer_to(&of("hello")).await.0.unwrap().1, "hello");
    assert!(matches!(error_of(&of("hell")).await, Error::TooShort(1)));
    assert!(matches!(error_of(&of("hello!")).await, Error::TooLong));
    let (mut session, mut application) = pair();
    application.write_all(&of("hello!")).await.unwrap();
    session.begin(request("").await);
    poll_fn(|cx| session.poll_head(cx)).await.unwrap();
    let data = poll_fn(|cx| session.poll_data(cx)).await.unwrap().unwrap();
    assert_eq!((&data[..], session.rest_of_body()), (&b"hello"[..], Some(0)), "what was announced arrives");
    assert!(poll_fn(|cx| session.poll_end(cx)).await.is_err() && session.is_over());
}

#[tokio::test]
async fn u5_answers_without_a_body_have_none_whatever_is_said() {
    for head in ["Status: 204\n\n", "Status: 304\nContent-Length: 5\n\n"] {
        let (answer, _) = answer_to(&[out(head), out("hello"), end(0, 0)].concat()).await;
        assert_eq!(answer.unwrap().1, "");
    }
    let (mut session, mut application) = pair();
    application.write_all(&[out("Content-Length: 5\n\n"), out("hello"), end(0, 0)].concat()).await.unwrap();
    session.begin(Begin { head_only: true, ..request("").await });
    assert_eq!(answer(&mut session).await.unwrap().1, "");
    assert!(session.is_idle());
}

#[tokio::test]
async fn f6_a_request_that_nobody_wants_any_more_is_aborted() {
    let (mut session, mut application) = pair();
    session.begin(request("").await);
    let head = poll_fn(|cx| session.poll_head(cx));
    assert!(tokio::time::timeout(Duration::from_millis(1), head).await.is_err());
    drop(session);
    let mut sent = Vec::new();
    application.read_to_end(&mut sent).await.unwrap();
    assert!(sent.ends_with(record::empty(Kind::Abort)));
}

#[tokio::test]
async fn f6_no_abort_is_written_where_it_would_be_a_part_of_the_body() {
    let (mut session, mut application) = pair();
    session.begin(Begin { upload: Upload::of(Full::from(vec![b'x'; 4 << 20]), 0).await.unwrap(), ..request("").await });
    let head = poll_fn(|cx| session.poll_head(cx));
    assert!(tokio::time::timeout(Duration::from_millis(1), head).await.is_err());
    drop(session);
    let mut sent = Vec::new();
    application.read_to_end(&mut sent).await.unwrap();
    let begun = sent.len() - 16 - 8 - 8 - "CONTENT_LENGTH4194304".len() - 2 - 8;
    assert!(begun % (record::MAX_CONTENT + record::HEAD) > record::HEAD && sent.ends_with(b"xxxxxxxx"));
}

#[tokio::test]
async fn f6_an_upload_that_breaks_off_aborts_the_request() {
    let parts = [Ok(Frame::data(Bytes::from_static(b"part"))), Err("gone")];
    let body = StreamBody::new(tokio_stream::iter(parts));
    let (ours, mut application) = UnixStream::pair().unwrap();
    let mut session = Session::new(UpstreamIo::new(Stream::Unix(ours), WriteLimit::default()));
    let Begin { params, keep, head_only, tag, waiting, .. } = request("").await;
    session.begin(Begin { params, upload: Upload::streamed(body, 5), keep, head_only, tag, waiting });
    let error = poll_fn(|cx| session.poll_head(cx)).await.unwrap_err();
    assert!(matches!(error, Error::Upload(UploadError::Broken)));
    drop(session);
    let mut sent = Vec::new();
    application.read_to_end(&mut sent).await.unwrap();
    assert!(sent.ends_with(record::empty(Kind::Abort)));
}

#[tokio::test]
async fn u5_a_reader_that_waits_holds_the_script_up() {
    let (mut session, mut application) = pair();
    session.begin(request("").await);
    application.write_all(&out("A: b\n\n")).await.unwrap();
    poll_fn(|cx| session.poll_head(cx)).await.unwrap();
    let part = out(&"x".repeat(60_000));
    let mut taken = 0;
    while let Ok(written) = application.try_write(&part) {
        taken += written;
    }
    let before = taken;
    poll_fn(|cx| session.poll_data(cx)).await.unwrap().unwrap();
    // The system holds what is on the way, and we what one read gives.
    while let Ok(written) = application.try_write(&part) {
        taken += written;
    }
    assert!(session.input.len() <= READ && taken - before <= 2 * READ + part.len(), "{before} and then {taken}");
}
