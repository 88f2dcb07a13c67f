//! The parameter of `RateLimit`.

use std::num::NonZeroU32;

use http::HeaderName;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::{read, scalar};
use crate::model::Invalid;

/// Of `RateLimit`.
#[derive(Debug, Clone, PartialEq)]
pub struct RateLimit {
    /// Requests per second.
    pub rate: f64,
    /// Requests at once after a pause.
    pub burst: NonZeroU32,
    /// Who shares the allowance.
    pub key: RateKey,
    /// Bits of an IPv4 address that count.
    pub prefix4: u8,
    /// Bits of an IPv6 address that count.
    pub prefix6: u8,
    /// How many proxies before this one are believed what they say in `X-Forwarded-For`.
    pub trusted_hops: u8,
}

/// Who shares an allowance.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RateKey {
    /// Requests from one address.
    Address,
    /// All requests of the pool.
    Pool,
    /// All requests to one endpoint.
    Backend,
    /// Requests with the same value in this header; without it, from one address.
    Header(#[serde(deserialize_with = "scalar::header")] HeaderName),
    /// Requests with the same value in this cookie; without it, from one address.
    Cookie(#[serde(deserialize_with = "scalar::cookie_name")] String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Fields {
    #[serde(deserialize_with = "rate")]
    rate: f64,
    #[serde(default, deserialize_with = "burst")]
    burst: Option<NonZeroU32>,
    #[serde(default = "address")]
    key: RateKey,
    #[serde(default = "whole4", deserialize_with = "bits::<32, _>")]
    prefix4: u8,
    #[serde(default = "network6", deserialize_with = "bits::<128, _>")]
    prefix6: u8,
    #[serde(default)]
    trusted_hops: u8,
}

fn address() -> RateKey {
    RateKey::Address
}

fn whole4() -> u8 {
    32
}

/// What one customer gets at least (RFC 6177).
fn network6() -> u8 {
    64
}

fn rate<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    const LARGEST: f64 = 1e6;
    /// One a day.
    const SMALLEST: f64 = 1.0 / 86_400.0;
    match f64::deserialize(from)? {
        rate if rate <= 0.0 => Err(serde::de::Error::custom("must be > 0")),
        rate if !(SMALLEST..=LARGEST).contains(&rate) => {
            Err(serde::de::Error::custom("must be between one a day and 1000000 a second"))
        }
        rate => Ok(rate),
    }
}

fn burst<'de, D: Deserializer<'de>>(from: D) -> Result<Option<NonZeroU32>, D::Error> {
    let burst = u32::try_from(i64::deserialize(from)?).ok().and_then(NonZeroU32::new);
    burst.map(Some).ok_or_else(|| serde::de::Error::custom("must be 1 to 4294967295"))
}

fn bits<'de, const MOST: u8, D: Deserializer<'de>>(from: D) -> Result<u8, D::Error> {
    let bits = u8::try_from(i64::deserialize(from)?).ok().filter(|bits| *bits <= MOST);
    bits.ok_or_else(|| serde::de::Error::custom(format!("must be 0 to {MOST}")))
}

impl RateLimit {
    pub(super) fn parse(param: &Value) -> Result<Self, Invalid> {
        let Fields { rate, burst, key, prefix4, prefix6, trusted_hops } = read(param)?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to 1000000")]
        let second = NonZeroU32::new(rate.ceil() as u32).unwrap_or(NonZeroU32::MIN);
        Ok(Self { rate, burst: burst.unwrap_or(second), key, prefix4, prefix6, trusted_hops })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{parse, refusal};
    use super::super::{BuiltIn, Param};
    use super::*;

    #[test]
    fn p1_a_rate_has_a_burst_of_a_second() {
        let Param::RateLimit(limit) = parse(BuiltIn::RateLimit, &json!({"rate": 2.5})) else { panic!() };
        assert_eq!((limit.burst.get(), limit.key, limit.prefix4, limit.prefix6), (3, RateKey::Address, 32, 64));
        let param = json!({"rate": 1, "key": {"header": "X-User"}, "trustedHops": 2});
        let Param::RateLimit(limit) = parse(BuiltIn::RateLimit, &param) else { panic!() };
        assert_eq!((limit.key, limit.trusted_hops), (RateKey::Header(HeaderName::from_static("x-user")), 2));
    }

    #[test]
    fn p1_rates_that_make_no_sense_are_refused_by_field() {
        for (param, expected) in [
            (json!({"rate": 0}), "rate: must be > 0"),
            (json!({"rate": -1}), "rate: must be > 0"),
            (json!({"rate": 1e9}), "rate: must be between"),
            (json!({"rate": "5"}), "rate: invalid type"),
            (json!({"rate": 1, "burst": 0}), "burst: must be 1"),
            (json!({"rate": 1, "prefix4": 33}), "prefix4: must be 0 to 32"),
            (json!({"rate": 1, "trustedHops": -1}), "trustedHops: "),
            (json!({"rate": 1, "key": "host"}), "key: unknown variant `host`"),
            (json!({"rate": 1, "key": {"header": "a b"}}), "key.header: "),
            (json!({"rat": 1}), "rat: unknown field `rat`, expected one of `rate`"),
        ] {
            let refused = refusal(BuiltIn::RateLimit, &param);
            assert!(refused.starts_with(expected), "{refused}");
        }
    }
}
