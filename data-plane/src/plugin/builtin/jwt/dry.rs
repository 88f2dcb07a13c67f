//! The type where a request is only thought of: with the keys that are there, without a look at a URL.

use std::sync::Arc;

use http::{HeaderName, Uri};
use weir_proto::model::plugin::param::Carrier;

use super::claims::Passed;
use super::keys::{Keys, Rules, Verdict};
use super::token::Token;
use crate::plugin::says::suppose;
use crate::plugin::{Flow, Hooks, Session, Stage, Step};

/// See [`super::Jwt`].
#[derive(Debug)]
pub(super) struct Dry {
    /// `None` = they were never fetched.
    pub(super) keys: Option<Arc<Keys>>,
    /// Where they are from, if they are fetched.
    pub(super) url: Option<Uri>,
    pub(super) token: Carrier,
    pub(super) rules: Arc<Rules>,
    pub(super) passed: Arc<Passed>,
}

impl Stage for Dry {
    fn hooks(&self) -> Hooks {
        Hooks { pre: true, ..Hooks::default() }
    }

    fn own_headers(&self) -> &[HeaderName] {
        self.passed.headers()
    }

    /// A token whose key would be fetched is taken to be right; what it claims is not believed, nor passed on.
    fn pre(&self, session: &mut Session<'_>) -> Step {
        let token = match Token::read(session, &self.token) {
            Ok(token) => token,
            Err(refusal) => return Ok(refusal.halt().into()),
        };
        let verdict = self.keys.as_ref().map_or(Verdict::UnknownKey, |keys| keys.check(&token, &self.rules));
        if let (Verdict::UnknownKey, Some(url)) = (&verdict, &self.url) {
            suppose(&format!("{url} would be asked for keys, and the token would be right"));
            return Ok(Flow::GoOn);
        }
        Ok(self.passed.settle(verdict, session))
    }
}
