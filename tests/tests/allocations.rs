//! How often a plain request asks for memory: exactly as often as recorded here, and within 3% for as much. A later
//! change that costs is seen.
//!
//! A binary of its own, as its allocator counts what every thread does. Clients and backends here ask for nothing while
//! it counts.
#![allow(missing_docs, clippy::unwrap_used)]

use std::alloc::System;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::runtime::Runtime;
use weir_tests::Weir;
use weir_tests::manifest::{backend, pool};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Calls of the allocator for one GET of 120 bytes over kept-alive connections, with one rule and the state counted.
const PER_REQUEST: usize = 11;
/// What they ask for; the sizes of tasks differ a little from compiler to compiler.
const BYTES_PER_REQUEST: usize = 18_570;

const WARM: usize = 2_000;
const COUNTED: usize = 20_000;
/// Calls that are not a request's: the control plane, the look at the counters each second.
const OTHERS: usize = COUNTED / 10;

const REQUEST: &[u8] =
    b"GET /some/path HTTP/1.1\r\nhost: shop.example.com\r\nuser-agent: counter\r\naccept: */*\r\n\r\n";
const BODY: [u8; 120] = [b'x'; 120];

/// Reads a message head, and the body if there is one; gives its length.
fn read(stream: &mut TcpStream, buffer: &mut [u8; 4096], body: usize) -> Option<usize> {
    let mut filled = 0;
    loop {
        filled += Some(stream.read(&mut buffer[filled..]).ok()?).filter(|read| *read > 0)?;
        let head = buffer[..filled].windows(4).position(|end| end == b"\r\n\r\n").map(|at| at + 4);
        if head.is_some_and(|head| filled >= head + body) {
            return Some(filled);
        }
    }
}

/// A server that answers every request alike.
fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut answer = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 120\r\n\r\n".to_vec();
    answer.extend(BODY);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, answer) = (stream.unwrap(), answer.clone());
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                while read(&mut stream, &mut buffer, 0).is_some() {
                    stream.write_all(&answer).unwrap();
                }
            });
        }
    });
    address
}

fn ask(stream: &mut TcpStream, buffer: &mut [u8; 4096], times: usize) {
    for _ in 0..times {
        stream.write_all(REQUEST).unwrap();
        let length = read(stream, buffer, BODY.len()).unwrap();
        assert!(buffer.starts_with(b"HTTP/1.1 200 ") && buffer[..length].ends_with(&BODY));
    }
}

#[test]
fn a_plain_request_asks_for_memory_as_often_as_recorded() {
    let runtime = Runtime::new().unwrap();
    let manifests = pool("web", "match: [{path: {type: Prefix, value: /}}]") + &backend("web-1", "web", serve(), "");
    let weir = runtime.block_on(Weir::builder().workers(1).file("web.yaml", &manifests).start());
    let mut client = TcpStream::connect(weir.address()).unwrap();
    client.set_nodelay(true).unwrap();
    let mut buffer = [0; 4096];
    ask(&mut client, &mut buffer, WARM);
    let region = Region::new(ALLOCATOR);
    ask(&mut client, &mut buffer, COUNTED);
    let change = region.change();
    let calls = change.allocations + change.reallocations;
    let (each, rest) = (calls / COUNTED, calls % COUNTED);
    let bytes = change.bytes_allocated / COUNTED;
    println!("{calls} calls for {COUNTED} requests, {bytes} bytes each");
    assert!(
        bytes.abs_diff(BYTES_PER_REQUEST) * 100 <= BYTES_PER_REQUEST * 3,
        "{bytes} bytes a request, not {BYTES_PER_REQUEST}"
    );
    assert!(each == PER_REQUEST && rest < OTHERS, "{each} calls a request and {rest} besides, not {PER_REQUEST}");
}
