//! Why a request is not let in (RFC 6750, 3.1).

use http::header::WWW_AUTHENTICATE;
use http::{HeaderValue, StatusCode};
use jsonwebtoken::errors::{Error, ErrorKind};

use crate::plugin::Halt;

/// Why a request is not let in; says nothing of what is in the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There is no token: a client may not know that it needs one.
    Missing,
    /// There are several: the upstream might take another one.
    Repeated,
    /// The token does not fit.
    Wrong(&'static str),
}

impl Refusal {
    /// Why a token does not fit.
    pub(super) fn of(error: &Error) -> Self {
        Self::Wrong(match error.kind() {
            ErrorKind::InvalidSignature => "the signature is not that of a known key",
            ErrorKind::InvalidAlgorithm => "the algorithm is not that of the key",
            ErrorKind::ExpiredSignature => "the token has expired",
            ErrorKind::ImmatureSignature => "the token is not valid yet",
            ErrorKind::InvalidIssuer => "the token is of another issuer",
            ErrorKind::InvalidAudience => "the token is for another audience",
            ErrorKind::MissingRequiredClaim(_) => "the token lacks a claim",
            _ => "the token is malformed",
        })
    }

    /// The answer.
    pub(super) fn halt(self) -> Halt {
        let (status, error, text) = match self {
            Self::Missing => (StatusCode::UNAUTHORIZED, "", "a token is needed"),
            Self::Repeated => (StatusCode::BAD_REQUEST, "invalid_request", "one token is enough"),
            Self::Wrong(text) => (StatusCode::UNAUTHORIZED, "invalid_token", text),
        };
        let challenge = match error {
            "" => "Bearer".to_owned(),
            error => format!("Bearer error=\"{error}\", error_description=\"{text}\""),
        };
        // All of these texts are legal in a header.
        let challenge = HeaderValue::try_from(challenge).unwrap_or(HeaderValue::from_static("Bearer"));
        Halt::new(status, format!("{text}\n")).with(WWW_AUTHENTICATE, challenge)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p1_a_refusal_says_what_is_wrong_with_the_token() {
        let answer = |refusal: Refusal| {
            let halt = refusal.halt();
            (halt.status.as_u16(), halt.headers[WWW_AUTHENTICATE].to_str().unwrap().to_owned())
        };
        assert_eq!(answer(Refusal::Missing), (401, "Bearer".to_owned()));
        let wrong = "Bearer error=\"invalid_token\", error_description=\"the token has expired\"";
        assert_eq!(answer(Refusal::of(&ErrorKind::ExpiredSignature.into())), (401, wrong.to_owned()));
        let repeated = "Bearer error=\"invalid_request\", error_description=\"one token is enough\"";
        assert_eq!(answer(Refusal::Repeated), (400, repeated.to_owned()));
    }
}
