//! What plugins change of a request and its response.

use std::fmt;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use weir_proto::model::plugin::header;

use super::Failure;
use crate::http::compress::Compression;

/// A change of one field of a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderChange {
    /// In place of all of this name.
    Set(HeaderName, HeaderValue),
    /// Besides those of this name.
    Add(HeaderName, HeaderValue),
    /// None of this name any more.
    Remove(HeaderName),
}

impl HeaderChange {
    /// Makes the change.
    pub fn apply(self, headers: &mut HeaderMap) {
        match self {
            Self::Set(name, value) => drop(headers.insert(name, value)),
            Self::Add(name, value) => drop(headers.append(name, value)),
            Self::Remove(name) => drop(headers.remove(name)),
        }
    }
}

/// One change. Those of the request are seen by the plugins that follow and by the upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Of the request's header.
    Request(HeaderChange),
    /// Of the response's header, once there is one.
    Response(HeaderChange),
    /// Path and query.
    Target(PathAndQuery),
    /// The response's body is compressed, if client and upstream let it.
    Compress(Compression),
}

impl fmt::Display for HeaderChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        match self {
            Self::Set(name, value) => write!(f, "set {name}: {}", text(value)),
            Self::Add(name, value) => write!(f, "add {name}: {}", text(value)),
            Self::Remove(name) => write!(f, "remove {name}"),
        }
    }
}

/// Such as `request: set x-user: eve`.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(change) => write!(f, "request: {change}"),
            Self::Response(change) => write!(f, "response: {change}"),
            Self::Target(target) => write!(f, "request: target {target}"),
            Self::Compress(_) => f.write_str("response: compressed if it may be"),
        }
    }
}

/// What one hook changes, in order.
pub type Changes = Vec<Change>;

/// Adds a change. Most hooks make one: the first gets memory for itself alone, a vector would take four times as much.
pub fn push(changes: &mut Changes, change: Change) {
    if changes.is_empty() {
        changes.reserve_exact(1);
    }
    changes.push(change);
}

/// These changes, after all fields of these names are taken out, and those that only differ in having `_` for `-`:
/// behind CGI and its likes both are one.
#[must_use]
pub fn after_taking_out(names: &[HeaderName], headers: &HeaderMap, changes: Changes) -> Changes {
    if names.is_empty() {
        return changes;
    }
    let is_named = |field: &&HeaderName| names.iter().any(|name| is_same_in_cgi(name, field));
    let fields = headers.keys().filter(is_named).cloned();
    // Those that are not there, too: the changes are made again where plugins before have set them.
    let all = names.iter().cloned().chain(fields.filter(|field| !names.contains(field)));
    all.map(|name| Change::Request(HeaderChange::Remove(name))).chain(changes).collect()
}

fn is_same_in_cgi(a: &HeaderName, b: &HeaderName) -> bool {
    let folded = |byte: u8| if byte == b'_' { b'-' } else { byte };
    a.as_str().bytes().map(folded).eq(b.as_str().bytes().map(folded))
}

/// The name of a header that plugins may change: not one that frames messages or belongs to the connection.
///
/// # Errors
/// If it is no legal name, or Weir's own business.
pub fn header_name(name: &str) -> Result<HeaderName, Failure> {
    header::changeable(name).map_err(Failure::bad_answer)
}

/// A legal value of a header: nothing that could begin another one.
///
/// # Errors
/// If it is none.
pub fn header_value(name: &HeaderName, value: impl Into<Bytes>) -> Result<HeaderValue, Failure> {
    HeaderValue::from_maybe_shared(value.into())
        .map_err(|_| Failure::bad_answer(format!("the value of {name} has characters that no header may have")))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn what_is_no_header_or_frames_messages_is_refused() {
        for name in ["", "a b", "x\r\ny", "Content-Length", "transfer-encoding", "Connection", "keep-alive", "ü"] {
            assert!(header_name(name).is_err(), "{name}");
        }
        let name = header_name("X-User").unwrap();
        for value in ["a\r\nset-cookie: b", "a\nb", "\0", "a\rb"] {
            assert!(header_value(&name, value).is_err(), "{value:?}");
        }
        assert_eq!(header_value(&name, "ü").unwrap().as_bytes(), "ü".as_bytes());
    }

    #[test]
    fn p4_what_upstreams_could_take_for_a_plugins_own_header_is_taken_out() {
        let names = [HeaderName::from_static("x-user-id"), HeaderName::from_static("x-absent")];
        let sent = ["x-user-id", "x_user_id", "x-user_id", "x-user", "x-user-id2"].map(HeaderName::from_static);
        let mut headers: HeaderMap = sent.map(|name| (name, HeaderValue::from_static("1"))).into_iter().collect();
        let set = HeaderChange::Set(names[0].clone(), HeaderValue::from_static("2"));
        let changes = after_taking_out(&names, &headers, [Change::Request(set)].into());
        assert!(changes.contains(&Change::Request(HeaderChange::Remove(names[1].clone()))));
        for change in changes {
            let Change::Request(change) = change else { panic!("{change:?}") };
            change.apply(&mut headers);
        }
        let expected = ["x-user", "x-user-id", "x-user-id2"];
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<BTreeSet<_>>(), expected.into());
        assert_eq!(headers["x-user-id"], "2");
    }

    #[test]
    fn changes_set_add_and_remove() {
        let mut headers = HeaderMap::new();
        let (name, value) = (HeaderName::from_static("x"), HeaderValue::from_static);
        HeaderChange::Add(name.clone(), value("1")).apply(&mut headers);
        HeaderChange::Add(name.clone(), value("2")).apply(&mut headers);
        assert_eq!(headers.get_all("x").iter().count(), 2);
        HeaderChange::Set(name.clone(), value("3")).apply(&mut headers);
        assert_eq!(headers.get_all("x").iter().collect::<Vec<_>>(), ["3"]);
        HeaderChange::Remove(name).apply(&mut headers);
        assert!(headers.is_empty());
    }
}
