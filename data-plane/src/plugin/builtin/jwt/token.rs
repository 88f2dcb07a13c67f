//! The token that a request carries.

use http::HeaderName;
use http::header::AUTHORIZATION;
use jsonwebtoken::{Header, decode_header};
use weir_proto::model::plugin::param::Carrier;

use super::refusal::Refusal;
use crate::plugin::Session;

/// A token that nobody has checked yet.
#[derive(Debug)]
pub(super) struct Token {
    /// All of it.
    pub(super) text: String,
    /// What it says of its signature.
    pub(super) header: Header,
}

impl Token {
    /// Reads it.
    pub(super) fn read(session: &Session<'_>, carrier: &Carrier) -> Result<Self, Refusal> {
        let text = match carrier {
            Carrier::Header(name) => in_header(session, name)?,
            Carrier::Cookie(name) => session.cookie(name).and_then(|value| std::str::from_utf8(value).ok()),
        };
        Self::new(text.ok_or(Refusal::Missing)?)
    }

    fn new(text: &str) -> Result<Self, Refusal> {
        let header = decode_header(text).map_err(|_| Refusal::Wrong("the token is malformed"))?;
        if header.crit.is_some() {
            // RFC 7515, 4.1.11: what is critical must be understood, and none of it is here.
            return Err(Refusal::Wrong("the token needs an extension"));
        }
        Ok(Self { text: text.to_owned(), header })
    }
}

fn in_header<'s>(session: &Session<'s>, name: &HeaderName) -> Result<Option<&'s str>, Refusal> {
    let mut all = session.headers().get_all(name).iter();
    let (first, second) = (all.next(), all.next());
    if second.is_some() {
        return Err(Refusal::Repeated);
    }
    let text = first.and_then(|value| value.to_str().ok()).map(str::trim);
    Ok(text.and_then(|text| match text.split_once(' ') {
        Some((scheme, token)) => scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start()),
        None => (name != AUTHORIZATION).then_some(text),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::testing::Fixture;

    /// `{"alg":"EdDSA","kid":"a"}`, no claims, a signature of nothing.
    const TOKEN: &str = "eyJhbGciOiJFZERTQSIsImtpZCI6ImEifQ.e30.";

    fn read(carrier: &Carrier, headers: &[(&'static str, &'static str)]) -> Result<String, Refusal> {
        let fixture = Fixture::new(&[1], |_| ()).with_request("/", headers);
        Token::read(&fixture.session(), carrier).map(|token| token.text)
    }

    #[tokio::test]
    async fn p1_a_bearer_token_is_in_authorization() {
        let carrier = Carrier::Header(AUTHORIZATION);
        let read = |value: &'static str| read(&carrier, &[("authorization", value)]);
        assert_eq!(read("Bearer eyJhbGciOiJFZERTQSIsImtpZCI6ImEifQ.e30.").as_deref(), Ok(TOKEN));
        assert_eq!(read("bearer  eyJhbGciOiJFZERTQSIsImtpZCI6ImEifQ.e30. ").as_deref(), Ok(TOKEN));
        for missing in ["", "Bearer", "Bearer  ", "Basic YWRhOmE6Yg==", TOKEN] {
            assert_eq!(read(missing), Err(Refusal::Missing), "{missing}");
        }
        for malformed in ["Bearer a", "Bearer a.b", "Bearer a.b.c", "Bearer a.b.c.d.e", "Bearer .."] {
            assert_eq!(read(malformed).unwrap_err(), Refusal::Wrong("the token is malformed"), "{malformed}");
        }
    }

    #[tokio::test]
    async fn p1_a_token_may_be_in_another_header_or_a_cookie() {
        let header = Carrier::Header(HeaderName::from_static("x-token"));
        assert_eq!(read(&header, &[("x-token", TOKEN)]).as_deref(), Ok(TOKEN));
        let bearer = "Bearer eyJhbGciOiJFZERTQSIsImtpZCI6ImEifQ.e30.";
        assert_eq!(read(&header, &[("x-token", bearer)]).as_deref(), Ok(TOKEN));
        let cookie = Carrier::Cookie("t".to_owned());
        let cookies = [("cookie", "a=b; t=eyJhbGciOiJFZERTQSIsImtpZCI6ImEifQ.e30.")];
        assert_eq!(read(&cookie, &cookies).as_deref(), Ok(TOKEN));
        assert_eq!(read(&cookie, &[("authorization", bearer)]), Err(Refusal::Missing));
    }

    #[tokio::test]
    async fn p1_several_tokens_are_refused_as_the_upstream_might_take_another() {
        let carrier = Carrier::Header(AUTHORIZATION);
        let twice = [("authorization", "Bearer a.b.c"), ("authorization", "Bearer d.e.f")];
        assert_eq!(read(&carrier, &twice), Err(Refusal::Repeated));
    }
}
