//! The key of consistent hashing, taken from a request.

use std::net::IpAddr;

use http::HeaderMap;
use weir_proto::model::{Balance, HashKey};

use super::attempt::Template;
use super::{cookie, query};
use crate::balance::hash::{key_of_address, key_of_bytes};

/// The key of a request; 0 if the method does not hash. A request that lacks the value is hashed by its
/// address, so that such requests are spread, too.
#[must_use]
pub fn of(balance: &Balance, template: &Template, client: IpAddr) -> u64 {
    let Balance::Hash(source) = balance else { return 0 };
    of_source(source, &template.headers, template.uri.query(), client)
}

/// The key that this source makes of a request.
#[must_use]
pub fn of_source(source: &HashKey, headers: &HeaderMap, query: Option<&str>, client: IpAddr) -> u64 {
    let key = match source {
        HashKey::Address => None,
        HashKey::Header(name) => headers.get(name).map(|value| key_of_bytes(value.as_bytes())),
        HashKey::Cookie(name) => cookie::value(headers, name).map(key_of_bytes),
        HashKey::Query(name) => {
            let value = query.and_then(|text| query::values(text, name).next());
            value.map(|value| key_of_bytes(&value.decode()))
        }
    };
    key.unwrap_or_else(|| key_of_address(client.to_canonical()))
}
