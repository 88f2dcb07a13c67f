//! Templates of headers, rendered.

use std::fmt::Write as _;

use http::{HeaderName, HeaderValue};
use weir_proto::model::plugin::param::{Part, Template, Variable};

use crate::plugin::change::header_value;
use crate::plugin::{Failure, Session};

/// A template, ready to be rendered.
#[derive(Debug)]
pub(super) enum Text {
    /// The same for each request.
    Fixed(HeaderValue),
    /// Of each request its own.
    Made(Box<[Part]>),
}

impl Text {
    pub(super) fn new(template: Template) -> Self {
        let Template(parts) = template;
        let fixed = match &parts[..] {
            [] => Some(HeaderValue::from_static("")),
            [Part::Text(text)] => HeaderValue::from_str(text).ok(),
            _ => None,
        };
        fixed.map_or_else(|| Self::Made(parts.into()), Self::Fixed)
    }

    /// Whether it says something of the chosen backend.
    pub(super) fn needs_server(&self) -> bool {
        let is_of_backend = |part: &Part| matches!(part, Part::Variable(variable) if variable.is_of_backend());
        matches!(self, Self::Made(parts) if parts.iter().any(is_of_backend))
    }

    /// Whether it begins with what a client says.
    pub(super) fn begins_with_variable(&self) -> bool {
        matches!(self, Self::Made(parts) if matches!(parts.first(), Some(Part::Variable(_))))
    }

    /// The text for this request.
    pub(super) fn text(&self, session: &Session<'_>) -> String {
        match self {
            // Of visible ASCII, or it is said of no request.
            Self::Fixed(value) => String::from_utf8_lossy(value.as_bytes()).into_owned(),
            Self::Made(parts) => render(parts, session),
        }
    }

    /// The value of this header for this request.
    pub(super) fn value(&self, name: &HeaderName, session: &Session<'_>) -> Result<HeaderValue, Failure> {
        match self {
            Self::Fixed(value) => Ok(value.clone()),
            Self::Made(parts) => header_value(name, render(parts, session)),
        }
    }
}

fn render(parts: &[Part], session: &Session<'_>) -> String {
    let mut text = String::new();
    for part in parts {
        match part {
            Part::Text(fixed) => text.push_str(fixed),
            Part::Variable(variable) => append(&mut text, *variable, session),
        }
    }
    text
}

/// What is not known is empty. Writing to a string cannot fail.
fn append(text: &mut String, variable: Variable, session: &Session<'_>) {
    let endpoint = session.server().map(|server| &server.endpoint);
    let _ = match variable {
        Variable::ClientAddress => write!(text, "{}", session.client().to_canonical()),
        Variable::BackendName => write!(text, "{}", endpoint.map_or("", |endpoint| endpoint.backend.name())),
        Variable::BackendAddress => endpoint.map_or(Ok(()), |endpoint| write!(text, "{}", endpoint.address)),
        Variable::PoolName => write!(text, "{}", session.pool().config.name),
        Variable::RequestHost => write!(text, "{}", session.host()),
        Variable::RequestPath => write!(text, "{}", session.path()),
        Variable::RequestMethod => write!(text, "{}", session.method()),
        Variable::RequestScheme => write!(text, "{}", session.scheme()),
    };
}
