//! `RateLimit`: so many requests a second, and a burst after a pause; others are answered 429. One allowance for all
//! workers of the proxy. Each pool has its own, also where it shares the plugin with another.

mod keys;

use std::hash::{BuildHasher as _, Hash, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{Quota, RateLimiter};
use http::header::RETRY_AFTER;
use http::{HeaderName, HeaderValue, StatusCode};
use weir_proto::model::plugin::param::{self, RateKey};

use self::keys::{Key, Keys};
use super::client;
use crate::plugin::{Flow, Halt, Hooks, Session, Stage, Step};

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// The type.
#[derive(Debug)]
pub(super) struct RateLimit(Arc<Allowances>);

/// The same, which takes nothing of an allowance.
#[derive(Debug)]
struct Dry(Arc<Allowances>);

#[derive(Debug)]
struct Allowances {
    limiter: RateLimiter<Key, Keys, DefaultClock>,
    param: param::RateLimit,
    /// Of its own, so that nobody can choose values that share an allowance.
    hasher: RandomState,
}

impl RateLimit {
    pub(super) fn new(param: param::RateLimit) -> Self {
        let limiter = RateLimiter::new(quota(&param), Keys::default(), DefaultClock::default());
        Self(Arc::new(Allowances { limiter, param, hasher: RandomState::new() }))
    }
}

impl Allowances {
    /// `takes`: the request is one of those that are allowed.
    fn run(&self, session: &Session<'_>, takes: bool) -> Step {
        match self.limiter.check_key(&Key { hash: self.key(session), takes }) {
            Ok(()) => Ok(Flow::GoOn),
            Err(not_until) => Ok(self.refuse(not_until.wait_time_from(self.limiter.clock().now())).into()),
        }
    }

    fn key(&self, session: &Session<'_>) -> u64 {
        let address = || self.masked(address(session, self.param.trusted_hops));
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

/// Of the client; of the last proxy if those before it say nonsense.
fn address(session: &Session<'_>, hops: u8) -> IpAddr {
    client::address(session, hops).unwrap_or(session.client().to_canonical())
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

impl Allowances {
    fn hooks(&self) -> Hooks {
        let post = self.param.key == RateKey::Backend;
        Hooks { pre: !post, post, ..Hooks::default() }
    }
}

impl Stage for RateLimit {
    fn hooks(&self) -> Hooks {
        self.0.hooks()
    }

    fn dry(&self) -> Option<Arc<dyn Stage>> {
        Some(Arc::new(Dry(self.0.clone())))
    }

    fn pre(&self, session: &mut Session<'_>) -> Step {
        self.0.run(session, true)
    }

    fn post(&self, session: &mut Session<'_>) -> Step {
        if session.server().is_some() { self.0.run(session, true) } else { Ok(Flow::GoOn) }
    }
}

impl Stage for Dry {
    fn hooks(&self) -> Hooks {
        self.0.hooks()
    }

    fn pre(&self, session: &mut Session<'_>) -> Step {
        self.0.run(session, false)
    }

    fn post(&self, session: &mut Session<'_>) -> Step {
        if session.server().is_some() { self.0.run(session, false) } else { Ok(Flow::GoOn) }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use governor::clock::FakeRelativeClock;
    use governor::middleware::NoOpMiddleware;
    use governor::nanos::Nanos;

    use super::*;
    use crate::plugin::testing::Fixture;

    fn param(rate: f64, burst: u32, prefix4: u8, prefix6: u8) -> param::RateLimit {
        let burst = NonZeroU32::new(burst).unwrap();
        param::RateLimit { rate, burst, key: RateKey::Address, prefix4, prefix6, trusted_hops: 0 }
    }

    #[test]
    fn p1_a_burst_then_the_rate() {
        let clock = FakeRelativeClock::default();
        let limiter = RateLimiter::<Key, Keys, _, NoOpMiddleware<Nanos>>::new(
            quota(&param(2.0, 3, 32, 64)),
            Keys::default(),
            clock.clone(),
        );
        let take = |hash: u64| limiter.check_key(&Key { hash, takes: true }).is_ok();
        assert_eq!([take(1), take(1), take(1), take(1)], [true, true, true, false]);
        assert!(take(2), "another key has its own");
        clock.advance(Duration::from_millis(500));
        assert_eq!([take(1), take(1)], [true, false]);
    }

    #[test]
    fn p1_neighbours_share_an_allowance_by_prefix() {
        let limit = RateLimit::new(param(1.0, 1, 24, 64));
        let masked = |text: &str| limit.0.masked(text.parse().unwrap()).to_string();
        assert_eq!(masked("10.1.2.3"), "10.1.2.0");
        assert_eq!(masked("2001:db8:1:2:3::4"), "2001:db8:1:2::");
        let all = RateLimit::new(param(1.0, 1, 0, 128));
        assert_eq!(all.0.masked("10.1.2.3".parse().unwrap()).to_string(), "0.0.0.0");
        assert_eq!(all.0.masked("2001::1".parse().unwrap()).to_string(), "2001::1");
    }

    #[tokio::test]
    async fn p1_behind_trusted_proxies_each_client_has_its_own_allowance() {
        let limit = RateLimit::new(param::RateLimit { trusted_hops: 1, ..param(0.0001, 1, 32, 64) });
        let let_in = |list: &'static str| {
            let fixture = Fixture::new(&[1], |_| ()).with_request("/", &[("x-forwarded-for", list)]);
            matches!(limit.pre(&mut fixture.session()), Ok(Flow::GoOn))
        };
        assert!(let_in("10.0.0.1, 192.0.2.1") && let_in("10.0.0.2, 192.0.2.1"));
        assert!(!let_in("10.0.0.9, 10.0.0.1, 192.0.2.1"), "what a client says of itself is not believed");
        assert!(let_in("unknown, 192.0.2.1") && !let_in("nonsense, 192.0.2.1"), "nonsense has one allowance");
    }

    #[tokio::test]
    async fn p1_a_dry_run_takes_nothing_of_an_allowance_and_sees_what_is_left_of_it() {
        let limit = RateLimit::new(param(0.0001, 2, 32, 64));
        let (dry, fixture) = (limit.dry().unwrap(), Fixture::new(&[1], |_| ()));
        let lets_in = |stage: &dyn Stage| matches!(stage.pre(&mut fixture.session()), Ok(Flow::GoOn));
        for left in [2, 1] {
            assert!((0..9).all(|_| lets_in(&*dry)), "{left} are left");
            assert!(lets_in(&limit));
        }
        assert!(!lets_in(&*dry) && !lets_in(&limit));
    }

    #[test]
    fn p1_a_refusal_says_how_long_to_wait() {
        let halt = RateLimit::new(param(1.0, 5, 32, 64)).0.refuse(Duration::from_millis(1_200));
        let header = |name: &str| halt.headers[name].to_str().unwrap().to_owned();
        assert_eq!(halt.status, 429);
        assert_eq!([header("retry-after"), header("ratelimit-limit")], ["2", "5"]);
        assert_eq!([header("ratelimit-remaining"), header("ratelimit-reset")], ["0", "2"]);
    }
}
