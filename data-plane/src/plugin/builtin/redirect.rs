//! `Redirect`: sends the client elsewhere.

use http::header::LOCATION;
use http::{HeaderValue, StatusCode};
use weir_proto::model::plugin::param::{self, RedirectTarget, Scheme};

use super::text::Text;
use crate::plugin::change::header_value;
use crate::plugin::{Failure, Halt, Hooks, Session, Stage, Step};

/// The type.
#[derive(Debug)]
pub(super) struct Redirect {
    status: StatusCode,
    target: Target,
}

#[derive(Debug)]
enum Target {
    Location(Text),
    Elsewhere { scheme: Option<Scheme>, host: Option<String> },
}

impl Redirect {
    pub(super) fn new(param: param::Redirect) -> Self {
        let target = match param.target {
            RedirectTarget::Location(template) => Target::Location(Text::new(template)),
            RedirectTarget::Elsewhere { scheme, host } => Target::Elsewhere { scheme, host },
        };
        Self { status: param.status, target }
    }

    fn location(&self, session: &Session<'_>) -> Result<HeaderValue, Failure> {
        match &self.target {
            Target::Location(text) => {
                let value = text.value(&LOCATION, session)?;
                if text.begins_with_variable() {
                    header_value(&LOCATION, one_slash(value.as_bytes()).to_vec())
                } else {
                    Ok(value)
                }
            }
            Target::Elsewhere { scheme, host } => {
                let scheme_name = scheme.map_or(session.scheme(), name);
                // The port of the one scheme is not that of the other.
                let own = if scheme.is_some() { without_port(session.host()) } else { session.host() };
                let host = host.as_deref().unwrap_or(own);
                let path = if session.path().starts_with('/') { session.path() } else { "/" };
                let query = session.query().map(|query| format!("?{query}")).unwrap_or_default();
                header_value(&LOCATION, format!("{scheme_name}://{host}{path}{query}"))
            }
        }
    }
}

fn name(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::Http => "http",
        Scheme::Https => "https",
    }
}

/// `//` at the start would make a client's path the name of another host.
fn one_slash(location: &[u8]) -> &[u8] {
    let doubled = location.iter().take_while(|byte| matches!(byte, b'/' | b'\\')).count();
    &location[doubled.saturating_sub(1)..]
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

impl Stage for Redirect {
    fn hooks(&self) -> Hooks {
        Hooks { pre: true, ..Hooks::default() }
    }

    fn pre(&self, session: &mut Session<'_>) -> Step {
        Ok(Halt::redirect(self.status, self.location(session)?).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p2_a_clients_path_never_names_another_host() {
        assert_eq!(one_slash(b"//evil.example/x"), b"/evil.example/x");
        assert_eq!(one_slash(b"///a"), b"/a");
        assert_eq!(one_slash(b"/a//b"), b"/a//b");
        assert_eq!(one_slash(b"a"), b"a");
    }

    #[test]
    fn p2_another_scheme_has_another_port() {
        assert_eq!(without_port("a.com:8080"), "a.com");
        assert_eq!(without_port("[::1]:8080"), "[::1]");
        assert_eq!(without_port("[::1]"), "[::1]");
        assert_eq!(without_port("a.com"), "a.com");
    }
}
