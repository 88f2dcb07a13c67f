//! An explanation for people.

use std::fmt::Write as _;

use weir_data_plane::explain::Explanation;
use weir_data_plane::explain::answer::{
    Answer, CandidateSeen, Choice, Missed, Outcome, PluginCall, PoolSeen, Queued, RuleSeen, Said, Seen,
};

use crate::ink::{Ink, Tone};

/// One line of the tree, with those below it.
struct Branch {
    text: String,
    tone: Tone,
    below: Vec<Self>,
}

impl Branch {
    fn new(text: impl Into<String>, tone: Tone) -> Self {
        Self { text: text.into(), tone, below: Vec::new() }
    }

    fn with(self, below: impl IntoIterator<Item = Self>) -> Self {
        Self { below: below.into_iter().collect(), ..self }
    }

    fn write(&self, out: &mut String, ink: Ink, indent: &str) {
        for (place, branch) in self.below.iter().enumerate() {
            let is_last = place + 1 == self.below.len();
            let (knot, rest) = if is_last { ("`- ", "   ") } else { ("|- ", "|  ") };
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{indent}{knot}{}", ink.paint(&branch.text, branch.tone));
            branch.write(out, ink, &format!("{indent}{rest}"));
        }
    }
}

/// The explanation as a tree, and the end of it as the last line.
pub(super) fn render(explanation: &Explanation, ink: Ink) -> String {
    let Explanation { request, rules, chain, plugins, candidates, choice, answer, queued, certain, supposed } =
        explanation;
    let sections = [
        Branch::new("rules", Tone::Title).with(rules.iter().map(rule)),
        Branch::new("chain", Tone::Title).with(chain.iter().map(pool)),
        Branch::new("plugins", Tone::Title).with(plugins.iter().map(call)),
        Branch::new("candidates", Tone::Title).with(candidates.iter().map(candidate)),
        Branch::new("supposed", Tone::Title).with(supposed.iter().map(|text| Branch::new(text, Tone::Careful))),
    ];
    let root = Branch::new("", Tone::Plain).with(sections.into_iter().filter(|section| !section.below.is_empty()));
    let mut out = ink.paint(&title(request), Tone::Title) + "\n";
    root.write(&mut out, ink, "");
    let (text, tone) = end(choice.as_ref(), answer.as_ref(), queued.as_ref());
    let doubt = if *certain { "" } else { ", most likely" };
    let _ = writeln!(out, "{}", ink.paint(&format!("{text}{doubt}"), tone));
    out
}

fn title(seen: &Seen) -> String {
    let Seen { method, scheme, host, path, query, client, listener } = seen;
    let query = query.as_ref().map_or(String::new(), |query| format!("?{query}"));
    format!("{method} {scheme}://{host}{path}{query} from {client} by the listener {listener}")
}

fn rule(seen: &RuleSeen) -> Branch {
    let RuleSeen { rule, pools, matched, misses } = seen;
    let (word, tone) = if *matched { ("matches", Tone::Good) } else { ("no match", Tone::Off) };
    let below = misses.iter().map(|miss| Branch::new(missed(miss), Tone::Careful));
    Branch::new(format!("{rule} ({}): {word}", pools.join(", ")), tone).with(below)
}

fn missed(miss: &Missed) -> String {
    let Missed { condition, name, expected, found } = miss;
    let name = name.as_ref().map_or(String::new(), |name| format!(" {name}"));
    match (condition.as_str(), found) {
        ("order", _) => format!("it holds, but {expected} goes before it"),
        (_, Some(found)) => format!("{condition}{name}: {expected} is wanted, but there is {found:?}"),
        (_, None) => format!("{condition}{name}: {expected} is wanted, but there is none"),
    }
}

fn pool(seen: &PoolSeen) -> Branch {
    let PoolSeen { pool, priority, weight, outcome, reason } = seen;
    let (word, tone) = match outcome {
        Outcome::Taken => ("taken".to_owned(), Tone::Good),
        Outcome::Passed => (format!("passed over: {reason}"), Tone::Careful),
        Outcome::NotReached => ("not reached".to_owned(), Tone::Off),
    };
    Branch::new(format!("{pool} (priority {priority}, weight {weight}): {word}"), tone)
}

fn call(call: &PluginCall) -> Branch {
    let PluginCall { pool, plugin, hook, answer, changes, log } = call;
    let (word, tone) = said(answer);
    let below = changes.iter().cloned().chain(log.iter().map(|line| format!("says: {line}")));
    Branch::new(format!("{plugin} {hook} in {pool}: {word}"), tone)
        .with(below.map(|text| Branch::new(text, Tone::Plain)))
}

fn said(answer: &Said) -> (String, Tone) {
    match answer {
        Said::Continued => ("continues".to_owned(), Tone::Plain),
        Said::Halted { status, headers: _ } => (format!("halts with {status}"), Tone::Bad),
        Said::Kept { kept, of } if kept.len() == *of => (format!("keeps all {of}"), Tone::Plain),
        Said::Kept { kept, of } => (format!("keeps {} of {of}: {}", kept.len(), kept.join(", ")), Tone::Careful),
        Said::Failed { reason, text } => (format!("FAILS ({reason}): {text}"), Tone::Bad),
    }
}

fn candidate(seen: &CandidateSeen) -> Branch {
    let CandidateSeen { pool, backend, address, share, reason, detail, .. } = seen;
    let share = if (0.000_1..0.999_9).contains(share) { format!(" ({:.1}%)", share * 100.0) } else { String::new() };
    let tone = match reason.as_str() {
        "chosen" => Tone::Good,
        "possible" => Tone::Plain,
        "down" | "ejected" | "full" => Tone::Bad,
        _ => Tone::Off,
    };
    Branch::new(format!("{backend} {address} of {pool}: {detail}{share}"), tone)
}

fn end(choice: Option<&Choice>, answer: Option<&Answer>, queued: Option<&Queued>) -> (String, Tone) {
    if let Some(Choice { pool, backend, address, method: _ }) = choice {
        return (format!("goes to {backend} {address} of {pool}"), Tone::Good);
    }
    if let Some(Answer { status, reason, detail, pool: _, plugin, location }) = answer {
        let reason = reason.as_ref().map_or(String::new(), |reason| format!(" {reason}"));
        let by = plugin.as_ref().map_or(String::new(), |plugin| format!(" of {plugin}"));
        let to = location.as_ref().map_or(String::new(), |location| format!(" to {location}"));
        return (format!("is answered {status}{reason}{by}{to}: {detail}"), Tone::Bad);
    }
    queued.map_or((String::new(), Tone::Plain), |Queued { pool, ahead, limit, timeout }| {
        let limits = format!("of at most {limit}, for at most {timeout} s");
        (format!("waits in the queue of {pool} behind {ahead} {limits}"), Tone::Careful)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explanation() -> Explanation {
        serde_json::from_value(serde_json::json!({
            "request": {"method": "GET", "scheme": "http", "host": "a.example", "path": "/api", "query": "v=2",
                "client": "192.0.2.1", "listener": "http"},
            "rules": [
                {"rule": "* Prefix \"/\"", "pools": ["shop/web"], "matched": true, "misses": []},
                {"rule": "* Prefix \"/\" header \"x\" Present", "pools": ["shop/x"], "matched": false,
                    "misses": [{"condition": "header", "name": "x", "expected": "Present", "found": null}]},
            ],
            "chain": [{"pool": "shop/web", "priority": 0, "weight": 1, "outcome": "taken", "reason": ""}],
            "plugins": [{"pool": "shop/web", "plugin": "shop/p", "hook": "pre", "answer": "continued",
                "changes": ["request: set x-user: eve"], "log": ["hello"]}],
            "candidates": [{"pool": "shop/web", "backend": "web-1", "address": "10.0.0.1:80", "role": "Active",
                "weight": 1, "state": "Up", "inFlight": 0, "capacity": 0, "kept": true, "share": 0.25,
                "reason": "chosen", "detail": "chosen by Random"}],
            "choice": {"pool": "shop/web", "backend": "web-1", "address": "10.0.0.1:80", "method": "Random"},
            "certain": false,
            "supposed": [],
        }))
        .unwrap()
    }

    #[test]
    fn a_tree_says_all_of_it_and_where_the_request_goes_last() {
        let expected = "\
GET http://a.example/api?v=2 from 192.0.2.1 by the listener http
|- rules
|  |- * Prefix \"/\" (shop/web): matches
|  `- * Prefix \"/\" header \"x\" Present (shop/x): no match
|     `- header x: Present is wanted, but there is none
|- chain
|  `- shop/web (priority 0, weight 1): taken
|- plugins
|  `- shop/p pre in shop/web: continues
|     |- request: set x-user: eve
|     `- says: hello
`- candidates
   `- web-1 10.0.0.1:80 of shop/web: chosen by Random (25.0%)
goes to web-1 10.0.0.1:80 of shop/web, most likely
";
        assert_eq!(render(&explanation(), Ink::Plain), expected);
        assert!(render(&explanation(), Ink::Coloured).contains("\u{1b}[32m"));
    }
}
