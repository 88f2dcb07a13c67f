//! Drives one connection to an application, request after request.
//!
//! # Lifecycle
//! `Idle` until [`Session::begin`], then `Head` until the head of the script's output is complete, then `Body` until the
//! application says that the request is over. Then `Idle` again if the application was asked to keep the connection and
//! nothing is left on it in either direction; in all other cases, and after every error, `Over`. A session that is
//! dropped in `Head` or `Body` tells the application that the request is not wanted any more (F6).
//!
//! Sending goes on while output is waited for, so an application may answer whenever it likes. Nothing is read ahead of
//! whoever takes the output: a slow reader slows the script down.

use std::io::ErrorKind;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::Body;
use tokio::io::AsyncReadExt;
use tracing::debug;

use super::backlog::Waiting;
use super::error::Error;
use super::head::{Head, Parser};
use super::output::Output;
use super::record::{self, Decoder, End, Kind, Piece, Verdict};
use super::stderr::{Stderr, Tag};
use super::upload::Upload;
use crate::upstream::io::UpstreamIo;

/// Bytes read at once.
const READ: usize = 32 << 10;

/// A connection.
#[derive(Debug)]
pub struct Session<B> {
    io: UpstreamIo,
    input: BytesMut,
    decoder: Decoder,
    output: Output,
    phase: Phase,
    request: Option<Running<B>>,
}

/// A request to send.
#[derive(Debug)]
pub struct Begin<B> {
    /// Its environment in records, without `CONTENT_LENGTH`.
    pub params: Bytes,
    /// Its body.
    pub upload: Upload<B>,
    /// Whether the application shall keep the connection.
    pub keep: bool,
    /// Whether an answer to it has no body, whatever comes after its head.
    pub head_only: bool,
    /// Whose complaints its standard error are.
    pub tag: Tag,
    /// Ends when the application has said something.
    pub waiting: Option<Waiting>,
}

#[derive(Debug)]
enum Phase {
    Idle,
    Head(Parser),
    Body {
        /// Output that came with the head.
        first: Bytes,
        rest: Rest,
    },
    Over,
}

/// How much of the body is to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// So many bytes.
    Announced(u64),
    /// What comes until the end of the request.
    Open,
    /// Nothing that anybody wants.
    Unwanted,
}

/// What a session knows of the request that it serves.
#[derive(Debug)]
struct Running<B> {
    upload: Upload<B>,
    /// The end of the body was said.
    uploaded: bool,
    keep: bool,
    head_only: bool,
    /// Something of an answer came.
    heard: bool,
    tag: Tag,
    stderr: Stderr,
    waiting: Option<Waiting>,
}

enum Step {
    Stdout(Bytes),
    End(End),
}

impl<B> Session<B> {
    /// A connection that was just made.
    #[must_use]
    pub fn new(io: UpstreamIo) -> Self {
        Self {
            io,
            input: BytesMut::new(),
            decoder: Decoder::default(),
            output: Output::default(),
            phase: Phase::Idle,
            request: None,
        }
    }

    /// Whether a request can begin: none runs, and the application neither closed nor said anything.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Idle) && self.io.is_silent()
    }

    /// Whether no request will ever begin.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over) || (matches!(self.phase, Phase::Idle) && !self.io.is_silent())
    }

    /// Whether the application said anything of this request.
    #[must_use]
    pub fn has_heard(&self) -> bool {
        self.request.as_ref().is_some_and(|request| request.heard)
    }

    /// How much of the body is to come, if that is known.
    #[must_use]
    pub fn rest_of_body(&self) -> Option<u64> {
        match &self.phase {
            Phase::Body { rest: Rest::Announced(rest), .. } => Some(*rest),
            Phase::Body { rest: Rest::Unwanted, .. } => Some(0),
            _ => None,
        }
    }

    /// Begins a request on an idle connection.
    pub fn begin(&mut self, request: Begin<B>) {
        let Begin { params, upload, keep, head_only, tag, waiting } = request;
        self.output.push(Bytes::from_static(record::begin(keep)));
        self.output.push(params);
        if let Some(length) = upload.length() {
            self.output.push(content_length(length));
        }
        self.output.push_empty(Kind::Params);
        let stderr = Stderr::new(tag.clone());
        self.request = Some(Running { upload, uploaded: false, keep, head_only, heard: false, tag, stderr, waiting });
        self.phase = Phase::Head(Parser::default());
    }

    /// The request is over; the connection is idle if it can be.
    fn end(&mut self, end: End) -> Result<(), Error> {
        let missing = self.rest_of_body().unwrap_or(0);
        let Some(request) = &mut self.request else { return Ok(()) };
        request.stderr.finish();
        if end.app_status != 0 {
            debug!(request = %request.tag, status = end.app_status, "a script ended with a status");
        }
        let clean = request.uploaded && self.output.is_empty() && self.input.is_empty();
        let had_head = matches!(self.phase, Phase::Body { .. });
        self.phase = if request.keep && clean && missing == 0 { Phase::Idle } else { Phase::Over };
        // An idle connection keeps no buffer.
        self.input = BytesMut::new();
        match (end.verdict, had_head) {
            (Verdict::Complete, true) if missing == 0 => Ok(()),
            (Verdict::Complete, true) => Err(Error::TooShort(missing)),
            (Verdict::Complete, false) => Err(Error::NoHead),
            (verdict, _) => Err(Error::Refused(verdict)),
        }
    }

    /// Gives up: what comes next would mean nothing.
    fn fail(&mut self, error: Error) -> Error {
        if matches!(error, Error::Upload(_)) {
            self.abort();
        }
        self.phase = Phase::Over;
        if let Some(request) = &mut self.request {
            request.stderr.finish();
            debug!(request = %request.tag, %error, "a FastCGI request failed");
        }
        error
    }

    /// Says that the request is not wanted any more, if the connection takes it at once.
    fn abort(&mut self) {
        self.output.push_empty(Kind::Abort);
        self.output.flush_now(&self.io);
    }
}

/// As a record of parameters.
fn content_length(length: u64) -> Bytes {
    let mut params = super::params::Params::default();
    // Too short to be too large.
    let _ = params.push("CONTENT_LENGTH", length.to_string().as_bytes());
    params.finish()
}

impl<B: Body<Data = Bytes> + Unpin> Session<B> {
    /// The head of the script's output.
    ///
    /// # Errors
    /// If there is none.
    pub fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Head, Error>> {
        let polled = self.poll_parsed(cx);
        if let (Poll::Pending, Some(request)) = (&polled, &mut self.request)
            && let Some(waiting) = &mut request.waiting
        {
            waiting.pass_time(cx);
        }
        polled.map(|parsed| parsed.map_err(|error| self.fail(error)))
    }

    fn poll_parsed(&mut self, cx: &mut Context<'_>) -> Poll<Result<Head, Error>> {
        loop {
            let output = match ready!(self.poll_step(cx))? {
                Step::Stdout(output) => output,
                Step::End(end) => {
                    self.end(end)?;
                    return Poll::Ready(Err(Error::NoHead));
                }
            };
            let Phase::Head(parser) = &mut self.phase else { return Poll::Ready(Err(Error::NoHead)) };
            if let Some((head, first)) = parser.feed(&output)? {
                let head_only = self.request.as_ref().is_some_and(|request| request.head_only);
                self.phase = Phase::Body { first, rest: Rest::of(&head, head_only) };
                return Poll::Ready(Ok(head));
            }
        }
    }

    /// The next part of the body; `None` at its end, when the request is over.
    ///
    /// # Errors
    /// If it does not come to its end.
    pub fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        loop {
            let Phase::Body { first, .. } = &mut self.phase else { return Poll::Ready(None) };
            let output = if first.is_empty() {
                match ready!(self.poll_step(cx)) {
                    Ok(Step::Stdout(output)) => output,
                    Ok(Step::End(end)) => return Poll::Ready(self.end(end).err().map(|error| Err(self.fail(error)))),
                    Err(error) => return Poll::Ready(Some(Err(self.fail(error)))),
                }
            } else {
                std::mem::take(first)
            };
            match self.take(output) {
                Ok(output) if output.is_empty() => {}
                taken => return Poll::Ready(Some(taken.map_err(|error| self.fail(error)))),
            }
        }
    }

    /// Reads to the end of the request.
    ///
    /// # Errors
    /// If it does not come to its end, or more of the body comes than was announced.
    pub fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            match ready!(self.poll_data(cx)) {
                None => return Poll::Ready(Ok(())),
                Some(Err(error)) => return Poll::Ready(Err(error)),
                Some(Ok(_)) => {}
            }
        }
    }

    /// The part of `output` that belongs to the body. What goes beyond its announced end is an error, but only after
    /// the body was given to its end.
    fn take(&mut self, mut output: Bytes) -> Result<Bytes, Error> {
        let Phase::Body { first, rest } = &mut self.phase else { return Ok(Bytes::new()) };
        match rest {
            Rest::Open => Ok(output),
            Rest::Unwanted => Ok(Bytes::new()),
            Rest::Announced(0) => Err(Error::TooLong),
            Rest::Announced(left) => {
                let most = usize::try_from(*left).unwrap_or(usize::MAX).min(output.len());
                let body = output.split_to(most);
                *left -= body.len() as u64;
                *first = output;
                Ok(body)
            }
        }
    }

    /// The next output of the script. Complaints go to the log on the way.
    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Result<Step, Error>> {
        if let Poll::Ready(Err(error)) = self.poll_send(cx) {
            return Poll::Ready(Err(error));
        }
        loop {
            match self.decoder.next(&mut self.input)? {
                Some(Piece::Stdout(output)) => return Poll::Ready(Ok(Step::Stdout(output))),
                Some(Piece::End(end)) => return Poll::Ready(Ok(Step::End(end))),
                Some(Piece::Stderr(text)) => {
                    if let Some(request) = &mut self.request {
                        request.stderr.push(&text);
                    }
                }
                None => ready!(self.poll_read(cx))?,
            }
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.input.reserve(READ);
        let read = {
            let reading = pin!(self.io.read_buf(&mut self.input));
            ready!(reading.poll(cx))
        };
        Poll::Ready(match read {
            Ok(0) => Err(Error::Closed),
            Ok(_) => {
                self.hear();
                Ok(())
            }
            // A peer that left may say so in either way.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Err(Error::Closed),
            Err(error) => Err(error.into()),
        })
    }

    fn hear(&mut self) {
        if let Some(request) = &mut self.request {
            request.heard = true;
            request.waiting = None;
        }
    }

    /// Sends what there is of the request.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            ready!(self.output.poll_flush(cx, &mut self.io))?;
            let Some(request) = self.request.as_mut().filter(|request| !request.uploaded) else {
                return Poll::Ready(Ok(()));
            };
            match ready!(request.upload.poll_next(cx)).transpose()? {
                Some(part) => self.output.push_record(Kind::Stdin, part),
                None => {
                    request.uploaded = true;
                    self.output.push_empty(Kind::Stdin);
                }
            }
        }
    }
}

impl Rest {
    fn of(head: &Head, head_only: bool) -> Self {
        match (head.length, head.status.as_u16()) {
            (_, 204 | 304) => Self::Unwanted,
            _ if head_only => Self::Unwanted,
            (Some(length), _) => Self::Announced(length),
            (None, _) => Self::Open,
        }
    }
}

impl<B> Drop for Session<B> {
    fn drop(&mut self) {
        if matches!(self.phase, Phase::Head(_) | Phase::Body { .. }) {
            self.abort();
        }
    }
}

#[cfg(test)]
mod tests;
