//! Parameters of the types that let requests in by what they are: `AllowAddresses`, `Require`, `Fault`.

use std::time::Duration;

use http::StatusCode;
use ipnet::IpNet;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::{read, scalar};
use crate::model::{Invalid, Pattern, ValueMatch, ValueTest};

/// Of `AllowAddresses`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct AllowAddresses {
    /// Who may come; empty = everybody.
    #[serde(default)]
    pub allow: Vec<Network>,
    /// Who may not, whatever `allow` says.
    #[serde(default)]
    pub deny: Vec<Network>,
    /// How many proxies before this one are believed what they say in `X-Forwarded-For`.
    #[serde(default)]
    pub trusted_hops: u8,
}

/// Addresses with a prefix: `10.0.0.0/8`, `2001:db8::/32`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Network(pub IpNet);

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = |()| format!("{text:?} is no address or network: write for example 10.0.0.0/8 or 2001:db8::1");
        let net = if text.contains('/') {
            text.parse::<IpNet>().map_err(|_| ())
        } else {
            text.parse::<std::net::IpAddr>().map(IpNet::from).map_err(|_| ())
        };
        net.map(Self).map_err(wrong)
    }
}

/// Of `Require`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Require {
    /// Each of these headers.
    pub headers: Vec<ValueMatch>,
    /// Each of these cookies.
    pub cookies: Vec<ValueMatch>,
    /// Each of these query parameters.
    pub query: Vec<ValueMatch>,
    /// Of the answer to others.
    pub status: StatusCode,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RequireFields {
    #[serde(default)]
    headers: Vec<ValueFields>,
    #[serde(default)]
    cookies: Vec<ValueFields>,
    #[serde(default)]
    query: Vec<ValueFields>,
    #[serde(default = "forbidden", deserialize_with = "scalar::status")]
    status: StatusCode,
}

fn forbidden() -> StatusCode {
    StatusCode::FORBIDDEN
}

/// As in a Pool's `match`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ValueFields {
    #[serde(deserialize_with = "scalar::filled")]
    name: String,
    r#type: ValueKind,
    value: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
enum ValueKind {
    Exact,
    Regex,
    Present,
}

impl Require {
    pub(super) fn parse(param: &Value) -> Result<Self, Invalid> {
        let RequireFields { headers, cookies, query, status } = read(param)?;
        let as_it_is = |name: String| Ok(name);
        let lower = |name: String| crate::model::matcher::parse_header_name(&name);
        let require = Self {
            headers: matches("headers", headers, lower)?,
            cookies: matches("cookies", cookies, as_it_is)?,
            query: matches("query", query, as_it_is)?,
            status,
        };
        if require.headers.is_empty() && require.cookies.is_empty() && require.query.is_empty() {
            return Err(Invalid::new("", "must require a header, cookie or query parameter"));
        }
        Ok(require)
    }
}

fn matches(
    field: &str,
    values: Vec<ValueFields>,
    name_of: impl Fn(String) -> Result<String, String>,
) -> Result<Vec<ValueMatch>, Invalid> {
    let one =
        |(place, fields)| value_match(fields, &name_of).map_err(|e: Invalid| e.under(format!("{field}[{place}]")));
    values.into_iter().enumerate().map(one).collect()
}

fn value_match(fields: ValueFields, name_of: impl Fn(String) -> Result<String, String>) -> Result<ValueMatch, Invalid> {
    let ValueFields { name, r#type, value } = fields;
    let refused = |reason: String| Invalid::new("value", reason);
    let test = match (r#type, value) {
        (ValueKind::Exact, Some(value)) => ValueTest::Exact(value),
        (ValueKind::Regex, Some(value)) => ValueTest::Regex(Pattern::new(&value, false).map_err(refused)?),
        (ValueKind::Present, None) => ValueTest::Present,
        (ValueKind::Present, Some(_)) => return Err(refused("does not go with type Present".to_owned())),
        (_, None) => return Err(refused("is needed for types Exact and Regex".to_owned())),
    };
    Ok(ValueMatch { name: name_of(name).map_err(|e| Invalid::new("name", e))?, test })
}

/// Of `Fault`.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// Requests that are answered in place of a backend.
    pub abort: Option<Abort>,
    /// Requests that have to wait.
    pub delay: Option<Delay>,
}

/// Requests that are answered in place of a backend.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Abort {
    /// Of the answer.
    #[serde(deserialize_with = "scalar::status")]
    pub status: StatusCode,
    /// Their share.
    #[serde(default = "scalar::all", deserialize_with = "scalar::percent")]
    pub percent: f64,
}

/// Requests that have to wait.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delay {
    /// How long.
    #[serde(deserialize_with = "delay")]
    pub time: Duration,
    /// Their share.
    #[serde(default = "scalar::all", deserialize_with = "scalar::percent")]
    pub percent: f64,
}

fn delay<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    const LONGEST: Duration = Duration::from_mins(5);
    match scalar::duration(from)? {
        Duration::ZERO => Err(serde::de::Error::custom("must be longer than 0s")),
        time if time > LONGEST => Err(serde::de::Error::custom("must be at most 5m")),
        time => Ok(time),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultFields {
    abort: Option<Abort>,
    delay: Option<Delay>,
}

impl Fault {
    pub(super) fn parse(param: &Value) -> Result<Self, Invalid> {
        let FaultFields { abort, delay } = read(param)?;
        if abort.is_none() && delay.is_none() {
            return Err(Invalid::new("", "must have an abort or a delay"));
        }
        Ok(Self { abort, delay })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::BuiltIn;
    use super::super::Param;
    use super::super::tests::{parse, refusal};
    use super::*;

    #[test]
    fn p1_networks_and_single_addresses_are_read() {
        let param = json!({"allow": ["10.0.0.0/8", "2001:db8::1"], "deny": ["10.1.2.3"], "trustedHops": 1});
        let Param::AllowAddresses(addresses) = parse(BuiltIn::AllowAddresses, &param) else { panic!() };
        let texts: Vec<String> = addresses.allow.iter().map(|network| network.0.to_string()).collect();
        assert_eq!(texts, ["10.0.0.0/8", "2001:db8::1/128"]);
        for (param, expected) in [
            (json!({"allow": ["10.0.0.0/8", "10.0.0.0/33"]}), "allow[1]: \"10.0.0.0/33\" is no address"),
            (json!({"deny": ["localhost"]}), "deny[0]: "),
            (json!({"trustedHops": -1}), "trustedHops: "),
        ] {
            let refused = refusal(BuiltIn::AllowAddresses, &param);
            assert!(refused.starts_with(expected), "{refused}");
        }
    }

    #[test]
    fn p1_what_is_required_is_written_as_in_match() {
        let param = json!({"headers": [{"name": "X-Env", "type": "Exact", "value": "canary"}], "status": 404});
        let Param::Require(require) = parse(BuiltIn::Require, &param) else { panic!() };
        let test = ValueTest::Exact("canary".to_owned());
        assert_eq!(require.headers, [ValueMatch { name: "x-env".to_owned(), test }]);
        for (param, expected) in [
            (json!({}), ": must require"),
            (json!({"headers": [{"name": "a b", "type": "Present"}]}), "headers[0].name: "),
            (json!({"cookies": [{"name": "a", "type": "Exact"}]}), "cookies[0].value: is needed"),
            (json!({"query": [{"name": "a", "type": "Present", "value": "b"}]}), "query[0].value: does not go"),
            (json!({"query": [{"name": "a", "type": "Regex", "value": "("}]}), "query[0].value: pattern"),
            (json!({"query": [{"name": "", "type": "Present"}]}), "query[0].name: must not be empty"),
        ] {
            let refused = refusal(BuiltIn::Require, &param);
            assert!(refused.starts_with(expected), "{refused}");
        }
    }

    #[test]
    fn p1_faults_have_a_share() {
        let Param::Fault(fault) = parse(BuiltIn::Fault, &json!({"abort": {"status": 503}})) else { panic!() };
        assert!(fault.abort.is_some_and(|abort| (abort.percent - 100.0).abs() < f64::EPSILON));
        for (param, expected) in [
            (json!({}), ": must have"),
            (json!({"abort": {"status": 503, "percent": 101}}), "abort.percent: must be 0 to 100"),
            (json!({"abort": {"percent": 1}}), "abort: missing field `status`"),
            (json!({"delay": {"time": "0s"}}), "delay.time: must be longer"),
            (json!({"delay": {"time": "6m"}}), "delay.time: must be at most 5m"),
        ] {
            let refused = refusal(BuiltIn::Fault, &param);
            assert!(refused.starts_with(expected), "{refused}");
        }
    }
}
