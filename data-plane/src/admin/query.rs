//! What is asked for of the list of pools.

use weir_proto::model::ResourceName;

use crate::http::query::parameters;
use crate::pool::Pool;

/// What a query string asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Asked {
    /// As CSV, not JSON.
    pub(super) csv: bool,
    /// Which pools.
    pub(super) pools: Selection,
}

/// Some of the pools, in the order of their names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Selection {
    /// Those with this in their name.
    search: String,
    /// Only those that are not up as a whole.
    problems: bool,
    /// So many of the first are left out.
    offset: usize,
    /// At most so many.
    limit: Option<usize>,
}

impl Asked {
    /// Reads a query string.
    ///
    /// # Errors
    /// Names the parameter that is unknown or cannot be read.
    pub(super) fn parse(query: &str) -> Result<Self, String> {
        let mut asked = Self::default();
        for (name, value) in parameters(query) {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let (name, value) = (text(&name.decode()), text(&value.decode()));
            let number = || value.parse().map_err(|_| format!("{name}: {value:?} is no number"));
            match (&*name, &*value) {
                ("format", "csv") => asked.csv = true,
                ("format", "json") => asked.csv = false,
                ("format", _) => return Err(format!("format: {value:?} is neither json nor csv")),
                ("search", _) => asked.pools.search = value,
                ("problems", "" | "true") => asked.pools.problems = true,
                ("problems", "false") => asked.pools.problems = false,
                ("problems", _) => return Err(format!("problems: {value:?} is neither true nor false")),
                ("offset", _) => asked.pools.offset = number()?,
                ("limit", _) => asked.pools.limit = Some(number()?),
                _ => return Err(format!("{name}: is none of format, search, problems, offset and limit")),
            }
        }
        Ok(asked)
    }
}

impl Selection {
    /// Whether the pool is asked for.
    pub(super) fn has(&self, pool: &Pool) -> bool {
        is_in(&self.search, &pool.config.name) && (!self.problems || has_problem(pool))
    }

    /// Those of `found` that are to be shown.
    pub(super) fn page<'a, T>(&self, found: &'a [T]) -> impl Iterator<Item = &'a T> {
        found.iter().skip(self.offset).take(self.limit.unwrap_or(usize::MAX))
    }
}

fn is_in(search: &str, name: &ResourceName) -> bool {
    search.is_empty() || name.to_string().contains(search)
}

/// An endpoint that should be up is not, or there is none.
fn has_problem(pool: &Pool) -> bool {
    let runtime = &pool.runtime;
    let is_down = || {
        runtime.with_members(|active, _| active.iter().any(|member| member.origin.backend.enabled && !member.is_up()))
    };
    pool.config.enabled && (runtime.view.load().tiers.is_empty() || is_down())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_read() {
        let asked = Asked::parse("format=csv&search=a%2Fb&problems&offset=2&limit=3").unwrap();
        let pools = Selection { search: "a/b".into(), problems: true, offset: 2, limit: Some(3) };
        assert_eq!(asked, Asked { csv: true, pools });
        assert_eq!(Asked::parse("").unwrap(), Asked::default());
        assert_eq!(asked.pools.page(&[0, 1, 2, 3, 4, 5]).copied().collect::<Vec<_>>(), [2, 3, 4]);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (query, said) in [
            ("limits=3", "limits: is none of"),
            ("limit=-1", "limit: \"-1\" is no number"),
            ("format=xml", "format: \"xml\" is neither"),
            ("problems=1", "problems: \"1\" is neither"),
        ] {
            let error = Asked::parse(query).unwrap_err();
            assert!(error.starts_with(said), "{query}: {error}");
        }
    }
}
