//! Regular expressions from users.

use std::fmt;

use regex::{Regex, RegexBuilder};

/// A regular expression that compiles within [`Pattern::SIZE_LIMIT`]. Two are equal if they have the
/// same text and case rule.
#[derive(Clone)]
pub struct Pattern {
    text: String,
    case_insensitive: bool,
    regex: Regex,
}

impl Pattern {
    /// Most bytes that one compiled pattern may take.
    pub const SIZE_LIMIT: usize = 1 << 20;

    /// Compiles `text`.
    ///
    /// # Errors
    /// Says where the syntax is wrong, or that the compiled pattern is too large.
    pub fn new(text: &str, case_insensitive: bool) -> Result<Self, String> {
        let regex = RegexBuilder::new(text)
            .case_insensitive(case_insensitive)
            .size_limit(Self::SIZE_LIMIT)
            .build()
            .map_err(|e| explain(text, &e))?;
        Ok(Self { text: text.to_owned(), case_insensitive, regex })
    }

    /// The pattern as the user wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether letters match in both cases.
    #[must_use]
    pub fn case_insensitive(&self) -> bool {
        self.case_insensitive
    }

    /// The compiled pattern; it is searched unanchored.
    #[must_use]
    pub fn regex(&self) -> &Regex {
        &self.regex
    }
}

fn explain(text: &str, error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(limit) => format!("pattern {text:?} compiles to more than {limit} bytes"),
        // The message of a syntax error spans lines: the pattern, a caret, then `error: reason`.
        other => {
            let message = other.to_string();
            let reason = message.lines().rev().find_map(|l| l.trim().strip_prefix("error: ")).unwrap_or(&message);
            format!("pattern {text:?} does not compile: {reason}")
        }
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        (&self.text, self.case_insensitive) == (&other.text, other.case_insensitive)
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/{}", self.text, if self.case_insensitive { "i" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m4_a_pattern_that_does_not_compile_says_why() {
        let error = Pattern::new("a(b", false).unwrap_err();
        assert!(error.contains("unclosed group") && !error.contains('\n'), "{error}");
    }

    #[test]
    fn m4_a_pattern_that_compiles_to_too_much_is_refused() {
        let error = Pattern::new(r"\w{5000}{20}", false).unwrap_err();
        assert!(error.contains("more than 1048576 bytes"), "{error}");
    }
}
