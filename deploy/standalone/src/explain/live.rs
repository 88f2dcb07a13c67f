//! Requests as they are answered, one a line.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Context;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::signal::ctrl_c;
use weir_data_plane::explain::live::{LiveRecord, Try};

use super::{ExplainArgs, Only, ask, refused};
use crate::ink::{Ink, Tone};

/// Shows them until there were enough, or ctrl-c.
pub(super) async fn run(args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    let request = Request::get(args.admin.path(&page(args))).body(String::new())?;
    let response = ask(&args.admin, request).await?;
    let status = response.status();
    let mut body = response.into_body();
    if status != StatusCode::OK {
        return refused(&args.admin, status, &body.collect().await?.to_bytes());
    }
    let mut text = Vec::new();
    loop {
        let frame = tokio::select! {
            biased;
            _ = ctrl_c() => break,
            frame = body.frame() => frame,
        };
        let Some(frame) = frame else { break };
        let data = frame.with_context(|| format!("{}: the proxy has ended", args.admin))?.into_data();
        text.extend_from_slice(&data.unwrap_or_default());
        show(&mut text, args.json)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn page(args: &ExplainArgs) -> String {
    let pool = args.pool.as_ref().map(|pool| format!("pool={pool}"));
    let only = args.only.map(|Only::Errors| "only=errors".to_owned());
    let sample = args.sample.map(|share| format!("sample={share}"));
    let count = args.count.map(|count| format!("count={count}"));
    let query: Vec<String> = [pool, only, sample, count].into_iter().flatten().collect();
    format!("/api/v1/explain/live?{}", query.join("&"))
}

/// Shows whole lines, and leaves the rest.
fn show(text: &mut Vec<u8>, json: bool) -> anyhow::Result<()> {
    let (mut out, ink) = (io::stdout().lock(), Ink::of(&io::stdout()));
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |place| place + 1);
    let lines: Bytes = text.drain(..whole).collect::<Vec<u8>>().into();
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        match json {
            true => out.write_all(line)?,
            false => out.write_all(words(line, ink)?.as_bytes())?,
        }
        writeln!(out)?;
    }
    Ok(out.flush()?)
}

fn words(line: &[u8], ink: Ink) -> anyhow::Result<String> {
    let value: Value = serde_json::from_slice(line).context("the proxy says no JSON")?;
    if let Some(lost) = value["lost"].as_u64() {
        return Ok(ink.paint(&format!("{lost} more, which came too fast"), Tone::Careful));
    }
    let record: LiveRecord = serde_json::from_value(value).context("the proxy is of another version")?;
    let tone = match record.status {
        500.. => Tone::Bad,
        _ if record.reason.is_some() => Tone::Careful,
        _ => Tone::Good,
    };
    Ok(format!("{} {} {}", record.time, ink.paint(&record.status.to_string(), tone), way(&record)))
}

/// What was asked, who was tried, and who has answered.
fn way(record: &LiveRecord) -> String {
    let LiveRecord { method, host, path, client, listener, tries, pool, duration, .. } = record;
    let failed = |Try { backend, address, reason }: &Try| format!("{backend} {address} ({reason}), then ");
    let tries: String = tries.iter().map(failed).collect();
    let of = pool.as_ref().map_or(String::new(), |pool| format!(" of {pool}"));
    let rule = record.rule.as_ref().map_or(String::new(), |rule| format!(", by {rule}"));
    let milliseconds = duration * 1e3;
    format!(
        "{method} {host}{path} from {client} at {listener}: {tries}{}{of}{rule}, in {milliseconds:.1} ms",
        who(record)
    )
}

fn who(record: &LiveRecord) -> String {
    let LiveRecord { backend, address, halted_by, reason, .. } = record;
    match (backend, address, halted_by) {
        (Some(backend), Some(address), _) => format!("{backend} {address}"),
        (_, _, Some(plugin)) => format!("halted by {plugin}"),
        _ => reason.clone().unwrap_or_else(|| "answered here".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(change: impl FnOnce(&mut Value)) -> String {
        let mut value = serde_json::json!({
            "time": "2026-11-22T03:00:00.000Z", "request": "0-1", "method": "GET", "host": "a.example", "path": "/api",
            "client": "10.0.0.9:4711", "listener": "http", "rule": "* Prefix \"/\"", "pool": "shop/web", "tries": [],
            "haltedBy": null, "backend": null, "address": null, "status": 503, "reason": "no_backend",
            "duration": 0.001_25, "upstreamDuration": null,
        });
        change(&mut value);
        words(value.to_string().as_bytes(), Ink::Plain).unwrap()
    }

    #[test]
    fn a_line_says_who_was_tried_and_who_has_answered() {
        let head = "2026-11-22T03:00:00.000Z";
        let what = "GET a.example/api from 10.0.0.9:4711 at http";
        let rest = "of shop/web, by * Prefix \"/\", in 1.2 ms";
        assert_eq!(line(|_| ()), format!("{head} 503 {what}: no_backend {rest}"));
        let tried = line(|value| {
            value["tries"] = serde_json::json!([{"backend": "web-1", "address": "10.0.0.1:80", "reason": "reset"}]);
            (value["backend"], value["address"]) = ("web-2".into(), "10.0.0.2:80".into());
            value["status"] = 200.into();
        });
        let tries = "web-1 10.0.0.1:80 (reset), then web-2 10.0.0.2:80";
        assert_eq!(tried, format!("{head} 200 {what}: {tries} {rest}"));
        let halted = line(|value| value["haltedBy"] = "shop/limits".into());
        assert_eq!(halted, format!("{head} 503 {what}: halted by shop/limits {rest}"));
        assert_eq!(words(br#"{"lost": 3}"#, Ink::Plain).unwrap(), "3 more, which came too fast");
    }
}
