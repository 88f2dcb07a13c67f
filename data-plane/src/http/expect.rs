//! `Expect: 100-continue`: the upstream decides when the client may send its body.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::{HeaderMap, Request, StatusCode, header};
use parking_lot::Mutex;

use super::body::UpstreamBody;

/// How long a client is kept waiting for the upstream's word. RFC 9110, 10.1.1: a proxy must not wait
/// for ever.
pub const CONTINUE_WAIT: Duration = Duration::from_secs(1);

/// Whether the client waits for `100 Continue` before it sends its body.
#[must_use]
pub fn is_expected(headers: &HeaderMap) -> bool {
    headers.get(header::EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Holds a body back until the upstream asks for it. hyper asks the client, by sending `100 Continue`,
/// when the body is first read. Cheap to clone; all clones are one gate.
#[derive(Debug, Clone, Default)]
pub struct ContinueGate(Arc<Mutex<State>>);

#[derive(Debug, Default)]
enum State {
    #[default]
    Closed,
    Waiting(Waker),
    Open,
    /// The upstream answered without the body; whoever still wants it gets an error.
    Abandoned,
}

impl ContinueGate {
    /// Opens the gate when the answer to `request` begins with `100 Continue`.
    pub fn open_on_continue(&self, request: &mut Request<UpstreamBody>) {
        let gate = self.clone();
        hyper::ext::on_informational(request, move |informational| {
            if informational.status() == StatusCode::CONTINUE {
                gate.open();
            }
        });
    }

    /// Lets the body through.
    pub fn open(&self) {
        self.set(State::Open);
    }

    /// Ends the body for whoever still waits for it; an open gate stays open.
    pub fn abandon(&self) {
        if !matches!(*self.0.lock(), State::Open) {
            self.set(State::Abandoned);
        }
    }

    /// Whether the body may go (true) or never will (false).
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut state = self.0.lock();
        match *state {
            State::Open => Poll::Ready(true),
            State::Abandoned => Poll::Ready(false),
            State::Closed | State::Waiting(_) => {
                *state = State::Waiting(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn set(&self, next: State) {
        let before = std::mem::replace(&mut *self.0.lock(), next);
        if let State::Waiting(waker) = before {
            waker.wake();
        }
    }
}
