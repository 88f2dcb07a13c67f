//! The request body on its way to an upstream: streamed, kept for a replay while it is small, and held
//! back while the client waits for `100 Continue`.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep};

use super::expect::{CONTINUE_WAIT, ContinueGate};
use super::tee::{Pieces, Tee, TooLarge};
use super::upload_rate::UploadRate;

/// Bytes that are read before an upstream wants them.
const AHEAD: usize = 64 << 10;

/// The body that a client sends, shared by the tries of its request.
#[derive(Debug, Clone)]
pub struct Source {
    state: Rc<RefCell<State>>,
    /// Shared by all clones, present if the client expects `100 Continue`.
    _patience: Option<Rc<Patience>>,
}

/// Lasts as long as a try may come that asks for the body.
#[derive(Debug)]
struct Patience(ContinueGate);

#[derive(Debug)]
struct State {
    /// `None` if all of it is kept from the beginning.
    incoming: Option<Incoming>,
    /// What was read before anybody wanted it.
    ahead: VecDeque<Frame<Bytes>>,
    ahead_bytes: usize,
    /// What was read so far, if it can still be replayed.
    kept: Vec<Bytes>,
    kept_bytes: usize,
    limit: usize,
    replayable: bool,
    client_failed: bool,
    /// Bytes that came so far, and how many may.
    received: u64,
    most: u64,
    rate: UploadRate,
    /// Read to its end.
    complete: bool,
    /// Frames read so far.
    progress: u64,
    waits_for_client: bool,
    /// Number of the try that may read. A try that timed out may still hold its stream for a moment.
    reader: u32,
    /// Present if the client expects `100 Continue`.
    gate: Option<ContinueGate>,
    /// Who else gets what is read.
    tees: Vec<Tee>,
}

/// One try's view of the body.
#[derive(Debug)]
pub enum UpstreamBody {
    /// There is none.
    Empty,
    /// From the beginning, whatever earlier tries read.
    Stream(Stream),
}

/// Reads what was kept, then the client.
#[derive(Debug)]
pub struct Stream {
    state: Rc<RefCell<State>>,
    reader: u32,
    replayed: usize,
    wait: Option<Pin<Box<Sleep>>>,
}

/// Why the body ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The client left, or sent what is no HTTP.
    #[error("the client's body broke off")]
    Client,
    /// It has more bytes than it may.
    #[error("the client's body is too large")]
    TooLarge,
    /// It comes too slowly.
    #[error("the client's body is too slow")]
    TooSlow,
    /// Nobody wants it any more.
    #[error("the request body was abandoned")]
    Abandoned,
}

impl Source {
    /// Takes the client's body; `None` if it has none. `expects_continue`: held back until the upstream
    /// asks for it. `rate`: what the client has to send.
    #[must_use]
    pub fn new(incoming: Incoming, expects_continue: bool, rate: UploadRate) -> Option<Self> {
        if incoming.is_end_stream() {
            return None;
        }
        let gate = expects_continue.then(ContinueGate::default);
        Some(Self::of(State { incoming: Some(incoming), gate, rate, ..State::empty() }))
    }

    fn of(state: State) -> Self {
        let patience = state.gate.clone().map(|gate| Rc::new(Patience(gate)));
        Self { state: Rc::new(RefCell::new(state)), _patience: patience }
    }

    /// A body that is there as a whole, and can always be replayed.
    #[must_use]
    pub fn whole(pieces: Pieces) -> Self {
        Self::of(State { kept: pieces, complete: true, ..State::empty() })
    }

    /// The whole body once it was read, if it has at most `limit` bytes; the receiver fails if it never is.
    #[must_use]
    pub fn tee(&self, limit: usize) -> oneshot::Receiver<Result<Pieces, TooLarge>> {
        let mut state = self.state.borrow_mut();
        let (mut tee, receiver) = Tee::new(limit);
        state.kept.iter().for_each(|piece| tee.push(piece));
        if state.complete && state.replayable {
            tee.finish();
        } else if state.progress == 0 || state.replayable {
            state.tees.push(tee);
        }
        receiver
    }

    /// Sets how many bytes are kept for a replay. Lowering it forgets what is kept beyond.
    pub fn keep_at_most(&self, limit: u64) {
        let mut state = self.state.borrow_mut();
        if state.incoming.is_none() {
            return;
        }
        state.limit = usize::try_from(limit).unwrap_or(usize::MAX);
        if state.kept_bytes > state.limit {
            state.forget();
        }
    }

    /// Sets how many bytes it may have; 0 = any number. False if it is known to have more.
    #[must_use]
    pub fn allow(&self, most: u64) -> bool {
        let mut state = self.state.borrow_mut();
        state.most = if most == 0 { u64::MAX } else { most };
        let rest = state.incoming.as_ref().map_or(0, |incoming| incoming.size_hint().lower());
        state.received.saturating_add(rest) <= state.most
    }

    /// Whether more came than may.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        self.state.borrow().is_too_large()
    }

    /// Whether it came more slowly than it may.
    #[must_use]
    pub fn is_too_slow(&self) -> bool {
        let state = self.state.borrow();
        !state.rate.is_kept(state.received)
    }

    /// Reads a little of it while there is no upstream yet, and goes on for ever: only of a client whose request is read
    /// does hyper see that it leaves. A body that the client holds back stays where it is.
    pub async fn read_ahead(&self) -> Infallible {
        if self.gate().is_some() {
            return pending().await;
        }
        poll_fn(|cx| self.state.borrow_mut().poll_ahead(cx)).await
    }

    /// A body for one try, from the beginning. The streams of earlier tries end.
    #[must_use]
    pub fn stream(&self) -> UpstreamBody {
        let mut state = self.state.borrow_mut();
        state.reader += 1;
        UpstreamBody::Stream(Stream { state: self.state.clone(), reader: state.reader, replayed: 0, wait: None })
    }

    /// Whether another try can have the whole body.
    #[must_use]
    pub fn is_replayable(&self) -> bool {
        let state = self.state.borrow();
        state.replayable && !state.client_failed
    }

    /// Whether all of it was read.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.state.borrow().complete
    }

    /// Ends the streams of all tries so far.
    pub fn freeze(&self) {
        self.state.borrow_mut().reader += 1;
    }

    /// Whether the client broke off.
    #[must_use]
    pub fn client_failed(&self) -> bool {
        self.state.borrow().client_failed
    }

    /// What holds the body back, if anything does.
    #[must_use]
    pub fn gate(&self) -> Option<ContinueGate> {
        self.state.borrow().gate.clone()
    }

    /// Grows with each piece of the body that was read.
    #[must_use]
    pub fn progress(&self) -> u64 {
        self.state.borrow().progress
    }

    /// Whether the upstream would take more and the client does not send it.
    #[must_use]
    pub fn waits_for_client(&self) -> bool {
        self.state.borrow().waits_for_client
    }
}

impl Drop for Patience {
    /// All tries are over: a body that nobody asked for must not keep its connection waiting.
    fn drop(&mut self) {
        self.0.abandon();
    }
}

impl State {
    fn empty() -> Self {
        Self {
            incoming: None,
            ahead: VecDeque::new(),
            ahead_bytes: 0,
            kept: Vec::new(),
            kept_bytes: 0,
            limit: 0,
            replayable: true,
            client_failed: false,
            received: 0,
            most: u64::MAX,
            rate: UploadRate::default(),
            complete: false,
            progress: 0,
            waits_for_client: false,
            reader: 0,
            gate: None,
            tees: Vec::new(),
        }
    }

    fn forget(&mut self) {
        self.replayable = false;
        self.kept = Vec::new();
        self.kept_bytes = 0;
    }

    fn keep(&mut self, data: &Bytes) {
        if !self.replayable {
            return;
        }
        if self.kept_bytes + data.len() > self.limit {
            self.forget();
        } else {
            self.kept_bytes += data.len();
            self.kept.push(data.clone());
        }
    }

    fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<Infallible> {
        let Some(incoming) = &mut self.incoming else { return Poll::Pending };
        while self.ahead_bytes < AHEAD && !self.client_failed && !incoming.is_end_stream() {
            match ready!(Pin::new(&mut *incoming).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    let bytes = frame.data_ref().map_or(0, Bytes::len);
                    self.received += bytes as u64;
                    self.ahead_bytes += bytes;
                    self.ahead.push_back(frame);
                }
                Some(Err(_)) => self.client_failed = true,
                None => break,
            }
        }
        Poll::Pending
    }

    /// The next frame, which may have been read before.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.is_too_large() {
            return Poll::Ready(Some(Err(BodyError::TooLarge)));
        }
        if let Some(frame) = self.ahead.pop_front() {
            self.ahead_bytes -= frame.data_ref().map_or(0, Bytes::len);
            return Poll::Ready(Some(Ok(frame)));
        }
        match &mut self.incoming {
            Some(incoming) if !self.client_failed => {
                let polled = Pin::new(incoming).poll_frame(cx);
                self.rate.note(polled.is_pending());
                let polled = ready!(polled);
                Poll::Ready(polled.map(|frame| self.receive(frame.map_err(|_| BodyError::Client)?)))
            }
            Some(_) => Poll::Ready(Some(Err(BodyError::Client))),
            None => Poll::Ready(None),
        }
    }

    fn receive(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, BodyError> {
        self.received += frame.data_ref().map_or(0, Bytes::len) as u64;
        if self.is_too_large() {
            Err(BodyError::TooLarge)
        } else if self.rate.is_kept(self.received) {
            Ok(frame)
        } else {
            Err(BodyError::TooSlow)
        }
    }

    fn is_too_large(&self) -> bool {
        self.received > self.most
    }

    fn poll_client(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = self.poll_next(cx);
        self.waits_for_client = polled.is_pending();
        self.progress += u64::from(polled.is_ready());
        match ready!(polled) {
            None => {
                self.set_complete();
                Poll::Ready(None)
            }
            Some(Ok(frame)) => {
                self.take(&frame);
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                self.client_failed = true;
                self.tees.clear();
                Poll::Ready(Some(Err(error)))
            }
        }
    }

    fn take(&mut self, frame: &Frame<Bytes>) {
        match frame.data_ref() {
            Some(data) => {
                self.keep(data);
                self.tees.iter_mut().for_each(|tee| tee.push(data));
            }
            // Trailers are not kept.
            None => self.forget(),
        }
        if self.is_at_end() {
            self.set_complete();
        }
    }

    /// Whether the client has nothing more to send.
    fn is_at_end(&self) -> bool {
        self.ahead.is_empty() && self.incoming.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn set_complete(&mut self) {
        self.complete = true;
        self.tees.drain(..).for_each(Tee::finish);
    }
}

impl Stream {
    /// Ready when the body may be read. A client is not kept waiting for ever.
    fn poll_gate(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        if self.state.borrow().reader != self.reader {
            return Poll::Ready(Err(BodyError::Abandoned));
        }
        let Some(gate) = self.state.borrow().gate.clone() else { return Poll::Ready(Ok(())) };
        if let Poll::Ready(open) = gate.poll(cx) {
            return Poll::Ready(if open { Ok(()) } else { Err(BodyError::Abandoned) });
        }
        let wait = self.wait.get_or_insert_with(|| Box::pin(sleep(CONTINUE_WAIT)));
        ready!(wait.as_mut().poll(cx));
        gate.open();
        Poll::Ready(Ok(()))
    }

    fn next_kept(&mut self) -> Option<Bytes> {
        let kept = self.state.borrow().kept.get(self.replayed).cloned()?;
        self.replayed += 1;
        Some(kept)
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Self::Stream(stream) = &mut *self else { return Poll::Ready(None) };
        if let Err(error) = ready!(stream.poll_gate(cx)) {
            return Poll::Ready(Some(Err(error)));
        }
        if let Some(kept) = stream.next_kept() {
            return Poll::Ready(Some(Ok(Frame::data(kept))));
        }
        let polled = ready!(stream.state.borrow_mut().poll_client(cx));
        // What was just read and kept is not to be replayed to this try.
        stream.replayed = stream.state.borrow().kept.len();
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Stream(stream) => {
                let state = stream.state.borrow();
                stream.replayed >= state.kept.len() && state.is_at_end()
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Stream(stream) => {
                let state = stream.state.borrow();
                let kept: usize = state.kept[stream.replayed.min(state.kept.len())..].iter().map(Bytes::len).sum();
                let read = (kept + state.ahead_bytes) as u64;
                let rest = state.incoming.as_ref().map_or(SizeHint::with_exact(0), Incoming::size_hint);
                let mut hint = SizeHint::new();
                hint.set_lower(rest.lower() + read);
                if let Some(upper) = rest.upper() {
                    hint.set_upper(upper + read);
                }
                hint
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn u3_a_client_that_waits_to_be_asked_is_given_up_with_the_last_clone_of_its_body() {
        let gate = ContinueGate::default();
        let source = Source::of(State { gate: Some(gate.clone()), ..State::empty() });
        let (other, _try) = (source.clone(), source.stream());
        let poll = || gate.poll(&mut Context::from_waker(Waker::noop()));
        drop(source);
        assert!(poll().is_pending(), "a try may still come");
        drop(other);
        assert_eq!(poll(), Poll::Ready(false));
    }
}
