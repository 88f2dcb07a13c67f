//! The thread that writes lines.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread;
use std::time::Duration;

use tracing::{error, info};

use super::target::Out;
use super::{Format, Line, Settings, Target};
use crate::stats::ProcessStats;

/// Records that may wait for the writer.
const QUEUE: usize = 8192;
/// Bytes that are written at once.
const BUFFER: usize = 64 * 1024;
/// How long the end of the process waits for the last lines.
const LAST_LINES: Duration = Duration::from_secs(2);

/// What the writer is told.
#[derive(Debug)]
pub(super) enum Message {
    Line(Line),
    /// Wakes a writer that is to open its file anew.
    Reopen,
    End,
}

/// The thread that writes.
#[derive(Debug)]
pub struct LogWriter {
    sender: SyncSender<Message>,
    ended: Receiver<()>,
    /// Whether it writes to a file.
    writes_file: bool,
}

/// Starts it; gives what it is told by.
pub(super) fn start(
    out: Out,
    settings: &Settings,
    reopen: Arc<AtomicBool>,
    stats: Arc<ProcessStats>,
) -> io::Result<(SyncSender<Message>, LogWriter)> {
    let (sender, messages) = sync_channel(QUEUE);
    let (end, ended) = sync_channel(1);
    let Settings { target, format, .. } = settings.clone();
    let writes_file = matches!(target, Target::File(_));
    let out = BufWriter::with_capacity(BUFFER, out);
    let mut lines = Lines { out, target, format, text: String::new(), reopen, stats, failing: false };
    thread::Builder::new().name("access-log".into()).spawn(move || {
        lines.run(&messages);
        // Nobody waits for it unless the process ends.
        let _ = end.send(());
    })?;
    Ok((sender.clone(), LogWriter { sender, ended, writes_file }))
}

impl LogWriter {
    /// Whether there is a file that could be moved away.
    #[must_use]
    pub fn writes_file(&self) -> bool {
        self.writes_file
    }

    /// Waits until what was recorded so far is written, but not for long.
    pub fn finish(self) {
        // A queue that is full is being written: no need to say more.
        let _ = self.sender.try_send(Message::End);
        let _ = self.ended.recv_timeout(LAST_LINES);
    }
}

/// The writer's side.
struct Lines {
    out: BufWriter<Out>,
    target: Target,
    format: Format,
    /// Room for a line.
    text: String,
    reopen: Arc<AtomicBool>,
    stats: Arc<ProcessStats>,
    failing: bool,
}

impl Lines {
    fn run(&mut self, messages: &Receiver<Message>) {
        loop {
            let message = match messages.try_recv() {
                Err(TryRecvError::Empty) => {
                    self.flush();
                    messages.recv().ok()
                }
                message => message.ok(),
            };
            if self.reopen.load(Relaxed) {
                self.open_anew();
            }
            match message {
                Some(Message::Line(line)) => self.write(&line),
                Some(Message::Reopen) => {}
                Some(Message::End) | None => return self.flush(),
            }
        }
    }

    fn write(&mut self, line: &Line) {
        let result = self.format.write(line, &mut self.text, &mut self.out);
        if result.is_err() {
            self.stats.log_lines_dropped.fetch_add(1, Relaxed);
        }
        self.note(result);
    }

    fn flush(&mut self) {
        let result = self.out.flush();
        self.note(result);
    }

    /// What was taken so far goes to the file that was moved away; while that cannot be written, it stays.
    fn open_anew(&mut self) {
        self.flush();
        if self.failing {
            return;
        }
        // First, so that whoever asks meanwhile is heard.
        self.reopen.store(false, Relaxed);
        match self.target.open() {
            Ok(out) => self.out = BufWriter::with_capacity(BUFFER, out),
            Err(error) => error!(%error, "the access log cannot be opened anew, the file before goes on"),
        }
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
    use std::fs;
    use std::path::Path;

    use serde_json::{Value, json};
    use tempfile::TempDir;

    use super::super::head::tests::head;
    use super::super::{AccessLog, Filter, Record};
    use super::*;

    fn stats() -> Arc<ProcessStats> {
        Arc::new(ProcessStats::new(&[], 1))
    }

    fn settings(file: &Path) -> Settings {
        Settings { target: Target::File(file.to_owned()), format: Format::Json, filter: Filter::default() }
    }

    fn until(condition: impl Fn() -> bool) {
        let end = tokio::time::Instant::now() + Duration::from_secs(10);
        while !condition() {
            assert!(tokio::time::Instant::now() < end, "the writer does nothing");
            thread::yield_now();
        }
    }

    fn record() -> Record {
        let time = "2026-11-21T09:00:00.1234567Z".parse().unwrap();
        let head = head("GET", "/a?b=c", &[("host", "example.com"), ("user-agent", "curl")], &[]);
        Record { time, status: 200, duration: Duration::from_millis(1500), ..head.record() }
    }

    #[test]
    fn a_record_is_one_line_of_json() {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("access.log");
        let (log, writer) = AccessLog::start(&settings(&file), stats()).unwrap();
        log.record(Box::new(record()));
        let upstream_duration = Some(Duration::from_millis(250));
        log.record(Box::new(Record { upstream_duration, reason: Some("reset"), ..record() }));
        writer.finish();
        let text = fs::read_to_string(file).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let expected = json!({
            "time": "2026-11-21T09:00:00.123Z", "request": "", "trace": null, "client": "", "listener": "",
            "method": "GET", "host": "example.com", "path": "/a?b=c", "protocol": "HTTP/1.1", "status": 200, "bytes": 0,
            "duration": 1.5, "upstreamDuration": null, "pool": null, "backend": null, "address": null, "attempts": 0,
            "reason": null, "userAgent": "curl",
        });
        assert_eq!(lines[0], expected);
        assert_eq!((&lines[1]["upstreamDuration"], &lines[1]["reason"]), (&json!(0.25), &json!("reset")));
    }

    #[test]
    fn a_file_that_was_moved_away_keeps_its_lines_and_the_next_go_to_a_new_one() {
        let folder = TempDir::new().unwrap();
        let (file, moved) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
        let (log, writer) = AccessLog::start(&settings(&file), stats()).unwrap();
        log.record(Box::new(record()));
        until(|| fs::metadata(&file).unwrap().len() > 0);
        fs::rename(&file, &moved).unwrap();
        log.reopen();
        until(|| file.exists());
        (0..2).for_each(|_| log.record(Box::new(record())));
        writer.finish();
        let lines = |path: &Path| fs::read_to_string(path).unwrap().lines().count();
        assert_eq!((lines(&moved), lines(&file)), (1, 2));
    }

    #[test]
    fn a_file_that_cannot_be_opened_anew_goes_on_where_it_is() {
        let folder = TempDir::new().unwrap();
        let (inner, moved) = (folder.path().join("logs"), folder.path().join("moved"));
        fs::create_dir(&inner).unwrap();
        let (log, writer) = AccessLog::start(&settings(&inner.join("access.log")), stats()).unwrap();
        fs::rename(&inner, &moved).unwrap();
        log.reopen();
        log.record(Box::new(record()));
        writer.finish();
        assert_eq!(fs::read_to_string(moved.join("access.log")).unwrap().lines().count(), 1);
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
        let out = Box::new(Blocked(gate));
        let (log, _writer) = AccessLog::write_to(out, &settings(Path::new("unused")), stats.clone()).unwrap();
        let sent = 2 * QUEUE + BUFFER;
        (0..sent).for_each(|_| log.record(Box::default()));
        let lost = stats.log_lines_dropped.load(Relaxed);
        assert!(lost > 0 && lost < sent as u64, "{lost}");
        drop(go);
    }

    #[test]
    fn a_full_disk_is_survived_and_counted() {
        let stats = stats();
        let (log, writer) = AccessLog::start(&settings(Path::new("/dev/full")), stats.clone()).unwrap();
        let long = Box::new(Record { path: "x".repeat(BUFFER), ..Record::default() });
        (0..3).for_each(|_| log.record(long.clone()));
        writer.finish();
        assert_eq!(stats.log_lines_dropped.load(Relaxed), 3);
    }
}
