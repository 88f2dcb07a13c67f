//! The access log: one JSON line a request, or a connection of TCP, written by a thread of its own.
//!
//! Workers only put records into a bounded queue, and never wait: when the writer cannot keep up, lines
//! are lost and counted. What was formatted is on its way to the disk whenever the queue is empty.

use std::convert::Infallible;
use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, header};
use jiff::Timestamp;
use serde::{Serialize, Serializer};
use tracing::{error, info};

use super::ProcessStats;

/// Records that may wait for the writer.
const QUEUE: usize = 8192;
/// Bytes that are written at once.
const BUFFER: usize = 64 * 1024;
/// How long the end of the process waits for the last lines.
const LAST_LINES: Duration = Duration::from_secs(2);

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Standard output.
    Stdout,
    /// Appended to a file.
    File(PathBuf),
}

impl FromStr for Target {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(if text == "stdout" { Self::Stdout } else { Self::File(text.into()) })
    }
}

impl Target {
    fn open(&self) -> io::Result<Box<dyn Write + Send>> {
        Ok(match self {
            Self::Stdout => Box::new(io::stdout()),
            Self::File(path) => Box::new(OpenOptions::new().append(true).create(true).open(path)?),
        })
    }
}

/// What is logged of one request.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// When its head was complete.
    #[serde(serialize_with = "milliseconds")]
    pub time: Timestamp,
    /// Names it in other lines of the log.
    pub request: String,
    /// Address of the client.
    pub client: String,
    /// Name of the listener.
    pub listener: String,
    /// Request method.
    pub method: String,
    /// `Host`, as sent.
    pub host: String,
    /// Path and query, as sent.
    pub path: String,
    /// `HTTP/1.1` and the like.
    pub protocol: String,
    /// Status of the response.
    pub status: u16,
    /// Length of the response body.
    pub bytes: u64,
    /// From request head to the end of the response.
    #[serde(serialize_with = "seconds")]
    pub duration: Duration,
    /// From the choice of the endpoint to its response head.
    #[serde(serialize_with = "seconds_if_any")]
    pub upstream_duration: Option<Duration>,
    /// `namespace/name` of the pool.
    pub pool: Option<String>,
    /// Name of the backend that answered.
    pub backend: Option<String>,
    /// Address of the endpoint that answered.
    pub address: Option<String>,
    /// Tries of endpoints.
    pub attempts: u32,
    /// Short reason, if Weir answered or something failed.
    pub reason: Option<&'static str>,
    /// `User-Agent`, as sent.
    pub user_agent: Option<String>,
}

/// What is logged of one connection of TCP.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TcpRecord {
    /// When it was accepted.
    #[serde(serialize_with = "milliseconds")]
    pub time: Timestamp,
    /// Address of the client.
    pub client: String,
    /// Name of the listener.
    pub listener: String,
    /// `TCP`, which tells it from a request.
    pub protocol: &'static str,
    /// Bytes that went to the endpoint.
    pub bytes_upstream: u64,
    /// Bytes that went to the client.
    pub bytes_downstream: u64,
    /// From the accept to the end.
    #[serde(serialize_with = "seconds")]
    pub duration: Duration,
    /// From the accept until an endpoint was connected to.
    #[serde(serialize_with = "seconds_if_any")]
    pub connect_duration: Option<Duration>,
    /// `namespace/name` of the pool.
    pub pool: Option<String>,
    /// Name of the backend that took it.
    pub backend: Option<String>,
    /// Address of the endpoint that took it.
    pub address: Option<String>,
    /// Tries of endpoints.
    pub attempts: u32,
    /// Short reason, if nobody took it or it broke off.
    pub reason: Option<&'static str>,
}

impl Record {
    /// What the head of a request says; the rest is known later.
    #[must_use]
    pub fn of_request(parts: &Parts) -> Self {
        let host = text(&parts.headers, &header::HOST);
        Self {
            time: Timestamp::now(),
            method: parts.method.to_string(),
            host: host.or_else(|| parts.uri.host().map(str::to_owned)).unwrap_or_default(),
            path: parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            protocol: format!("{:?}", parts.version),
            user_agent: text(&parts.headers, &header::USER_AGENT),
            ..Self::default()
        }
    }
}

fn text(headers: &HeaderMap, name: &header::HeaderName) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

fn milliseconds<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{time:.3}"))
}

fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

fn seconds_if_any<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => seconds(duration, serializer),
        None => serializer.serialize_none(),
    }
}

/// Takes records from any thread; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct AccessLog(Option<Queue>);

#[derive(Debug, Clone)]
struct Queue {
    sender: SyncSender<Message>,
    stats: Arc<ProcessStats>,
}

#[derive(Debug)]
enum Message {
    Line(Line),
    End,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Line {
    Request(Box<Record>),
    Connection(Box<TcpRecord>),
}

/// The thread that writes.
#[derive(Debug)]
pub struct LogWriter {
    sender: SyncSender<Message>,
    ended: Receiver<()>,
}

impl AccessLog {
    /// A log that takes nothing.
    #[must_use]
    pub fn off() -> Self {
        Self(None)
    }

    /// Opens `target` and starts the thread that writes to it.
    ///
    /// # Errors
    /// If the file cannot be opened, or there are no threads left.
    pub fn start(target: &Target, stats: Arc<ProcessStats>) -> io::Result<(Self, LogWriter)> {
        Self::write_to(target.open()?, stats)
    }

    fn write_to(out: impl Write + Send + 'static, stats: Arc<ProcessStats>) -> io::Result<(Self, LogWriter)> {
        let (sender, messages) = sync_channel(QUEUE);
        let (end, ended) = sync_channel(1);
        let mut lines = Lines { out: BufWriter::with_capacity(BUFFER, out), stats: stats.clone(), failing: false };
        thread::Builder::new().name("access-log".into()).spawn(move || {
            lines.run(&messages);
            // Nobody waits for it unless the process ends.
            let _ = end.send(());
        })?;
        let queue = Queue { sender: sender.clone(), stats };
        Ok((Self(Some(queue)), LogWriter { sender, ended }))
    }

    /// Whether records are wanted at all.
    #[must_use]
    pub fn enabled(&self) -> bool {
        self.0.is_some()
    }

    /// Hands the record of a request to the writer, or counts it as lost.
    pub fn record(&self, record: Box<Record>) {
        self.send(Line::Request(record));
    }

    /// The same for a connection of TCP.
    pub fn record_tcp(&self, record: Box<TcpRecord>) {
        self.send(Line::Connection(record));
    }

    fn send(&self, line: Line) {
        if let Some(Queue { sender, stats }) = &self.0
            && sender.try_send(Message::Line(line)).is_err()
        {
            stats.log_lines_dropped.fetch_add(1, Relaxed);
        }
    }
}

impl LogWriter {
    /// Waits until what was recorded so far is written, but not for long.
    pub fn finish(self) {
        // A queue that is full is being written: no need to say more.
        let _ = self.sender.try_send(Message::End);
        let _ = self.ended.recv_timeout(LAST_LINES);
    }
}

/// The writer's side.
struct Lines<W: Write> {
    out: BufWriter<W>,
    stats: Arc<ProcessStats>,
    failing: bool,
}

impl<W: Write> Lines<W> {
    fn run(&mut self, messages: &Receiver<Message>) {
        loop {
            let message = match messages.try_recv() {
                Err(TryRecvError::Empty) => {
                    self.flush();
                    messages.recv().ok()
                }
                message => message.ok(),
            };
            match message {
                Some(Message::Line(line)) => self.write(&line),
                Some(Message::End) | None => return self.flush(),
            }
        }
    }

    fn write(&mut self, line: &Line) {
        let result = serde_json::to_vec(line).map_err(io::Error::from).and_then(|mut line| {
            line.push(b'\n');
            self.out.write_all(&line)
        });
        if result.is_err() {
            self.stats.log_lines_dropped.fetch_add(1, Relaxed);
        }
        self.note(result);
    }

    fn flush(&mut self) {
        let result = self.out.flush();
        self.note(result);
    }

    /// One line when it begins to fail and one when it ends.
    fn note(&mut self, result: io::Result<()>) {
        match &result {
            Err(error) if !self.failing => error!(%error, "cannot write the access log"),
            Ok(()) if self.failing => info!("the access log is written again"),
            _ => {}
        }
        self.failing = result.is_err();
    }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use serde_json::{Value, json};
    use tempfile::TempDir;

    use super::*;

    fn stats() -> Arc<ProcessStats> {
        Arc::new(ProcessStats::new(&[], 1))
    }

    fn record() -> Record {
        let request =
            Request::get("/a?b=c").header("host", "example.com").header("user-agent", "curl").body(()).unwrap();
        let time = "2026-11-21T09:00:00.1234567Z".parse().unwrap();
        Record {
            time,
            status: 200,
            duration: Duration::from_millis(1500),
            ..Record::of_request(&request.into_parts().0)
        }
    }

    #[test]
    fn a_record_is_one_line_of_json() {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("access.log");
        let (log, writer) = AccessLog::start(&Target::File(file.clone()), stats()).unwrap();
        log.record(Box::new(record()));
        let upstream_duration = Some(Duration::from_millis(250));
        log.record(Box::new(Record { upstream_duration, reason: Some("reset"), ..record() }));
        writer.finish();
        let text = std::fs::read_to_string(file).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let expected = json!({
            "time": "2026-11-21T09:00:00.123Z", "request": "", "client": "", "listener": "", "method": "GET", "host": "example.com",
            "path": "/a?b=c", "protocol": "HTTP/1.1", "status": 200, "bytes": 0, "duration": 1.5,
            "upstreamDuration": null, "pool": null, "backend": null, "address": null, "attempts": 0, "reason": null,
            "userAgent": "curl",
        });
        assert_eq!(lines[0], expected);
        assert_eq!((&lines[1]["upstreamDuration"], &lines[1]["reason"]), (&json!(0.25), &json!("reset")));
    }

    /// Takes nothing until it is let go.
    struct Blocked(Receiver<()>);

    impl Write for Blocked {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_queue_loses_lines_and_counts_them_but_never_blocks() {
        let (go, gate) = sync_channel::<()>(0);
        let stats = stats();
        let (log, _writer) = AccessLog::write_to(Blocked(gate), stats.clone()).unwrap();
        let sent = 2 * QUEUE + BUFFER;
        (0..sent).for_each(|_| log.record(Box::default()));
        let lost = stats.log_lines_dropped.load(Relaxed);
        assert!(lost > 0 && lost < sent as u64, "{lost}");
        drop(go);
    }

    #[test]
    fn a_full_disk_is_survived_and_counted() {
        let stats = stats();
        let (log, writer) = AccessLog::start(&Target::File("/dev/full".into()), stats.clone()).unwrap();
        let long = Box::new(Record { path: "x".repeat(BUFFER), ..Record::default() });
        (0..3).for_each(|_| log.record(long.clone()));
        writer.finish();
        assert_eq!(stats.log_lines_dropped.load(Relaxed), 3);
    }

    #[test]
    fn a_log_that_is_off_takes_nothing() {
        let log = AccessLog::off();
        assert!(!log.enabled());
        log.record(Box::default());
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_an_error() {
        assert!(AccessLog::start(&Target::File("/nonexistent/log".into()), stats()).is_err());
        assert_eq!("stdout".parse(), Ok(Target::Stdout));
        assert_eq!("out.log".parse(), Ok(Target::File("out.log".into())));
    }
}
