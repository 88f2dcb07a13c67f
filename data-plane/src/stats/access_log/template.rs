//! Lines of text with named fields, checked when the process starts.

use std::str::FromStr;

use http::HeaderName;

use super::Line;
use super::escape::{self, Context};
use super::field::{Field, Known};

/// A text with fields in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
    headers: Vec<HeaderName>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field(Field, Context),
}

impl Template {
    /// Headers of requests that it names, each once.
    pub(super) fn headers(&self) -> &[HeaderName] {
        &self.headers
    }

    /// Appends the text, with what this line has in the place of each field, or `-`.
    pub(super) fn fill(&self, line: &Line, out: &mut String) {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Field(field, context) => match field.of(line).filter(|value| !value.is_empty()) {
                    Some(value) => escape::push(out, &value, *context),
                    None => out.push('-'),
                },
            }
        }
    }
}

/// `{name}` is a field, `{{` and `}}` are braces, all else stands for itself. Control characters would make it several
/// lines.
impl FromStr for Template {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.chars().any(char::is_control) {
            return Err("a template is one line, without control characters".to_owned());
        }
        let (mut pieces, mut headers) = (Vec::new(), Vec::new());
        let (mut plain, mut rest, mut quoted) = (String::new(), text, false);
        while let Some(c) = rest.chars().next() {
            if let Some(after) = rest.strip_prefix("{{").or_else(|| rest.strip_prefix("}}")) {
                plain.push(c);
                rest = after;
            } else if c == '{' {
                let (name, after) = rest[1..].split_once('}').ok_or("a { is not closed; write {{ for the character")?;
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
                let field = Field::named(name, &mut headers)?;
                // The space in this one is not of a client's choosing.
                let context =
                    if quoted || field == Field::Known(Known::TimeClf) { Context::Quoted } else { Context::Bare };
                pieces.push(Piece::Field(field, context));
                rest = after;
            } else if c == '}' {
                return Err("a } closes nothing; write }} for the character".to_owned());
            } else {
                quoted ^= c == '"';
                plain.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
        pieces.push(Piece::Text(plain));
        Ok(Self { pieces, headers })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        text.parse::<Template>().unwrap_err()
    }

    #[test]
    fn what_is_no_template_is_refused_with_the_name_that_is_wrong() {
        let error = refused("{client} {stat}");
        assert!(error.starts_with("\"stat\" is no field, did you mean \"status\"?; there are time, "), "{error}");
        assert!(refused("{upstream_duration}").contains("\"upstreamDuration\""));
        assert!(refused("{request.header.a b}").contains("names no header"));
        assert!(refused("{status").contains("not closed") && refused("status}").contains("closes nothing"));
        assert!(refused("{status}\n").contains("one line"));
    }

    #[test]
    fn a_header_that_is_named_twice_is_kept_once() {
        let template: Template = "{request.header.A} {request.header.b} {request.header.a}".parse().unwrap();
        assert_eq!(template.headers(), ["a", "b"]);
    }
}
