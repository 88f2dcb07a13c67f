//! Consistent hashing by weighted rendezvous
//! (D. Thaler and C. Ravishankar, "A name-based mapping scheme for rendezvous", 1996;
//! weights after C. Schindelhauer and G. Schomaker, "Weighted distributed hash tables", 2005).
//!
//! Each candidate draws a number from the hash of key and candidate; the best one wins. So removing
//! one candidate moves only its own keys, shares follow weights without a table of virtual nodes, and
//! the next choice of a retry is simply the second best. A choice is linear in the candidates: about a
//! nanosecond each with equal weights, where no logarithm is needed.

use std::net::IpAddr;

use weir_proto::model::{EndpointAddress, ResourceName};
use xxhash_rust::xxh3::xxh3_64;

use super::Choice;
use crate::pool::Candidate;

/// Prepared for the candidates of one view.
#[derive(Debug)]
pub struct Rendezvous {
    equal_weights: bool,
}

impl Rendezvous {
    /// Notes whether weights matter.
    #[must_use]
    pub fn new(candidates: &[Candidate]) -> Self {
        Self { equal_weights: candidates.windows(2).all(|pair| pair[0].weight == pair[1].weight) }
    }

    /// The untried candidate that draws best for the key.
    pub fn pick(&self, candidates: &[Candidate], choice: &Choice<'_>) -> Option<usize> {
        let untried = candidates.iter().enumerate().filter(|(_, c)| !choice.tried.has(c));
        if self.equal_weights {
            return untried.max_by_key(|(_, c)| draw(c, choice.key)).map(|(index, _)| index);
        }
        best_of(untried, choice.key)
    }
}

/// The place of the candidate that draws best for the key.
pub fn best<'a>(candidates: impl Iterator<Item = &'a Candidate>, key: u64) -> Option<usize> {
    best_of(candidates.enumerate(), key)
}

fn best_of<'a>(candidates: impl Iterator<Item = (usize, &'a Candidate)>, key: u64) -> Option<usize> {
    let scored = candidates.map(|(index, c)| (index, score(draw(c, key), c.weight)));
    scored.max_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(index, _)| index)
}

fn draw(candidate: &Candidate, key: u64) -> u64 {
    mix(key ^ candidate.endpoint.hash_seed)
}

/// `-weight / ln(u)` for `u` uniform in (0, 1): the largest wins in proportion to its weight.
fn score(draw: u64, weight: u32) -> f64 {
    -f64::from(weight) / unit(draw).ln()
}

/// Always the same for candidate and key, uniform in (0, 1), and independent of who draws best.
pub fn uniform(candidate: &Candidate, key: u64) -> f64 {
    unit(mix(draw(candidate, key)))
}

/// A number of (0, 1).
fn unit(draw: u64) -> f64 {
    // The upper 53 bits fill an f64's mantissa; the half keeps it off 0 and 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    let unit = ((draw >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    unit
}

/// Finaliser of `SplitMix64` (G. Steele et al., 2014): every input bit moves every output bit.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The place of an endpoint: depends on names and address only, so all proxies agree.
#[must_use]
pub fn seed(backend: &ResourceName, address: &EndpointAddress) -> u64 {
    xxh3_64(format!("{backend} {address}").as_bytes())
}

/// Hash of a text key.
#[must_use]
pub fn key_of_bytes(text: &[u8]) -> u64 {
    xxh3_64(text)
}

/// Hash of a client's address.
#[must_use]
pub fn key_of_address(address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(v4) => xxh3_64(&v4.octets()),
        IpAddr::V6(v6) => xxh3_64(&v6.octets()),
    }
}

#[cfg(test)]
mod tests {
    use weir_proto::model::{Balance, HashKey};

    use super::super::tests::{Chooser, candidates, picker};
    use super::*;

    const KEYS: u64 = 30_000;

    fn assign(candidates: &[Candidate]) -> Vec<String> {
        let method = picker(&Balance::Hash(HashKey::Address), candidates);
        let pick = |key: u64| {
            let mut chooser = Chooser { key: key_of_bytes(&key.to_be_bytes()), ..Chooser::new() };
            candidates[chooser.pick(&method, candidates).unwrap()].endpoint.backend.to_string()
        };
        (0..KEYS).map(pick).collect()
    }

    #[test]
    fn c3_hash_moves_only_the_keys_of_the_removed_endpoint() {
        for weights in [[1, 1, 1, 1, 1], [1, 2, 3, 4, 5]] {
            let mut all = candidates(&weights);
            let before = assign(&all);
            let removed = all.remove(2).endpoint.backend.to_string();
            let after = assign(&all);
            assert!(before.iter().zip(&after).all(|(b, a)| b == a || *b == removed));
        }
    }

    #[test]
    fn c3_hash_counts_weights() {
        let all = candidates(&[1, 2, 3]);
        let owners = assign(&all);
        for (candidate, share) in all.iter().zip([1.0, 2.0, 3.0]) {
            let name = candidate.endpoint.backend.to_string();
            let n = f64::from(u32::try_from(owners.iter().filter(|o| **o == name).count()).unwrap());
            let expected = 30_000.0 * share / 6.0;
            assert!((n - expected).abs() < expected * 0.05, "{name}: {n} of {expected}");
        }
    }

    #[test]
    fn c3_hash_is_the_same_on_every_proxy() {
        assert_eq!(assign(&candidates(&[1, 1, 1])), assign(&candidates(&[1, 1, 1])));
    }
}
