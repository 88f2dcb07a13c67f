//! `ApiKey`: lets requests in by a key in a header; others are answered 401.

use std::collections::HashSet;

use http::header::WWW_AUTHENTICATE;
use http::{HeaderName, HeaderValue, StatusCode};
use ring::digest::{SHA256, digest};
use weir_proto::model::plugin::param;

use crate::plugin::{Flow, Halt, Hooks, Session, Stage, Step};

/// The type.
#[derive(Debug)]
pub(super) struct ApiKey {
    header: HeaderName,
    /// Hashes, as the time that it takes to look one up says nothing about the keys.
    keys: HashSet<Box<[u8]>>,
}

impl ApiKey {
    pub(super) fn new(param: param::ApiKey) -> Self {
        let param::ApiKey { header, keys } = param;
        Self { header, keys: keys.iter().map(|key| digest(&SHA256, key).as_ref().into()).collect() }
    }
}

impl Stage for ApiKey {
    fn hooks(&self) -> Hooks {
        Hooks { pre: true, ..Hooks::default() }
    }

    fn pre(&self, session: &mut Session<'_>) -> Step {
        let key = session.headers().get(&self.header);
        if key.is_some_and(|key| self.keys.contains(digest(&SHA256, key.as_bytes()).as_ref())) {
            return Ok(Flow::GoOn);
        }
        let halt = Halt::new(StatusCode::UNAUTHORIZED, "a key is needed\n");
        Ok(halt.with(WWW_AUTHENTICATE, HeaderValue::from_static("ApiKey")).into())
    }
}
