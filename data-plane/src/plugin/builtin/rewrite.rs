//! `Rewrite`: the upstream sees another path or host. Rules are not matched again.

use http::header::HOST;
use http::uri::PathAndQuery;
use weir_proto::model::plugin::param::{self, PathRewrite};

use super::text::Text;
use crate::http::path::normalise;
use crate::plugin::change::HeaderChange;
use crate::plugin::{Change, Failure, Flow, Hooks, Session, Stage, Step};

/// The type.
#[derive(Debug)]
pub(super) struct Rewrite {
    path: Option<PathRewrite>,
    host: Option<Text>,
}

impl Rewrite {
    pub(super) fn new(param: param::Rewrite) -> Self {
        Self { path: param.path, host: param.host.map(Text::new) }
    }

    fn needs_server(&self) -> bool {
        self.host.as_ref().is_some_and(Text::needs_server)
    }

    fn run(&self, session: &mut Session<'_>) -> Step {
        if let Some(path) = self.path.as_ref().and_then(|rewrite| rewritten(rewrite, session.path())) {
            session.change(Change::Target(target(&path, session.query())?));
        }
        if let Some(host) = &self.host {
            let value = host.value(&HOST, session)?;
            session.change_request(HeaderChange::Set(HOST, value));
        }
        Ok(Flow::GoOn)
    }
}

/// The path as it is to be; `None` if it stays.
fn rewritten(rewrite: &PathRewrite, path: &str) -> Option<String> {
    match rewrite {
        PathRewrite::Prefix { from, to } => {
            let rest = path.strip_prefix(from.as_str()).filter(|rest| rest.is_empty() || rest.starts_with('/'))?;
            let whole = format!("{to}{rest}");
            Some(if whole.is_empty() { "/".to_owned() } else { whole })
        }
        PathRewrite::Regex { pattern, with } => {
            pattern.regex().is_match(path).then(|| pattern.regex().replace_all(path, with).into_owned())
        }
    }
}

/// In normal form, like every path that an upstream sees (M5).
fn target(path: &str, query: Option<&str>) -> Result<PathAndQuery, Failure> {
    let refused = |reason: String| Failure::bad_answer(format!("the path {path:?}: {reason}"));
    let path = normalise(path).map_err(|e| refused(e.to_string()))?;
    let target = match query {
        Some(query) => format!("{path}?{query}"),
        None => path.into_owned(),
    };
    PathAndQuery::try_from(target).map_err(|e| refused(e.to_string()))
}

impl Stage for Rewrite {
    fn hooks(&self) -> Hooks {
        Hooks { pre: !self.needs_server(), post: self.needs_server(), ..Hooks::default() }
    }

    fn pre(&self, session: &mut Session<'_>) -> Step {
        self.run(session)
    }

    fn post(&self, session: &mut Session<'_>) -> Step {
        if session.server().is_some() { self.run(session) } else { Ok(Flow::GoOn) }
    }
}

#[cfg(test)]
mod tests {
    use weir_proto::model::Pattern;

    use super::*;

    fn prefix(from: &str, to: &str, path: &str) -> Option<String> {
        rewritten(&PathRewrite::Prefix { from: from.to_owned(), to: to.to_owned() }, path)
    }

    #[test]
    fn p4_prefixes_are_rewritten_by_whole_segments() {
        assert_eq!(prefix("/api", "/v2", "/api/x").as_deref(), Some("/v2/x"));
        assert_eq!(prefix("/api", "/v2", "/api").as_deref(), Some("/v2"));
        assert_eq!(prefix("/api", "/v2", "/apix"), None);
        assert_eq!(prefix("/api", "", "/api").as_deref(), Some("/"));
        assert_eq!(prefix("/api", "", "/api/").as_deref(), Some("/"));
        assert_eq!(prefix("", "/v2", "/x").as_deref(), Some("/v2/x"));
        assert_eq!(prefix("", "/v2", "*"), None, "of OPTIONS");
    }

    #[test]
    fn p4_what_a_pattern_finds_is_rewritten() {
        let pattern = Pattern::new("^/users/([0-9]+)", false).unwrap();
        let rewrite = PathRewrite::Regex { pattern, with: "/u/$1".to_owned() };
        assert_eq!(rewritten(&rewrite, "/users/7/x").as_deref(), Some("/u/7/x"));
        assert_eq!(rewritten(&rewrite, "/users/a"), None);
    }

    #[test]
    fn m5_what_was_rewritten_has_normal_form() {
        assert_eq!(target("/a/../b", Some("q=1")).unwrap(), "/b?q=1");
        assert_eq!(target("/a b", None).ok(), None);
        for bad in ["a", "/%zz", "/a\r\nb"] {
            assert!(target(bad, None).is_err(), "{bad:?}");
        }
    }
}
