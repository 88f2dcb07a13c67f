//! `RateLimit`: so many requests a second, and a burst after a pause; others are answered 429. One allowance for all
//! workers of the proxy. Each pool has its own, also where it shares the plugin with another.

mod keys;

use std::hash::{BuildHasher as _, Hash, RandomState};
use std::net::IpAddr;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{Quota, RateLimiter};
use http::header::RETRY_AFTER;
use http::{HeaderName, HeaderValue, StatusCode};
use weir_proto::model::plugin::param::{self, RateKey};

use self::keys::Keys;
use crate::plugin::{Flow, Halt, Hooks, Session, Stage, Step};

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// The type.
#[derive(Debug)]
pub(super) struct RateLimit {
    limiter: RateLimiter<u64, Keys, DefaultClock>,
    param: param::RateLimit,
    /// Of its own, so that nobody can choose values that share an allowance.
    hasher: RandomState,
}

impl RateLimit {
    pub(super) fn new(param: param::RateLimit) -> Self {
        let limiter = RateLimiter::new(quota(&param), Keys::default(), DefaultClock::default());
        Self { limiter, param, hasher: RandomState::new() }
    }

    fn run(&self, session: &Session<'_>) -> Step {
        match self.limiter.check_key(&self.key(session)) {
            Ok(()) => Ok(Flow::GoOn),
            Err(not_until) => Ok(self.refuse(not_until.wait_time_from(self.limiter.clock().now())).into()),
        }
    }

    fn key(&self, session: &Session<'_>) -> u64 {
        let address = || self.masked(session.client().to_canonical());
        let pool = &session.pool().config.name;
        match &self.param.key {
            RateKey::Pool => self.hash((pool, "")),
            RateKey::Address => self.hash((pool, address())),
            RateKey::Backend => self.hash((pool, session.server().map(|server| server.endpoint.id))),
            RateKey::Header(name) => match session.headers().get(name) {
                Some(value) => self.hash((pool, value.as_bytes())),
                None => self.hash((pool, address())),
            },
            RateKey::Cookie(name) => match session.cookie(name) {
                Some(value) => self.hash((pool, value)),
                None => self.hash((pool, address())),
            },
        }
    }

    fn hash(&self, key: impl Hash) -> u64 {
        self.hasher.hash_one(key)
    }

    fn masked(&self, address: IpAddr) -> IpAddr {
        let param::RateLimit { prefix4, prefix6, .. } = self.param;
        match address {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(prefix4)).unwrap_or(0);
                IpAddr::V4((v4.to_bits() & mask).into())
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(prefix6)).unwrap_or(0);
                IpAddr::V6((v6.to_bits() & mask).into())
            }
        }
    }

    fn refuse(&self, wait: Duration) -> Halt {
        let seconds = HeaderValue::from(whole_seconds(wait));
        Halt::new(StatusCode::TOO_MANY_REQUESTS, "too many requests\n")
            .with(RETRY_AFTER, seconds.clone())
            .with(LIMIT, HeaderValue::from(self.param.burst.get()))
            .with(REMAINING, HeaderValue::from(0))
            .with(RESET, seconds)
    }
}

fn quota(param: &param::RateLimit) -> Quota {
    let period = Duration::from_secs_f64(1.0 / param.rate);
    // Not zero, as the rate is at most a million.
    Quota::with_period(period).unwrap_or(Quota::per_second(param.burst)).allow_burst(param.burst)
}

/// Rounded up: a client that waits this long is let in.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

impl Stage for RateLimit {
    fn hooks(&self) -> Hooks {
        let post = self.param.key == RateKey::Backend;
        Hooks { pre: !post, post, ..Hooks::default() }
    }

    fn pre(&self, session: &mut Session<'_>) -> Step {
        self.run(session)
    }

    fn post(&self, session: &mut Session<'_>) -> Step {
        if session.server().is_some() { self.run(session) } else { Ok(Flow::GoOn) }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use governor::clock::FakeRelativeClock;
    use governor::middleware::NoOpMiddleware;
    use governor::nanos::Nanos;

    use super::*;

    fn param(rate: f64, burst: u32, prefix4: u8, prefix6: u8) -> param::RateLimit {
        param::RateLimit { rate, burst: NonZeroU32::new(burst).unwrap(), key: RateKey::Address, prefix4, prefix6 }
    }

    #[test]
    fn p1_a_burst_then_the_rate() {
        let clock = FakeRelativeClock::default();
        let limiter = RateLimiter::<u64, Keys, _, NoOpMiddleware<Nanos>>::new(
            quota(&param(2.0, 3, 32, 64)),
            Keys::default(),
            clock.clone(),
        );
        let take = |key: u64| limiter.check_key(&key).is_ok();
        assert_eq!([take(1), take(1), take(1), take(1)], [true, true, true, false]);
        assert!(take(2), "another key has its own");
        clock.advance(Duration::from_millis(500));
        assert_eq!([take(1), take(1)], [true, false]);
    }

    #[test]
    fn p1_neighbours_share_an_allowance_by_prefix() {
        let limit = RateLimit::new(param(1.0, 1, 24, 64));
        let masked = |text: &str| limit.masked(text.parse().unwrap()).to_string();
        assert_eq!(masked("10.1.2.3"), "10.1.2.0");
        assert_eq!(masked("2001:db8:1:2:3::4"), "2001:db8:1:2::");
        let all = RateLimit::new(param(1.0, 1, 0, 128));
        assert_eq!(all.masked("10.1.2.3".parse().unwrap()).to_string(), "0.0.0.0");
        assert_eq!(all.masked("2001::1".parse().unwrap()).to_string(), "2001::1");
    }

    #[test]
    fn p1_a_refusal_says_how_long_to_wait() {
        let halt = RateLimit::new(param(1.0, 5, 32, 64)).refuse(Duration::from_millis(1_200));
        let header = |name: &str| halt.headers[name].to_str().unwrap().to_owned();
        assert_eq!(halt.status, 429);
        assert_eq!([header("retry-after"), header("ratelimit-limit")], ["2", "5"]);
        assert_eq!([header("ratelimit-remaining"), header("ratelimit-reset")], ["0", "2"]);
    }
}
