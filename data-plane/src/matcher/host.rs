//! Hosts: the form in which they compare (M3), and the levels at which rules are looked up (M6).

use std::borrow::Cow;
use std::net::Ipv6Addr;
use std::sync::Arc;

use hashbrown::HashMap;
use weir_proto::model::HostPattern;

/// A `Host` that is none; the request is answered 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the host is no host name or address")]
pub struct BadHost;

/// The longest name that DNS knows. Bounds what a request can make us look up.
const LONGEST: usize = 253;

/// The host of a `Host` header or an authority: lower case, without port and without the dot that ends a
/// fully qualified name. Copied only to change case. The empty host is legal (RFC 9112, 3.2).
///
/// # Errors
/// If it is no host name or address, or its port is no number.
pub fn normalise(authority: &str) -> Result<Cow<'_, str>, BadHost> {
    let host = if authority.starts_with('[') { bracketed(authority)? } else { named(authority)? };
    let has_upper = host.bytes().any(|byte| byte.is_ascii_uppercase());
    Ok(if has_upper { Cow::Owned(host.to_ascii_lowercase()) } else { Cow::Borrowed(host) })
}

fn bracketed(authority: &str) -> Result<&str, BadHost> {
    let end = authority.find(']').ok_or(BadHost)?;
    let (host, port) = authority.split_at(end + 1);
    check_port(port)?;
    host[1..end].parse::<Ipv6Addr>().map_err(|_| BadHost)?;
    Ok(host)
}

fn named(authority: &str) -> Result<&str, BadHost> {
    let colon = memchr::memchr(b':', authority.as_bytes()).unwrap_or(authority.len());
    let (host, port) = authority.split_at(colon);
    check_port(port)?;
    let host = host.strip_suffix('.').unwrap_or(host);
    let legal = host.len() <= LONGEST && host.bytes().all(|byte| LEGAL[usize::from(byte)]);
    let dots = host.as_bytes().windows(2).any(|pair| pair == b"..");
    let empty_label = dots || host.starts_with('.') || host.ends_with('.');
    if legal && !empty_label { Ok(host) } else { Err(BadHost) }
}

/// `port` is empty or begins with a colon; its number may be left out.
fn check_port(port: &str) -> Result<(), BadHost> {
    let digits = port.strip_prefix(':').unwrap_or(port);
    let is_port = port.is_empty() || (port.starts_with(':') && digits.bytes().all(|byte| byte.is_ascii_digit()));
    if is_port { Ok(()) } else { Err(BadHost) }
}

/// By byte. Looked up, as each comparison would be made for each byte of each request's host.
static LEGAL: [bool; 256] = {
    let mut legal = [false; 256];
    let mut byte = 0;
    while byte < u8::MAX {
        legal[byte as usize] = is_legal(byte);
        byte += 1;
    }
    legal
};

/// The characters of a registered name (RFC 3986, 3.2.2).
const fn is_legal(byte: u8) -> bool {
    matches!(byte,
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'%' | b'!' | b'$' | b'&' | b'\'' | b'('
        | b')' | b'*' | b'+' | b',' | b';' | b'=')
}

/// Values by host pattern; `None` is every host. A copy shares the texts.
#[derive(Debug, Clone)]
pub(crate) struct HostMap<T> {
    exact: HashMap<Arc<str>, T>,
    /// By the suffix after `*.`.
    wildcard: HashMap<Arc<str>, T>,
    any: Option<T>,
}

impl<T> Default for HostMap<T> {
    fn default() -> Self {
        Self { exact: HashMap::new(), wildcard: HashMap::new(), any: None }
    }
}

impl<T> HostMap<T> {
    pub(crate) fn insert(&mut self, host: Option<&HostPattern>, value: T) {
        match host {
            Some(HostPattern::Exact(host)) => drop(self.exact.insert(host.as_str().into(), value)),
            Some(HostPattern::Wildcard(suffix)) => drop(self.wildcard.insert(suffix.as_str().into(), value)),
            None => self.any = Some(value),
        }
    }

    pub(super) fn remove(&mut self, host: Option<&HostPattern>) {
        match host {
            Some(HostPattern::Exact(host)) => drop(self.exact.remove(host.as_str())),
            Some(HostPattern::Wildcard(suffix)) => drop(self.wildcard.remove(suffix.as_str())),
            None => self.any = None,
        }
    }

    /// The value of this very pattern.
    pub(crate) fn get(&self, host: Option<&HostPattern>) -> Option<&T> {
        match host {
            Some(HostPattern::Exact(host)) => self.exact.get(host.as_str()),
            Some(HostPattern::Wildcard(suffix)) => self.wildcard.get(suffix.as_str()),
            None => self.any.as_ref(),
        }
    }

    /// The values whose patterns hold for `host`: exact, longer wildcards, any (M6).
    pub(crate) fn levels(&self, host: &str) -> impl Iterator<Item = &T> {
        self.named(host).chain(&self.any)
    }

    /// Those whose patterns name `host`: exact, longer wildcards.
    pub(crate) fn named(&self, host: &str) -> impl Iterator<Item = &T> {
        let suffixes = if self.wildcard.is_empty() { "" } else { host };
        let wildcards = parents(suffixes).filter_map(|suffix| self.wildcard.get(suffix));
        self.exact.get(host).into_iter().chain(wildcards)
    }
}

/// `b.c` and `c` for `a.b.c`.
fn parents(host: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(parent(host), |host| parent(host))
}

fn parent(host: &str) -> Option<&str> {
    host.split_once('.').map(|(_, parent)| parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m3_hosts_lose_port_and_case() {
        let cases = [
            ("shop.example.com", "shop.example.com"),
            ("Shop.EXAMPLE.com:8080", "shop.example.com"),
            ("shop.example.com.", "shop.example.com"),
            ("shop.example.com.:80", "shop.example.com"),
            ("localhost:", "localhost"),
            ("127.0.0.1:80", "127.0.0.1"),
            ("[::1]:80", "[::1]"),
            ("[2001:DB8::1]", "[2001:db8::1]"),
            ("", ""),
            (":80", ""),
        ];
        for (raw, host) in cases {
            assert_eq!(normalise(raw).as_deref(), Ok(host), "{raw:?}");
        }
    }

    #[test]
    fn m3_hosts_are_copied_only_to_change_case() {
        assert!(matches!(normalise("shop.example.com:80"), Ok(Cow::Borrowed(_))));
        assert!(matches!(normalise("[::1]:80"), Ok(Cow::Borrowed(_))));
    }

    #[test]
    fn hosts_that_are_none_are_refused() {
        let long = "a.".repeat(127) + "a";
        let labels = ["a b", "a/b", "user@a", "a?b", "a#b", "a\\b", "é.example", "a\0", "a..b", ".a", "..", &long];
        let ports = ["a:b", "a:80:80", "::1", "[::1", "[::1]80", "[a]", "[]", "a:-1", "[::1]:x"];
        for raw in labels.into_iter().chain(ports) {
            assert_eq!(normalise(raw), Err(BadHost), "{raw:?}");
        }
    }

    fn levels(patterns: &[&'static str], host: &str) -> Vec<&'static str> {
        let mut map = HostMap::default();
        for pattern in patterns {
            let host = (*pattern != "any").then(|| HostPattern::parse(pattern).unwrap());
            map.insert(host.as_ref(), *pattern);
        }
        map.levels(host).copied().collect()
    }

    #[test]
    fn m3_wildcards_stand_for_one_or_more_labels() {
        assert_eq!(levels(&["*.example.com"], "a.example.com"), ["*.example.com"]);
        assert_eq!(levels(&["*.example.com"], "a.b.example.com"), ["*.example.com"]);
        for host in ["example.com", "aexample.com", "example.com.org", ""] {
            assert!(levels(&["*.example.com"], host).is_empty(), "{host}");
        }
    }

    #[test]
    fn m6_exact_hosts_go_before_longer_wildcards_before_any() {
        let patterns = ["any", "*.com", "a.b.com", "*.b.com"];
        assert_eq!(levels(&patterns, "a.b.com"), ["a.b.com", "*.b.com", "*.com", "any"]);
        assert_eq!(levels(&patterns, "b.com"), ["*.com", "any"]);
        assert_eq!(levels(&patterns, "localhost"), ["any"]);
    }
}
