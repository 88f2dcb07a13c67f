//! `BasicAuth`: lets people in by name and password (RFC 7617); others are answered 401.
//!
//! A hash is slow to check on purpose, so that happens on other threads, a few at a time, and who was right is
//! remembered for a minute.

mod memory;
mod users;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use weir_proto::model::plugin::param;

use self::memory::Memory;
use self::users::Users;
use crate::plugin::change::header_value;
use crate::plugin::{Cause, Failure, Flow, Halt, Hooks, Resumed, Session, Stage, Step, Waiting};

/// Checks at a time: others wait, so that guesses do not take the machine.
const CHECKS: usize = 2;

/// Beyond what a check takes, a queue of them.
const PATIENCE: Duration = Duration::from_secs(10);

/// The type.
#[derive(Debug)]
pub(super) struct BasicAuth(Arc<Door>);

/// The same, which remembers nobody.
#[derive(Debug)]
struct Dry(Arc<Door>);

#[derive(Debug)]
struct Door {
    challenge: HeaderValue,
    users: Users,
    memory: Memory,
    checks: Semaphore,
}

/// What a client says of itself.
#[derive(Debug, PartialEq, Eq)]
struct Credentials {
    user: String,
    password: Vec<u8>,
}

impl BasicAuth {
    pub(super) fn new(param: param::BasicAuth) -> Self {
        let param::BasicAuth { realm, users } = param;
        let challenge = header_value(&WWW_AUTHENTICATE, format!("Basic realm=\"{realm}\", charset=\"UTF-8\""));
        Self(Arc::new(Door {
            // The parameter has no other characters than a header may have.
            challenge: challenge.unwrap_or(HeaderValue::from_static("Basic realm=\"restricted\"")),
            users: Users::new(users),
            memory: Memory::default(),
            checks: Semaphore::new(CHECKS),
        }))
    }
}

impl Door {
    fn refuse(&self) -> Halt {
        let halt = Halt::new(StatusCode::UNAUTHORIZED, "name and password are needed\n");
        halt.with(WWW_AUTHENTICATE, self.challenge.clone())
    }

    fn enter(self: &Arc<Self>, session: &Session<'_>, remembers: bool) -> Flow {
        let Some(credentials) = session.headers().get(AUTHORIZATION).and_then(credentials) else {
            return self.refuse().into();
        };
        if self.memory.knows(&credentials.user, &credentials.password) {
            return Flow::GoOn;
        }
        Flow::Wait(Waiting(Box::pin(self.clone().check(credentials, remembers))))
    }

    /// `remembers`: who is right now is known from then on.
    async fn check(self: Arc<Self>, credentials: Credentials, remembers: bool) -> Result<Resumed, Failure> {
        let stopped = |error: &dyn std::fmt::Display| Failure::new(Cause::Error, format!("no check: {error}"));
        let permit = self.checks.acquire().await.map_err(|e| stopped(&e))?;
        let door = self.clone();
        let checking = spawn_blocking(move || {
            let right = door.users.check(&credentials.user, &credentials.password);
            if right && remembers {
                door.memory.remember(&credentials.user, &credentials.password);
            }
            right
        });
        let right = checking.await.map_err(|e| stopped(&e))?;
        drop(permit);
        Ok(Resumed { halt: (!right).then(|| Box::new(self.refuse())), ..Resumed::default() })
    }
}

fn credentials(value: &HeaderValue) -> Option<Credentials> {
    let (scheme, encoded) = value.to_str().ok()?.split_once(' ')?;
    let decoded = BASE64_STANDARD.decode(encoded.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let colon = memchr::memchr(b':', &decoded)?;
    Some(Credentials {
        user: String::from_utf8(decoded[..colon].to_vec()).ok()?,
        password: decoded[colon + 1..].into(),
    })
}

impl Stage for BasicAuth {
    fn hooks(&self) -> Hooks {
        Hooks { pre: true, ..Hooks::default() }
    }

    fn wait_limit(&self) -> Option<Duration> {
        Some(PATIENCE)
    }

    fn dry(&self) -> Option<Arc<dyn Stage>> {
        Some(Arc::new(Dry(self.0.clone())))
    }

    fn pre(&self, session: &mut Session<'_>) -> Step {
        Ok(self.0.enter(session, true))
    }
}

impl Stage for Dry {
    fn hooks(&self) -> Hooks {
        Hooks { pre: true, ..Hooks::default() }
    }

    fn pre(&self, session: &mut Session<'_>) -> Step {
        Ok(self.0.enter(session, false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<(String, String)> {
        let credentials = credentials(&HeaderValue::from_str(text).unwrap())?;
        Some((credentials.user, String::from_utf8(credentials.password).unwrap()))
    }

    #[test]
    fn p1_credentials_are_name_and_password() {
        let both = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        assert_eq!(read("Basic YWRhOmE6Yg=="), both("ada", "a:b"));
        assert_eq!(read("basic YWRhOg=="), both("ada", ""));
        for bad in ["", "Basic", "Basic YWRh", "Bearer YWRhOmE6Yg==", "Basic ?", "Basic /zph"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
