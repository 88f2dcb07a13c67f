//! `Stickiness`: requests with the cookie go to the endpoint that it names, if that is a candidate; others get one.
//!
//! What the cookie says depends on names and addresses (and a key) alone, so every proxy reads it alike. A value that
//! names no candidate, forged or old, is the same as none.

mod naming;

use std::fmt::Write as _;

use http::header::SET_COOKIE;
use weir_proto::model::plugin::param::{self, SameSite};

use self::naming::Naming;
use crate::matcher::prefix_of;
use crate::plugin::change::{HeaderChange, header_value};
use crate::plugin::{Candidates, Failure, Flow, Hooks, Session, Stage, Step};

/// The type.
#[derive(Debug)]
pub(super) struct Stickiness {
    cookie: String,
    naming: Naming,
    /// `None` = the prefix of the rule that matched.
    path: Option<String>,
    /// After name, value and path.
    attributes: String,
    always: bool,
}

impl Stickiness {
    pub(super) fn new(param: param::Stickiness) -> Self {
        let attributes = attributes(&param);
        let param::Stickiness { cookie, encoding, path, always, .. } = param;
        Self { cookie, naming: Naming::new(&encoding), path, attributes, always }
    }

    fn path<'a>(&'a self, session: &Session<'a>) -> &'a str {
        let prefix = || prefix_of(session.rule()).filter(|prefix| !prefix.contains(';')).unwrap_or("/");
        self.path.as_deref().unwrap_or_else(prefix)
    }
}

fn attributes(param: &param::Stickiness) -> String {
    let param::Stickiness { cookie: _, encoding: _, path: _, http_only, secure, same_site, max_age, always: _ } = param;
    let mut text = String::new();
    if let Some(max_age) = max_age {
        // Writing to a string cannot fail.
        let _ = write!(text, "; Max-Age={}", max_age.as_secs());
    }
    if *http_only {
        text.push_str("; HttpOnly");
    }
    if *secure {
        text.push_str("; Secure");
    }
    text.push_str(match same_site {
        None => "",
        Some(SameSite::Strict) => "; SameSite=Strict",
        Some(SameSite::Lax) => "; SameSite=Lax",
        Some(SameSite::None) => "; SameSite=None",
    });
    text
}

impl Stage for Stickiness {
    fn hooks(&self) -> Hooks {
        Hooks { balance: true, post: true, ..Hooks::default() }
    }

    fn balance(&self, session: &mut Session<'_>, candidates: &mut Candidates<'_>) -> Result<(), Failure> {
        let Some(named) = session.cookie(&self.cookie).and_then(|value| self.naming.read(value)) else { return Ok(()) };
        let place = candidates.iter().position(|candidate| named.is(&candidate.endpoint));
        if let Some(place) = place {
            candidates.keep_only(place);
        } else if self.always {
            candidates.want(|candidate| named.is(&candidate.endpoint));
        }
        Ok(())
    }

    fn post(&self, session: &mut Session<'_>) -> Step {
        let Some(server) = session.server() else { return Ok(Flow::GoOn) };
        let value = self.naming.name(&server.endpoint);
        if session.cookie(&self.cookie) != Some(value.as_bytes()) {
            let Self { cookie, attributes, .. } = self;
            let text = format!("{cookie}={value}; Path={}{attributes}", self.path(session));
            session.change_response(HeaderChange::Add(SET_COOKIE, header_value(&SET_COOKIE, text)?));
        }
        Ok(Flow::GoOn)
    }
}
