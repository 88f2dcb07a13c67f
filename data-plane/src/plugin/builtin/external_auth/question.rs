//! What an auth server is asked.

use bytes::Bytes;
use http::header::USER_AGENT;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use http_body_util::Empty;
use weir_proto::model::plugin::param;

use crate::plugin::change::header_value;
use crate::plugin::{Failure, Session};

const METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
const TARGET: HeaderName = HeaderName::from_static("x-forwarded-uri");

/// What Weir has said of every request already.
const FORWARDED: [HeaderName; 3] = [
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-proto"),
];

/// The question whether this request may come in.
pub(super) fn of(session: &Session<'_>, param: &param::ExternalAuth) -> Result<Request<Empty<Bytes>>, Failure> {
    let mut question = Request::new(Empty::new());
    *question.uri_mut() = param.url.clone();
    let headers = question.headers_mut();
    headers.insert(USER_AGENT, HeaderValue::from_static("weir"));
    for name in param.request_headers.iter().chain(&FORWARDED) {
        copy(session.headers(), name, headers);
    }
    headers.insert(METHOD, header_value(&METHOD, session.method().to_string())?);
    headers.insert(TARGET, header_value(&TARGET, target(session))?);
    Ok(question)
}

/// All fields of this name, in place of what is there.
fn copy(from: &HeaderMap, name: &HeaderName, to: &mut HeaderMap) {
    to.remove(name);
    for value in from.get_all(name) {
        to.append(name, value.clone());
    }
}

fn target(session: &Session<'_>) -> String {
    match session.query() {
        Some(query) => format!("{}?{query}", session.path()),
        None => session.path().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Uri;
    use http::header::{AUTHORIZATION, COOKIE};

    use super::*;
    use crate::plugin::testing::Fixture;

    #[tokio::test]
    async fn p1_a_question_has_the_chosen_headers_and_says_what_is_asked_for() {
        let sent = [
            ("authorization", "Bearer x"),
            ("x-other", "1"),
            ("cookie", "a=1"),
            ("cookie", "b=2"),
            ("x-forwarded-for", "192.0.2.1"),
            ("x-forwarded-method", "DELETE"),
            ("x-forwarded-uri", "/public"),
        ];
        let fixture = Fixture::new(&[1], |_| ()).with_request("/a/b?c=d", &sent);
        let param = param::ExternalAuth {
            url: Uri::from_static("http://auth/check"),
            timeout: Duration::from_secs(1),
            request_headers: vec![AUTHORIZATION, COOKIE],
            response_headers: Vec::new(),
            client_headers: Vec::new(),
        };
        let question = of(&fixture.session(), &param).unwrap();
        let all = |name: &str| question.headers().get_all(name).iter().collect::<Vec<_>>();
        assert_eq!((question.method().as_str(), question.uri()), ("GET", &param.url));
        assert_eq!(all("authorization"), ["Bearer x"]);
        assert_eq!(all("cookie"), ["a=1", "b=2"]);
        assert!(all("x-other").is_empty());
        assert_eq!(all("x-forwarded-for"), ["192.0.2.1"]);
        assert_eq!(all("x-forwarded-method"), ["GET"], "not what the client says");
        assert_eq!(all("x-forwarded-uri"), ["/a/b?c=d"]);
        assert_eq!(all("user-agent"), ["weir"]);
    }
}
