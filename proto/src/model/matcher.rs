//! Match rules: which requests a Pool takes.

use std::fmt;

use super::{Invalid, Pattern};

/// All conditions must hold; an empty list or `None` holds for every request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rule {
    /// One of these hosts.
    pub hosts: Vec<HostPattern>,
    /// The path, without query and after normalisation.
    pub path: Option<PathMatch>,
    /// One of these methods, upper case.
    pub methods: Vec<String>,
    /// Each of these headers; names are lower case.
    pub headers: Vec<ValueMatch>,
    /// Each of these query parameters.
    pub query: Vec<ValueMatch>,
}

/// A host name, or `*.` and a suffix that stands for one or more labels before it. Lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPattern {
    /// This host.
    Exact(String),
    /// Every host that ends in `.` and this suffix.
    Wildcard(String),
}

impl HostPattern {
    /// Reads `shop.example.com`, `*.example.com`, `127.0.0.1` or `[::1]`, in any case.
    ///
    /// # Errors
    /// Says what is no host.
    pub fn parse(text: &str) -> Result<Self, String> {
        let lower = text.to_ascii_lowercase();
        let (suffix, wildcard) = match lower.strip_prefix("*.") {
            Some(suffix) => (suffix, true),
            None => (lower.as_str(), false),
        };
        if !wildcard && let Some(inner) = suffix.strip_prefix('[').and_then(|s| s.strip_suffix(']')) {
            inner.parse::<std::net::Ipv6Addr>().map_err(|_| format!("{text:?} is no IPv6 address"))?;
            return Ok(Self::Exact(lower));
        }
        check_host(suffix).map_err(|reason| format!("host {text:?} {reason}"))?;
        Ok(if wildcard { Self::Wildcard(suffix.to_owned()) } else { Self::Exact(lower) })
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => f.write_str(host),
            Self::Wildcard(suffix) => write!(f, "*.{suffix}"),
        }
    }
}

/// Checks a DNS name or IPv4 address; underscores are let through as resolvers do.
pub(super) fn check_host(host: &str) -> Result<(), String> {
    let label = |l: &str| {
        !l.is_empty() && l.len() <= 63 && l.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_')
    };
    if host.contains('*') {
        return Err("has a '*' elsewhere than as its first label".into());
    }
    if host.contains(':') {
        return Err("must not have a port".into());
    }
    if host.is_empty() || host.len() > 253 || !host.split('.').all(label) {
        return Err("is no host name".into());
    }
    Ok(())
}

/// A condition on the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathMatch {
    /// The whole path.
    Exact(String),
    /// These whole segments at the start; without a trailing slash, `/` is the empty string.
    Prefix(String),
    /// Searched unanchored in the path; the lower `order` goes first.
    Regex {
        /// What to search.
        pattern: Pattern,
        /// Place among the regexes of a host.
        order: i32,
    },
}

impl PathMatch {
    /// The whole path `value`.
    ///
    /// # Errors
    /// If `value` does not begin with a slash, or has an empty segment or a query.
    pub fn exact(value: &str) -> Result<Self, String> {
        check_path(value)?;
        Ok(Self::Exact(value.to_owned()))
    }

    /// Whole segments: `/api` and `/api/` are the same prefix.
    ///
    /// # Errors
    /// As for [`PathMatch::exact`].
    pub fn prefix(value: &str) -> Result<Self, String> {
        check_path(value)?;
        Ok(Self::Prefix(value.strip_suffix('/').unwrap_or(value).to_owned()))
    }
}

fn check_path(value: &str) -> Result<(), String> {
    if !value.starts_with('/') {
        return Err(format!("path {value:?} must begin with '/'"));
    }
    if let Some(bad) = value.chars().find(|c| matches!(c, '?' | '#') || c.is_whitespace() || c.is_control()) {
        return Err(format!("path {value:?} must not contain {bad:?}"));
    }
    if value.contains("//") {
        return Err(format!("path {value:?} must not contain \"//\": a segment would be empty"));
    }
    Ok(())
}

/// A condition on a header or a query parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueMatch {
    /// Which header (lower case) or parameter.
    pub name: String,
    /// What its value must be. One of several values is enough.
    pub test: ValueTest,
}

/// What the value of a header or query parameter must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueTest {
    /// This value.
    Exact(String),
    /// A value in which this pattern is found.
    Regex(Pattern),
    /// Any value.
    Present,
}

/// Reads an HTTP method; upper case, as methods are case-sensitive.
///
/// # Errors
/// If it is no method name.
pub fn parse_method(text: &str) -> Result<String, String> {
    let upper = text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '-' || c == '_');
    if text.is_empty() || !upper {
        return Err(format!("{text:?} is no method: write it in upper case, for example GET"));
    }
    Ok(text.to_owned())
}

/// Reads a header name to lower case.
///
/// # Errors
/// If it is no legal header name.
pub fn parse_header_name(text: &str) -> Result<String, String> {
    http::HeaderName::try_from(text).map(|n| n.as_str().to_owned()).map_err(|_| format!("{text:?} is no header name"))
}

impl Rule {
    /// Checks what single fields cannot: names given twice.
    ///
    /// # Errors
    /// Names the field.
    pub fn validate(&self) -> Result<(), Invalid> {
        let twice = |field: &str, names: Vec<&str>| {
            for (i, name) in names.iter().enumerate() {
                if names[..i].contains(name) {
                    return Err(Invalid::new(format!("{field}[{i}]"), format!("{name:?} is given twice")));
                }
            }
            Ok(())
        };
        twice("methods", self.methods.iter().map(String::as_str).collect())?;
        let hosts: Vec<String> = self.hosts.iter().map(ToString::to_string).collect();
        twice("hosts", hosts.iter().map(String::as_str).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m3_hosts_are_lower_case_and_without_port() {
        assert_eq!(HostPattern::parse("Shop.Example.com"), Ok(HostPattern::Exact("shop.example.com".into())));
        assert_eq!(HostPattern::parse("*.example.com"), Ok(HostPattern::Wildcard("example.com".into())));
        assert_eq!(HostPattern::parse("[::1]"), Ok(HostPattern::Exact("[::1]".into())));
        for bad in ["", "a.com:80", "a.*.com", "*", "*.", "a..b", "a b"] {
            assert!(HostPattern::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn m4_prefixes_drop_the_trailing_slash() {
        assert_eq!(PathMatch::prefix("/api/"), PathMatch::prefix("/api"));
        assert_eq!(PathMatch::prefix("/"), Ok(PathMatch::Prefix(String::new())));
        for bad in ["", "api", "/a?b", "/a b", "/a#b"] {
            assert!(PathMatch::exact(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn m4_an_empty_segment_is_refused_and_makes_no_prefix_a_catch_all() {
        for bad in ["//", "///", "//a", "/a//b", "/a//"] {
            for result in [PathMatch::prefix(bad), PathMatch::exact(bad)] {
                assert!(result.unwrap_err().ends_with("must not contain \"//\": a segment would be empty"), "{bad:?}");
            }
        }
        assert!(PathMatch::exact("/a/").is_ok());
    }
}
