//! Texts with variables: `{client.address}`; a brace itself is written twice.

use http::HeaderValue;
use serde::Deserialize;

/// A text with variables that is a legal value of a header, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Template(pub Vec<Part>);

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// As it is.
    Text(String),
    /// What it stands for in a request.
    Variable(Variable),
}

/// What a template may say of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variable {
    /// The client's IP address.
    ClientAddress,
    /// Name of the chosen Backend.
    BackendName,
    /// Address and port of the chosen endpoint.
    BackendAddress,
    /// `namespace/name`.
    PoolName,
    /// The host as the client wrote it.
    RequestHost,
    /// The path.
    RequestPath,
    /// The method.
    RequestMethod,
    /// `http` or `https`.
    RequestScheme,
}

impl Variable {
    /// Every variable, with its name.
    pub const ALL: [(Self, &str); 8] = [
        (Self::ClientAddress, "client.address"),
        (Self::BackendName, "backend.name"),
        (Self::BackendAddress, "backend.address"),
        (Self::PoolName, "pool.name"),
        (Self::RequestHost, "request.host"),
        (Self::RequestPath, "request.path"),
        (Self::RequestMethod, "request.method"),
        (Self::RequestScheme, "request.scheme"),
    ];

    /// Whether it is known only when a backend is chosen.
    #[must_use]
    pub fn is_of_backend(self) -> bool {
        matches!(self, Self::BackendName | Self::BackendAddress)
    }

    fn parse(name: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|(_, known)| *known == name).map(|(variable, _)| *variable);
        found.ok_or_else(|| {
            format!("{{{name}}} is no variable: there are {}", Self::ALL.map(|(_, name)| name).join(", "))
        })
    }
}

impl TryFrom<String> for Template {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let mut parts = Parts::default();
        let mut rest = text.as_str();
        while let Some(at) = rest.find(['{', '}']) {
            parts.text(&rest[..at]);
            let (brace, after) = rest[at..].split_at(1);
            rest = match after.strip_prefix(brace) {
                Some(after) => {
                    parts.text(brace);
                    after
                }
                None => parts.variable(brace, after)?,
            };
        }
        parts.text(rest);
        parts.finish()
    }
}

#[derive(Default)]
struct Parts(Vec<Part>);

impl Parts {
    fn text(&mut self, text: &str) {
        match self.0.last_mut() {
            _ if text.is_empty() => {}
            Some(Part::Text(before)) => before.push_str(text),
            _ => self.0.push(Part::Text(text.to_owned())),
        }
    }

    /// Reads a variable after its brace; gives what comes after it.
    fn variable<'t>(&mut self, brace: &str, after: &'t str) -> Result<&'t str, String> {
        let split = after.split_once('}').filter(|_| brace == "{");
        let (name, rest) = split.ok_or_else(|| format!("{brace:?} stands alone: write it twice for the character"))?;
        self.0.push(Part::Variable(Variable::parse(name)?));
        Ok(rest)
    }

    fn finish(self) -> Result<Template, String> {
        let is_illegal = |part: &&Part| matches!(part, Part::Text(text) if HeaderValue::from_str(text).is_err());
        match self.0.iter().find(is_illegal) {
            Some(Part::Text(text)) => Err(format!("{text:?} has characters that no header may have")),
            _ => Ok(Template(self.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<Part>, String> {
        Template::try_from(text.to_owned()).map(|template| template.0)
    }

    #[test]
    fn p4_templates_are_text_and_variables() {
        let text = |text: &str| Part::Text(text.to_owned());
        let address = Part::Variable(Variable::ClientAddress);
        assert_eq!(parse("for {client.address};"), Ok(vec![text("for "), address.clone(), text(";")]));
        assert_eq!(parse("{client.address}{client.address}"), Ok(vec![address.clone(), address]));
        assert_eq!(parse("{{a}} b"), Ok(vec![text("{a} b")]));
        assert_eq!(parse(""), Ok(Vec::new()));
        for (variable, name) in Variable::ALL {
            assert_eq!(parse(&format!("{{{name}}}")), Ok(vec![Part::Variable(variable)]));
        }
    }

    #[test]
    fn p4_templates_that_make_no_sense_are_refused() {
        for (bad, reason) in [
            ("{client}", "{client} is no variable"),
            ("{}", "{} is no variable"),
            ("{client.address", "stands alone"),
            ("a } b", "stands alone"),
            ("a\r\nset-cookie: b", "no header may have"),
        ] {
            let refused = parse(bad).unwrap_err();
            assert!(refused.contains(reason), "{bad:?}: {refused}");
        }
    }
}
