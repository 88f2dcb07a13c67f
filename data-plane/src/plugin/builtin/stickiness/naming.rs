//! How a cookie names an endpoint.

use std::fmt;

use ring::hmac;
use weir_proto::model::EndpointAddress;
use weir_proto::model::plugin::param::Encoding;

use crate::http::percent::hex_digit;
use crate::pool::Endpoint;

/// Ready to name endpoints.
pub(super) enum Naming {
    /// The hash of name and address that consistent hashing uses, too.
    Opaque,
    /// `NAME@ADDRESS`.
    Plain,
    /// `NAME@ADDRESS.SIGNATURE`.
    Signed(hmac::Key),
}

/// Never shows a key.
impl fmt::Debug for Naming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Naming")
    }
}

impl Naming {
    pub(super) fn new(encoding: &Encoding) -> Self {
        match encoding {
            Encoding::Opaque => Self::Opaque,
            Encoding::Plain => Self::Plain,
            Encoding::Signed(key) => Self::Signed(hmac::Key::new(hmac::HMAC_SHA256, key)),
        }
    }

    /// The name of an endpoint.
    pub(super) fn name(&self, endpoint: &Endpoint) -> String {
        match self {
            Self::Opaque => format!("{:016x}", endpoint.hash_seed),
            Self::Plain => plain(endpoint),
            Self::Signed(key) => {
                let plain = plain(endpoint);
                let signature = hmac::sign(key, plain.as_bytes());
                format!("{plain}.{}", hex(signature.as_ref()))
            }
        }
    }

    /// Whom this name is of, if it may be believed.
    pub(super) fn read<'n>(&self, name: &'n [u8]) -> Option<Named<'n>> {
        let name = std::str::from_utf8(name).ok()?;
        match self {
            Self::Opaque => u64::from_str_radix(name, 16).ok().filter(|_| name.len() == 16).map(Named::Hash),
            Self::Plain => read_plain(name),
            Self::Signed(key) => {
                let (plain, signature) = name.rsplit_once('.')?;
                hmac::verify(key, plain.as_bytes(), &unhex(signature)?).ok()?;
                read_plain(plain)
            }
        }
    }
}

/// What a name says.
pub(super) enum Named<'n> {
    Hash(u64),
    Plain { backend: &'n str, address: EndpointAddress },
}

impl Named<'_> {
    /// Whether this endpoint has the name.
    pub(super) fn is(&self, endpoint: &Endpoint) -> bool {
        match self {
            Self::Hash(seed) => endpoint.hash_seed == *seed,
            Self::Plain { backend, address } => endpoint.address == *address && endpoint.backend.name() == *backend,
        }
    }
}

fn plain(endpoint: &Endpoint) -> String {
    format!("{}@{}", endpoint.backend.name(), endpoint.address)
}

fn read_plain(name: &str) -> Option<Named<'_>> {
    let (backend, address) = name.split_once('@')?;
    Some(Named::Plain { backend, address: address.parse().ok()? })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2).map(|pair| match pair {
        [high, low] => Some(hex_digit(*high)? << 4 | hex_digit(*low)?),
        _ => None,
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::tests::candidates;
    use crate::pool::Candidate;

    fn every_naming() -> [Naming; 3] {
        [Encoding::Opaque, Encoding::Plain, Encoding::Signed(vec![7; 32])].map(|encoding| Naming::new(&encoding))
    }

    fn find(naming: &Naming, name: &[u8], candidates: &[Candidate]) -> Option<usize> {
        let named = naming.read(name)?;
        candidates.iter().position(|candidate| named.is(&candidate.endpoint))
    }

    #[test]
    fn p4_each_candidate_is_found_by_its_name_on_every_proxy() {
        let (here, there) = (candidates(&[1, 1, 1]), candidates(&[1, 1, 1]));
        for naming in every_naming() {
            for (place, candidate) in here.iter().enumerate() {
                let name = naming.name(&candidate.endpoint);
                assert_eq!(find(&naming, name.as_bytes(), &there), Some(place), "{name}");
                assert!(name.bytes().all(|byte| byte.is_ascii_graphic() && !b"\",;\\".contains(&byte)), "{name}");
            }
        }
    }

    #[test]
    fn p4_forged_and_vanished_names_are_nobodys() {
        let all = candidates(&[1, 1]);
        let left = &all[..1];
        let gone = &all[1].endpoint;
        let [opaque, plain, signed] = every_naming();
        for naming in [&opaque, &plain, &signed] {
            for forged in [naming.name(gone).as_bytes(), b"", b"\xff", b"@", b".", b"0", b"+123456789abcdef"] {
                assert_eq!(find(naming, forged, left), None, "{forged:?}");
            }
        }
        let unsigned = plain.name(&all[0].endpoint);
        let mut other = signed.name(&all[0].endpoint);
        other.replace_range(other.len() - 2.., "zz");
        for forged in [unsigned.clone(), format!("{unsigned}."), format!("{unsigned}.00"), other] {
            assert_eq!(find(&signed, forged.as_bytes(), left), None, "{forged}");
        }
    }
}
