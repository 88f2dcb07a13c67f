//! The parameters of a request.

use std::borrow::Cow;
use std::time::Duration;

use hyper::Request;
use hyper::header::ACCEPT;
use weir_proto::model::Key;

use super::refusal::Refusal;
use super::selector::Selector;

/// What a row of a table has of its object.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum RowObject {
    None,
    #[default]
    Metadata,
    Object,
}

/// What a client wants to have, and how.
#[derive(Debug, Clone, Default)]
pub(super) struct Query {
    pub(super) watch: bool,
    pub(super) bookmarks: bool,
    /// Whether a watch is to begin with what there is, and say when that is told.
    pub(super) initial_events: bool,
    /// `None` = any.
    pub(super) version: Option<u64>,
    pub(super) timeout: Option<Duration>,
    pub(super) dry_run: bool,
    pub(super) atomic: bool,
    pub(super) selector: Selector,
    /// Whether the answer is to be a table.
    pub(super) as_table: bool,
    pub(super) row_object: RowObject,
}

impl Query {
    pub(super) fn of<B>(request: &Request<B>) -> Result<Self, Refusal> {
        let mut query = Self { as_table: wants_table(request), ..Self::default() };
        for (name, value) in pairs(request.uri().query().unwrap_or_default())? {
            query.set(&name, &value)?;
        }
        Ok(query)
    }

    /// The same for one object.
    pub(super) fn only(mut self, key: &Key) -> Self {
        self.selector.only(key);
        self
    }

    /// What is not known says how to do what this server does in its own way.
    fn set(&mut self, name: &str, value: &str) -> Result<(), Refusal> {
        match name {
            "watch" => self.watch = flag(value),
            "allowWatchBookmarks" => self.bookmarks = flag(value),
            "sendInitialEvents" => self.initial_events = flag(value),
            "atomic" => self.atomic = flag(value),
            "resourceVersion" if value.is_empty() || value == "0" => self.version = None,
            "resourceVersion" => self.version = Some(number(name, value)?),
            "timeoutSeconds" => self.timeout = Some(Duration::from_secs(number(name, value)?)),
            "labelSelector" => self.selector.labels(value)?,
            "fieldSelector" => self.selector.fields(value)?,
            "dryRun" if value == "All" => self.dry_run = true,
            "dryRun" => return Err(Refusal::bad_request(format!("dryRun: {value:?} is not All"))),
            "includeObject" => {
                self.row_object = match value {
                    "None" => RowObject::None,
                    "Object" => RowObject::Object,
                    _ => RowObject::Metadata,
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// The first of the forms that the client takes and there are.
fn wants_table<B>(request: &Request<B>) -> bool {
    let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let forms = accept.split(',').map(|form| form.split(';').map(str::trim).collect::<Vec<_>>());
    let mut ours = forms.filter(|form| matches!(form[0], "application/json" | "*/*" | "application/*"));
    ours.next().is_some_and(|form| form.contains(&"as=Table") && form.contains(&"v=v1"))
}

fn flag(value: &str) -> bool {
    !matches!(value, "false" | "0")
}

fn number(name: &str, value: &str) -> Result<u64, Refusal> {
    value.parse().map_err(|_| Refusal::bad_request(format!("{name}: {value:?} is not a whole number")))
}

fn pairs(query: &str) -> Result<Vec<(String, String)>, Refusal> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((decoded(name)?, decoded(value)?))
    };
    let all: Option<Vec<_>> = pairs.map(pair).collect();
    all.ok_or_else(|| Refusal::bad_request("the query is not percent-encoded UTF-8"))
}

fn decoded(text: &str) -> Option<String> {
    let text: Cow<'_, str> = text.replace('+', " ").into();
    percent_encoding::percent_decode_str(&text).decode_utf8().ok().map(Cow::into_owned)
}
