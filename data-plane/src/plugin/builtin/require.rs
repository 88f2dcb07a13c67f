//! `Require`: lets requests in by headers, cookies and query parameters.

use http::StatusCode;
use weir_proto::model::plugin::param;

use crate::http::cookie;
use crate::matcher::condition::{HeaderCondition, QueryCondition, Test};
use crate::plugin::{Flow, Halt, Hooks, Session, Stage, Step};

/// The type.
#[derive(Debug)]
pub(super) struct Require {
    headers: Box<[HeaderCondition]>,
    cookies: Box<[(String, Test)]>,
    query: Box<[QueryCondition]>,
    status: StatusCode,
}

impl Require {
    pub(super) fn new(param: &param::Require) -> Self {
        let param::Require { headers, cookies, query, status } = param;
        Self {
            headers: headers.iter().map(HeaderCondition::compile).collect(),
            cookies: cookies.iter().map(|cookie| (cookie.name.clone(), Test::compile(&cookie.test))).collect(),
            query: query.iter().map(QueryCondition::compile).collect(),
            status: *status,
        }
    }

    fn lets_in(&self, session: &Session<'_>) -> bool {
        let (headers, query) = (session.headers(), session.query().unwrap_or_default());
        self.headers.iter().all(|header| header.holds(headers))
            && self.cookies.iter().all(|(name, test)| cookie::value(headers, name).is_some_and(|v| test.holds(v)))
            && self.query.iter().all(|parameter| parameter.holds(query))
    }
}

impl Stage for Require {
    fn hooks(&self) -> Hooks {
        Hooks { pre: true, ..Hooks::default() }
    }

    fn pre(&self, session: &mut Session<'_>) -> Step {
        if self.lets_in(session) {
            return Ok(Flow::GoOn);
        }
        Ok(Halt::new(self.status, "the request lacks what is required\n").into())
    }
}
