//! What follows from the answer of an auth server.

use std::error::Error;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, TRAILER};
use http::response::Parts;
use http::{HeaderMap, HeaderName, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Limited};
use tokio::time::{Instant, timeout_at};
use weir_proto::model::plugin::param::ExternalAuth;

use crate::http::headers::{self, Upgrade};
use crate::plugin::change::HeaderChange;
use crate::plugin::{Change, Changes, Halt, Resumed};

/// Most bytes of an answer's body.
const MOST_BODY: usize = 64 << 10;

/// What follows from this answer. What has been decided stays, whatever becomes of the body: a refusal never lets a
/// request in.
pub(super) async fn conclude<B>(response: Response<B>, deadline: Instant, param: &ExternalAuth) -> Resumed
where
    B: Body<Error: Into<Box<dyn Error + Send + Sync>>>,
{
    let (head, body) = response.into_parts();
    // Read to its end in any case: only then the connection can be used again.
    let body = timeout_at(deadline, Limited::new(body, MOST_BODY).collect()).await;
    if head.status.is_success() {
        return Resumed { changes: passed_on(&head.headers, param), halt: None };
    }
    let body = body.ok().and_then(Result::ok).map(|body| body.to_bytes());
    Resumed { changes: Changes::new(), halt: Some(Box::new(refusal(head, body))) }
}

/// The chosen headers, for the upstream and for the client. What the client sent under the names of the former is taken out
/// before.
fn passed_on(headers: &HeaderMap, param: &ExternalAuth) -> Changes {
    let added = |name: &HeaderName| {
        let values = headers.get_all(name).iter();
        values.map(|value| HeaderChange::Add(name.clone(), value.clone())).collect::<Vec<_>>()
    };
    let upstream = param.response_headers.iter().flat_map(added).map(Change::Request);
    upstream.chain(param.client_headers.iter().flat_map(added).map(Change::Response)).collect()
}

/// The answer itself; without its body if that is too long, late or broken.
fn refusal(head: Parts, body: Option<Bytes>) -> Halt {
    let Parts { status, version, mut headers, .. } = head;
    headers::prepare_response(&mut headers, version, Upgrade::Strip);
    let framing = [CONTENT_LENGTH, TRAILER];
    let of_body = if body.is_none() { [CONTENT_TYPE, CONTENT_ENCODING].as_slice() } else { &[] };
    for name in framing.iter().chain(of_body) {
        headers.remove(name);
    }
    // Statuses beyond 599 have no class that a client would know.
    let status = if status.as_u16() < 600 { status } else { StatusCode::BAD_GATEWAY };
    Halt { status, headers, body: body.unwrap_or_default(), plugin: None }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::convert::Infallible;
    use std::time::Duration;

    use http::HeaderValue;
    use http::header::SET_COOKIE;
    use http_body_util::Full;
    use http_body_util::combinators::BoxBody;

    use super::*;

    fn response(
        status: u16,
        headers: &[(&'static str, &'static str)],
        body: Bytes,
    ) -> Response<BoxBody<Bytes, Infallible>> {
        let mut response = Response::new(Full::new(body).boxed());
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        for (name, value) in headers {
            response.headers_mut().append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        response
    }

    async fn conclude(response: Response<BoxBody<Bytes, Infallible>>, upstream: &[&'static str]) -> Resumed {
        let param = ExternalAuth {
            url: "http://auth/".parse().unwrap(),
            timeout: Duration::from_secs(1),
            request_headers: Vec::new(),
            response_headers: upstream.iter().copied().map(HeaderName::from_static).collect(),
            client_headers: vec![SET_COOKIE],
        };
        super::conclude(response, Instant::now() + param.timeout, &param).await
    }

    #[tokio::test]
    async fn p1_what_lets_in_passes_chosen_headers_on() {
        let names = ["x-user", "x-role", "x-absent"];
        let sent = [
            ("x-user", "ada"),
            ("x-role", "a"),
            ("x-role", "b"),
            ("x-other", "1"),
            ("set-cookie", "s=1"),
            ("set-cookie", "t=2"),
        ];
        let Resumed { changes, halt } = conclude(response(204, &sent, Bytes::new()), &names).await;
        let (mut upstream, mut client) = (HeaderMap::new(), HeaderMap::new());
        for change in changes {
            match change {
                Change::Request(change) => change.apply(&mut upstream),
                Change::Response(change) => change.apply(&mut client),
                other => panic!("{other:?}"),
            }
        }
        assert!(halt.is_none() && upstream.len() == 3 && client.len() == 2, "{upstream:?} {client:?}");
        assert_eq!(upstream.get_all("x-role").iter().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(client.get_all(SET_COOKIE).iter().collect::<Vec<_>>(), ["s=1", "t=2"]);
    }

    #[tokio::test]
    async fn p1_anything_else_is_the_answer() {
        let sent = [
            ("location", "/login"),
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
            ("www-authenticate", "Bearer"),
            ("connection", "x-hop"),
            ("x-hop", "1"),
            ("content-length", "5"),
        ];
        let halt = *conclude(response(302, &sent, "login".into()), &[]).await.halt.unwrap();
        assert_eq!((halt.status.as_u16(), &halt.body[..]), (302, &b"login"[..]));
        assert_eq!(halt.headers["location"], "/login");
        assert_eq!(halt.headers.get_all("set-cookie").iter().count(), 2);
        assert!(!["connection", "x-hop", "content-length"].iter().any(|name| halt.headers.contains_key(*name)));
        for (status, expected) in [(401, 401), (403, 403), (500, 500), (999, 502)] {
            let halt = conclude(response(status, &[], Bytes::new()), &[]).await.halt.unwrap();
            assert_eq!(halt.status.as_u16(), expected);
        }
    }

    #[tokio::test]
    async fn p1_a_refusal_whose_body_is_too_long_is_one_nevertheless() {
        let sent = [("content-type", "text/html"), ("content-encoding", "gzip"), ("x-reason", "1")];
        let halt = *conclude(response(403, &sent, vec![b'x'; MOST_BODY + 1].into()), &[]).await.halt.unwrap();
        assert_eq!((halt.status.as_u16(), halt.body.len()), (403, 0));
        assert_eq!(halt.headers.keys().map(HeaderName::as_str).collect::<BTreeSet<_>>(), ["via", "x-reason"].into());
    }
}
