//! `Jwt`: lets requests in by a signed token (RFC 7519, 6750); others are answered 401.
//!
//! A signature is checked where the request is: that takes some 50 us, less than another thread would cost. Which
//! algorithm it has is up to the key, whatever the token says, so that no token can choose an easier one.

mod claims;
mod dry;
mod keys;
mod pace;
mod refusal;
mod remote;
mod signature;
mod token;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use weir_proto::model::plugin::param::{self, Carrier, KeySource};

use self::claims::Passed;
use self::dry::Dry;
use self::keys::{Keys, Rules, Verdict};
use self::remote::Remote;
use self::token::Token;
use crate::plugin::{Changes, Flow, Hooks, Resumed, Session, Stage, Step, Waiting};

/// The type.
#[derive(Debug)]
pub(super) struct Jwt {
    source: Source,
    token: Carrier,
    rules: Arc<Rules>,
    passed: Arc<Passed>,
}

#[derive(Debug)]
enum Source {
    Fixed(Arc<Keys>),
    Remote { remote: Arc<Remote>, refresh: Duration },
}

impl Jwt {
    pub(super) fn new(param: param::Jwt) -> Self {
        let param::Jwt { issuer, audience, keys, token, leeway, claims_to_headers } = param;
        signature::install();
        let source = match keys {
            KeySource::Fixed(set) => Source::Fixed(Arc::new(Keys::new(&set))),
            KeySource::Url { url, refresh } => Source::Remote { remote: Remote::of(&url), refresh },
        };
        let rules = Arc::new(Rules::new(issuer.as_deref(), &audience, leeway));
        Self { source, token, rules, passed: Arc::new(Passed::new(claims_to_headers)) }
    }

    /// As [`Stage::pre`], with keys that are as new as they can be.
    fn check_anew(&self, remote: &Arc<Remote>, token: Token) -> Waiting {
        let (remote, rules, passed) = (remote.clone(), self.rules.clone(), self.passed.clone());
        Waiting(Box::pin(async move {
            let keys = remote.newest().await?;
            Ok(match passed.conclude(keys.check(&token, &rules)) {
                Ok(changes) => Resumed { changes, halt: None },
                Err(refusal) => Resumed { changes: Changes::new(), halt: Some(Box::new(refusal.halt())) },
            })
        }))
    }
}

impl Stage for Jwt {
    fn hooks(&self) -> Hooks {
        Hooks { pre: true, ..Hooks::default() }
    }

    fn dry(&self) -> Option<Arc<dyn Stage>> {
        let Self { source, token, rules, passed } = self;
        let (keys, url) = match source {
            Source::Fixed(keys) => (Some(keys.clone()), None),
            Source::Remote { remote, refresh: _ } => (remote.known(), Some(remote.url().clone())),
        };
        Some(Arc::new(Dry { keys, url, token: token.clone(), rules: rules.clone(), passed: passed.clone() }))
    }

    fn wait_limit(&self) -> Option<Duration> {
        Some(remote::PATIENCE)
    }

    fn own_headers(&self) -> &[HeaderName] {
        self.passed.headers()
    }

    fn pre(&self, session: &mut Session<'_>) -> Step {
        let token = match Token::read(session, &self.token) {
            Ok(token) => token,
            Err(refusal) => return Ok(refusal.halt().into()),
        };
        let verdict = match &self.source {
            Source::Fixed(keys) => keys.check(&token, &self.rules),
            Source::Remote { remote, refresh } => {
                remote.keys(*refresh).map_or(Verdict::UnknownKey, |keys| keys.check(&token, &self.rules))
            }
        };
        if let (Verdict::UnknownKey, Source::Remote { remote, .. }) = (&verdict, &self.source) {
            return Ok(Flow::Wait(self.check_anew(remote, token)));
        }
        Ok(self.passed.settle(verdict, session))
    }
}
