//! Headers that change on their way through a proxy (U3, RFC 9110, 7.6).
//!
//! Fields of one hop are stripped first and ours are set afterwards, so no `Connection: host` or
//! `Connection: x-forwarded-for` of a client removes what the upstream relies on. `Host`, `Trailer`
//! and everything of the message itself stay as they are.

use std::net::IpAddr;

use bytes::{BufMut, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, Entry, HOST, TE, TRAILER, UPGRADE, VIA};
use http::{HeaderMap, HeaderName, HeaderValue, Version};
use smallvec::SmallVec;

use super::origin;

pub(super) static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Fields that `Connection` cannot strip: without them the message is routed, framed or traced wrongly.
static PROTECTED: [HeaderName; 7] = [
    HOST,
    CONTENT_LENGTH,
    TRAILER,
    VIA,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-forwarded-host"),
];

/// How many fields a request gets at most, so that the map grows once.
const ADDED: usize = 6;

/// What a downstream connection adds to each of its requests; made once per connection.
#[derive(Debug, Clone)]
pub struct Downstream {
    address: HeaderValue,
    scheme: &'static str,
    trusted: bool,
}

impl Downstream {
    /// For a client at this address, over TLS or not; `trusted`: it is a proxy that says whose requests these are.
    #[must_use]
    pub fn new(client: IpAddr, tls: bool, trusted: bool) -> Self {
        // An address has no character that a header value must not have, so the empty value never shows.
        let address = HeaderValue::try_from(client.to_canonical().to_string());
        let scheme = if tls { "https" } else { "http" };
        Self { address: address.unwrap_or_else(|_| HeaderValue::from_static("")), scheme, trusted }
    }

    /// `http` or `https`.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        self.scheme
    }

    /// Whether it is a proxy that says whose requests these are.
    #[must_use]
    pub fn is_trusted(&self) -> bool {
        self.trusted
    }
}

/// What becomes of the fields that ask for, or grant, another protocol on this connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upgrade {
    /// They pass.
    Pass,
    /// They are stripped like every field of one hop.
    Strip,
}

impl Upgrade {
    /// What the headers of a request ask for. An upgrade to HTTP/2 never passes: what then went through
    /// the tunnel would be requests that nobody matched.
    #[must_use]
    pub fn asked_by(headers: &HeaderMap) -> Self {
        let Some(protocol) = headers.get(UPGRADE) else { return Self::Strip };
        let http2 = tokens(protocol).any(|token| token.eq_ignore_ascii_case("h2c"));
        let mut options = headers.get_all(CONNECTION).iter().flat_map(tokens);
        if !http2 && options.any(|option| option.eq_ignore_ascii_case("upgrade")) { Self::Pass } else { Self::Strip }
    }
}

/// Makes a client's headers those of the request to the upstream. `version` is the client's.
pub fn prepare_request(headers: &mut HeaderMap, downstream: &Downstream, version: Version, upgrade: Upgrade) {
    headers.reserve(ADDED);
    let found = hop_by_hop(headers);
    let trailers = found.contains(&TE)
        && headers.get_all(TE).iter().flat_map(tokens).any(|te| te.eq_ignore_ascii_case("trailers"));
    strip(headers, found, upgrade);
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.append(CONNECTION, HeaderValue::from_static("te"));
    }
    append_forwarded_for(headers, &downstream.address);
    set_forwarded(headers, downstream);
    headers.append(VIA, via(version));
}

/// Makes an upstream's headers those of the response to the client. `version` is the upstream's.
pub fn prepare_response(headers: &mut HeaderMap, version: Version, upgrade: Upgrade) {
    let found = hop_by_hop(headers);
    strip(headers, found, upgrade);
    headers.append(VIA, via(version));
}

/// Names of fields. Seldom more than these.
type Names = SmallVec<[HeaderName; 4]>;

/// The fields of one hop that are there. One pass without hashing: looking each of the names up costs 2,800 instructions a
/// request.
fn hop_by_hop(headers: &HeaderMap) -> Names {
    headers.keys().filter(|name| is_hop_by_hop(name.as_str())).cloned().collect()
}

/// Strips these, and what `Connection` names.
fn strip(headers: &mut HeaderMap, found: Names, upgrade: Upgrade) {
    if found.is_empty() {
        return;
    }
    let protocol = (upgrade == Upgrade::Pass).then(|| headers.get(UPGRADE).cloned()).flatten();
    if found.contains(&CONNECTION) {
        strip_named_by_connection(headers);
    }
    for name in found {
        headers.remove(name);
    }
    if let Some(protocol) = protocol {
        headers.insert(UPGRADE, protocol);
        headers.append(CONNECTION, HeaderValue::from_static("upgrade"));
    }
}

/// Fields of one hop besides those that `Connection` names. By length first: most names have one that none of these has.
fn is_hop_by_hop(name: &str) -> bool {
    match name.len() {
        2 => name == "te",
        7 => name == "upgrade",
        10 => name == "connection" || name == "keep-alive",
        16 => name == "proxy-connection",
        17 => name == "transfer-encoding",
        18 => name == "proxy-authenticate",
        19 => name == "proxy-authorization",
        _ => false,
    }
}

fn strip_named_by_connection(headers: &mut HeaderMap) {
    if headers.get_all(CONNECTION).iter().all(names_no_field) {
        return;
    }
    // Cloned (a counter goes up) as the names are read while the map changes.
    let connection: SmallVec<[HeaderValue; 2]> = headers.get_all(CONNECTION).iter().cloned().collect();
    let options = connection.iter().flat_map(tokens);
    for name in options.filter_map(|option| HeaderName::from_bytes(option.as_bytes()).ok()) {
        if !is_hop_by_hop(name.as_str()) && !PROTECTED.contains(&name) {
            headers.remove(name);
        }
    }
}

/// What most values of `Connection` say, and no more.
fn names_no_field(options: &HeaderValue) -> bool {
    let usual: [&[u8]; 2] = [b"keep-alive", b"close"];
    usual.iter().any(|word| options.as_bytes().eq_ignore_ascii_case(word))
}

/// The members of a list such as `Connection`; a value with bytes outside ASCII has none.
pub(super) fn tokens(value: &HeaderValue) -> impl Iterator<Item = &str> {
    let list = value.to_str().unwrap_or_default();
    list.split(',').map(str::trim_ascii).filter(|token| !token.is_empty())
}

/// What a trusted proxy says of the client's own request stays.
fn set_forwarded(headers: &mut HeaderMap, downstream: &Downstream) {
    if !downstream.trusted || origin::told_scheme(headers).is_none() {
        headers.insert(&X_FORWARDED_PROTO, HeaderValue::from_static(downstream.scheme));
    }
    if downstream.trusted && headers.contains_key(&X_FORWARDED_HOST) {
        return;
    }
    match headers.get(HOST).cloned() {
        Some(host) => headers.insert(&X_FORWARDED_HOST, host),
        None => headers.remove(&X_FORWARDED_HOST),
    };
}

fn append_forwarded_for(headers: &mut HeaderMap, client: &HeaderValue) {
    match headers.entry(&X_FORWARDED_FOR) {
        Entry::Vacant(none) => drop(none.insert(client.clone())),
        Entry::Occupied(mut so_far) => {
            let list = joined(so_far.iter().chain([client]));
            so_far.insert(list.unwrap_or_else(|| client.clone()));
        }
    }
}

/// All members of a list in one header, `None` if that is no legal one.
pub(super) fn joined<'h>(members: impl Iterator<Item = &'h HeaderValue>) -> Option<HeaderValue> {
    let mut list = BytesMut::new();
    for member in members.filter(|member| !member.is_empty()) {
        if !list.is_empty() {
            list.put_slice(b", ");
        }
        list.put_slice(member.as_bytes());
    }
    HeaderValue::from_maybe_shared(list.freeze()).ok()
}

fn via(version: Version) -> HeaderValue {
    HeaderValue::from_static(match version {
        Version::HTTP_09 | Version::HTTP_10 => "1.0 weir",
        Version::HTTP_2 => "2 weir",
        Version::HTTP_3 => "3 weir",
        _ => "1.1 weir",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    fn request(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        request_of(fields, false)
    }

    fn request_of(fields: &[(&'static str, &'static str)], trusted: bool) -> HeaderMap {
        let mut headers = headers(fields);
        let upgrade = Upgrade::asked_by(&headers);
        let downstream = Downstream::new([192, 0, 2, 1].into(), false, trusted);
        prepare_request(&mut headers, &downstream, Version::HTTP_11, upgrade);
        headers
    }

    fn all<'h>(headers: &'h HeaderMap, name: &str) -> Vec<&'h str> {
        headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
    }

    #[test]
    fn u3_forwarding_headers_of_a_plain_request() {
        let headers = request(&[("host", "shop.example.com:8080"), ("accept", "*/*")]);
        assert_eq!(all(&headers, "x-forwarded-for"), ["192.0.2.1"]);
        assert_eq!(all(&headers, "x-forwarded-proto"), ["http"]);
        assert_eq!(all(&headers, "x-forwarded-host"), ["shop.example.com:8080"]);
        assert_eq!(all(&headers, "via"), ["1.1 weir"]);
        assert_eq!(all(&headers, "host"), ["shop.example.com:8080"]);
        assert_eq!(all(&headers, "accept"), ["*/*"]);
    }

    #[test]
    fn u3_forwarded_for_is_appended_in_one_header() {
        let headers = request(&[("x-forwarded-for", "a, b"), ("x-forwarded-for", ""), ("x-forwarded-for", "c")]);
        assert_eq!(all(&headers, "x-forwarded-for"), ["a, b, c, 192.0.2.1"]);
    }

    #[test]
    fn u3_forwarded_proto_and_host_are_overwritten() {
        let sent =
            [("host", "a"), ("x-forwarded-proto", "https"), ("x-forwarded-proto", "x"), ("x-forwarded-host", "b")];
        let headers = request(&sent);
        assert_eq!(all(&headers, "x-forwarded-proto"), ["http"]);
        assert_eq!(all(&headers, "x-forwarded-host"), ["a"]);
        assert!(all(&request(&[("x-forwarded-host", "b")]), "x-forwarded-host").is_empty());
    }

    #[test]
    fn u3_forwarded_proto_and_host_of_a_trusted_proxy_stay() {
        let sent = [("host", "a"), ("x-forwarded-proto", "https"), ("x-forwarded-host", "b"), ("x-forwarded-for", "c")];
        let headers = request_of(&sent, true);
        assert_eq!(all(&headers, "x-forwarded-proto"), ["https"]);
        assert_eq!(all(&headers, "x-forwarded-host"), ["b"]);
        assert_eq!(all(&headers, "x-forwarded-for"), ["c, 192.0.2.1"]);
        let headers = request_of(&[("host", "a"), ("x-forwarded-proto", "ftp")], true);
        assert_eq!((all(&headers, "x-forwarded-proto"), all(&headers, "x-forwarded-host")), (vec!["http"], vec!["a"]));
    }

    #[test]
    fn u3_addresses_are_written_in_their_own_family() {
        let address = |client: &str| Downstream::new(client.parse().unwrap(), true, false).address;
        assert_eq!(address("::ffff:192.0.2.1"), "192.0.2.1");
        assert_eq!(address("2001:db8::1"), "2001:db8::1");
        assert_eq!(Downstream::new([127, 0, 0, 1].into(), true, false).scheme(), "https");
    }

    #[test]
    fn u3_via_is_added_with_the_version_received() {
        assert_eq!(all(&request(&[("via", "1.0 fred")]), "via"), ["1.0 fred", "1.1 weir"]);
        let mut response = headers(&[]);
        prepare_response(&mut response, Version::HTTP_10, Upgrade::Strip);
        assert_eq!(all(&response, "via"), ["1.0 weir"]);
    }

    #[test]
    fn u3_hop_by_hop_headers_never_pass() {
        let names = ["keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization", "te", "upgrade"];
        for name in names.into_iter().chain(["transfer-encoding", "connection"]) {
            assert!(!request(&[(name, "x")]).contains_key(name), "{name} in a request");
            let mut response = headers(&[(name, "x"), (name, "trailers")]);
            prepare_response(&mut response, Version::HTTP_11, Upgrade::Strip);
            assert!(!response.contains_key(name), "{name} in a response");
        }
    }

    #[test]
    fn u3_fields_named_by_connection_never_pass() {
        let headers =
            request(&[("connection", "close, X-One"), ("connection", ",x-two ,"), ("x-one", "1"), ("x-two", "2")]);
        assert!(!["connection", "x-one", "x-two"].iter().any(|name| headers.contains_key(*name)));
    }

    #[test]
    fn u3_connection_cannot_strip_what_the_upstream_relies_on() {
        let named = "host, content-length, trailer, via, x-forwarded-for, x-forwarded-proto, X-Forwarded-Host";
        let sent = [("host", "a"), ("content-length", "1"), ("trailer", "t"), ("x-forwarded-for", "b")];
        let headers = request(&[&sent[..], &[("connection", named)]].concat());
        assert_eq!(all(&headers, "x-forwarded-for"), ["b, 192.0.2.1"]);
        for name in ["host", "content-length", "trailer", "via", "x-forwarded-proto", "x-forwarded-host"] {
            assert!(headers.contains_key(name), "{name}");
        }
    }

    #[test]
    fn u3_a_connection_header_outside_ascii_is_stripped_alone() {
        let mut headers = headers(&[("host", "a")]);
        headers.insert(CONNECTION, HeaderValue::from_bytes(b"host\xff").unwrap());
        let found = hop_by_hop(&headers);
        strip(&mut headers, found, Upgrade::Strip);
        assert_eq!(headers.len(), 1);
    }

    #[test]
    fn u3_trailers_pass() {
        let headers = request(&[("te", "gzip, Trailers"), ("trailer", "x-sum")]);
        assert_eq!(all(&headers, "te"), ["trailers"]);
        assert_eq!(all(&headers, "connection"), ["te"]);
        assert_eq!(all(&headers, "trailer"), ["x-sum"]);
    }

    #[test]
    fn u3_upgrades_pass_if_connection_names_them() {
        let headers = request(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")]);
        assert_eq!(all(&headers, "connection"), ["upgrade"]);
        assert_eq!(all(&headers, "upgrade"), ["websocket"]);
        assert!(!request(&[("upgrade", "websocket")]).contains_key("upgrade"));
        assert!(!request(&[("connection", "upgrade")]).contains_key("connection"));
    }

    #[test]
    fn u3_upgrades_to_http2_do_not_pass() {
        let headers = request(&[
            ("connection", "upgrade, http2-settings"),
            ("upgrade", "websocket, h2c"),
            ("http2-settings", "AAMAAABkAARAAAAAAAIAAAAA"),
        ]);
        assert!(!["connection", "upgrade", "http2-settings"].iter().any(|name| headers.contains_key(*name)));
    }

    #[test]
    fn u3_a_granted_upgrade_passes_back() {
        let mut response = headers(&[("connection", "Upgrade"), ("upgrade", "websocket")]);
        prepare_response(&mut response, Version::HTTP_11, Upgrade::Pass);
        assert_eq!((all(&response, "connection"), all(&response, "upgrade")), (vec!["upgrade"], vec!["websocket"]));
    }
}
