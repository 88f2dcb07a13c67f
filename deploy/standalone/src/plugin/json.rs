//! What `weir plugin test` shows to programs. Times are in seconds.

use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};
use weir_data_plane::plugin::Halt;
use weir_data_plane::plugin::rehearsal::{Answer, Call, Run};
use weir_data_plane::plugin::stats::Hook;

use super::report::Report;
use super::totals::Calls;

/// The whole report.
pub(super) fn report(report: &Report) -> Value {
    let Report { title, first, totals, failures } = report;
    json!({
        "request": title,
        "first": first.as_ref().map(run),
        "failures": failures.iter().map(call).collect::<Vec<_>>(),
        "runs": totals.runs,
        "calls": totals.calls.iter().map(|(plugin, hook, sums)| calls(plugin, *hook, sums)).collect::<Vec<_>>(),
        "servers": totals.servers,
        "failed": report.has_failed(),
    })
}

fn run(run: &Run) -> Value {
    let Run { calls, server, halt } = run;
    let calls: Vec<Value> = calls.iter().map(call).collect();
    json!({"calls": calls, "server": server, "answer": halt.as_deref().map(answer_of)})
}

fn call(call: &Call) -> Value {
    let Call { plugin, hook, took, answer, changes, lines, .. } = call;
    let mut value = json!({
        "plugin": &**plugin,
        "hook": hook.as_str(),
        "seconds": took.as_secs_f64(),
        "changes": changes.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "log": lines,
    });
    match answer {
        Answer::GoesOn => {}
        Answer::Halts(halt) => value["answer"] = answer_of(halt),
        Answer::Keeps { kept, .. } => value["kept"] = json!(kept),
        Answer::Fails(failure) => value["failure"] = json!({"reason": failure.cause.as_str(), "text": failure.text}),
        Answer::Stopped => value["failure"] = json!({"reason": "stopped", "text": ""}),
    }
    value
}

fn answer_of(halt: &Halt) -> Value {
    let Halt { status, headers, body, plugin: _ } = halt;
    json!({"status": status.as_u16(), "headers": fields(headers), "body": String::from_utf8_lossy(body)})
}

fn fields(headers: &HeaderMap) -> Vec<Value> {
    headers.iter().map(|(name, value)| json!([name.as_str(), text(value)])).collect()
}

/// The value of a header, as far as it is text.
pub(super) fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

fn calls(plugin: &str, hook: Hook, sums: &Calls) -> Value {
    json!({
        "plugin": plugin,
        "hook": hook.as_str(),
        "calls": sums.number,
        "halts": sums.halted,
        "failures": sums.failed,
        "meanSeconds": sums.mean().as_secs_f64(),
        "slowestSeconds": sums.slowest.as_secs_f64(),
    })
}
