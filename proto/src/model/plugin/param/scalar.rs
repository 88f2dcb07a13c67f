//! Values that several parameters have, read and checked.

use std::fmt::Display;
use std::time::Duration;

use http::{HeaderName, StatusCode, Uri};
use serde::de::Error;
use serde::{Deserialize, Deserializer};

use crate::model::plugin::header;
use crate::model::units;

/// A name of a header.
pub(super) fn header<'de, D: Deserializer<'de>>(from: D) -> Result<HeaderName, D::Error> {
    text(from, parse_header)
}

/// Reads a name of a header.
pub(super) fn parse_header(text: &str) -> Result<HeaderName, String> {
    HeaderName::try_from(text).map_err(|_| format!("{text:?} is no name of a header"))
}

/// As [`header`], of a field that may be left out.
pub(super) fn some_header<'de, D: Deserializer<'de>>(from: D) -> Result<Option<HeaderName>, D::Error> {
    header(from).map(Some)
}

/// A name of a header that plugins may change.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Changeable(pub(super) HeaderName);

impl TryFrom<String> for Changeable {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        header::changeable(&name).map(Self)
    }
}

/// Where another server is asked.
pub(super) fn url<'de, D: Deserializer<'de>>(from: D) -> Result<Uri, D::Error> {
    text(from, |text| {
        let url: Uri = text.parse().map_err(|e| format!("{text:?} is no URL: {e}"))?;
        let is_web = matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some_and(|h| !h.is_empty());
        match url.authority() {
            Some(authority) if authority.as_str().contains('@') => Err("must not have a user name".to_owned()),
            _ if !is_web => Err("must begin with http:// or https:// and have a host".to_owned()),
            _ => Ok(url),
        }
    })
}

/// A duration such as `250ms`.
pub(super) fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    text(from, units::parse_duration)
}

/// As [`duration`], of a field that may be left out.
pub(super) fn some_duration<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    duration(from).map(Some)
}

/// A size such as `64Ki`.
pub(super) fn size<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    text(from, units::parse_size)
}

/// A name of a cookie (RFC 6265, 4.1.1).
pub(super) fn cookie_name<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    text(from, parse_cookie)
}

/// Reads a name of a cookie.
pub(super) fn parse_cookie(text: &str) -> Result<String, String> {
    match HeaderName::try_from(text) {
        // Both are tokens of RFC 9110, 5.6.2.
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(format!("{text:?} is no name of a cookie")),
    }
}

/// As [`cookie_name`], of a field that may be left out.
pub(super) fn some_cookie<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    cookie_name(from).map(Some)
}

/// A status of a whole answer.
pub(super) fn status<'de, D: Deserializer<'de>>(from: D) -> Result<StatusCode, D::Error> {
    let number = i64::deserialize(from)?;
    let status = u16::try_from(number).ok().filter(|number| (200..600).contains(number));
    let status = status.and_then(|number| StatusCode::from_u16(number).ok());
    status.ok_or_else(|| D::Error::custom("must be 200 to 599"))
}

/// A share.
pub(super) fn percent<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    let percent = f64::deserialize(from)?;
    if (0.0..=100.0).contains(&percent) { Ok(percent) } else { Err(D::Error::custom("must be 0 to 100")) }
}

/// The share of everything.
pub(super) fn all() -> f64 {
    100.0
}

/// Anything but the empty text.
pub(super) fn filled<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    text(from, |text| if text.is_empty() { Err("must not be empty") } else { Ok(text.to_owned()) })
}

/// A text of which `read` makes something.
pub(super) fn text<'de, D, T, E>(from: D, read: impl FnOnce(&str) -> Result<T, E>) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    E: Display,
{
    let text = String::deserialize(from)?;
    read(&text).map_err(D::Error::custom)
}
