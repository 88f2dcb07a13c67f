//! `Regex` paths of one host (M4).
//!
//! One set of all patterns would do, but a set of thousands outgrows its automaton and then takes
//! milliseconds a search. So patterns are kept by the text with which every match begins, which is known for
//! `^/shop/[0-9]+`; the others share the empty one. And no set has more than [`SET_LIMIT`] patterns.

use std::collections::BTreeMap;
use std::sync::Arc;

use regex::{Regex, RegexSet, RegexSetBuilder};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Hir, HirKind, Look};
use weir_proto::model::{PathMatch, Pattern};

use super::Head;
use super::condition::Candidate;
use super::prefix::PrefixMap;

/// Most patterns of one set.
const SET_LIMIT: usize = 256;

/// Most bytes that one compiled set may take.
const SET_BYTES: usize = 32 << 20;

/// From this many patterns on, one search of a set is cheaper than a search of each.
const SET_MINIMUM: usize = 5;

/// The regex rules of a host.
#[derive(Debug, Default)]
pub(super) struct Regexes {
    /// In order.
    rules: Arc<Vec<Candidate>>,
    by_beginning: PrefixMap<Vec<Block>>,
}

/// Consecutive rules whose patterns begin alike.
#[derive(Debug)]
struct Block {
    /// Where they are among all regex rules.
    places: Vec<usize>,
    patterns: Arc<Patterns>,
}

impl Regexes {
    /// Compiles the rules, which are in order, but for the sets that `previous` has already; shares it if it is
    /// of these very rules.
    pub(super) fn renew(rules: &Arc<Vec<Candidate>>, previous: &Arc<Self>) -> Arc<Self> {
        if Arc::ptr_eq(rules, &previous.rules) {
            Arc::clone(previous)
        } else {
            Arc::new(Self::compile(rules, previous))
        }
    }

    fn compile(rules: &Arc<Vec<Candidate>>, previous: &Self) -> Self {
        let mut by_beginning: BTreeMap<Box<[u8]>, Vec<(usize, &Pattern)>> = BTreeMap::new();
        for (place, candidate) in rules.iter().enumerate() {
            if let PathMatch::Regex { pattern, order: _ } = &candidate.chain.rule.path {
                by_beginning.entry(beginning(pattern)).or_default().push((place, pattern));
            }
        }
        let blocks = by_beginning.into_iter().map(|(beginning, rules)| {
            let old = previous.by_beginning.get(&beginning);
            (beginning, blocks(rules, old.map_or(&[], Vec::as_slice)))
        });
        Self { rules: Arc::clone(rules), by_beginning: PrefixMap::new(blocks.collect()) }
    }

    /// Number of the best rule that holds.
    pub(super) fn find(&self, head: &Head<'_>) -> Option<usize> {
        let groups = self.by_beginning.prefixes_of(head.path.as_bytes());
        let found = groups.filter_map(|blocks| blocks.iter().find_map(|block| block.find(&self.rules, head)));
        found.min().map(|place| self.rules[place].number)
    }
}

fn blocks(rules: Vec<(usize, &Pattern)>, old: &[Block]) -> Vec<Block> {
    let mut rules = rules.into_iter().peekable();
    let mut blocks = Vec::new();
    while rules.peek().is_some() {
        let (places, patterns): (Vec<_>, Vec<_>) =
            rules.by_ref().take(SET_LIMIT).map(|(place, pattern)| (place, pattern.clone())).unzip();
        let same = old.iter().find(|block| block.patterns.patterns == patterns);
        let patterns =
            same.map_or_else(|| Arc::new(Patterns::compile(patterns, SET_BYTES)), |block| Arc::clone(&block.patterns));
        blocks.push(Block { places, patterns });
    }
    blocks
}

impl Block {
    fn find(&self, rules: &[Candidate], head: &Head<'_>) -> Option<usize> {
        let first = self.patterns.first_match(head.path, |pattern| rules[self.places[pattern]].holds(head))?;
        Some(self.places[first])
    }
}

/// Patterns that are searched together.
#[derive(Debug)]
struct Patterns {
    patterns: Vec<Pattern>,
    /// `None` for few patterns, and if they are too large together: then each is searched by itself.
    set: Option<RegexSet>,
}

impl Patterns {
    fn compile(patterns: Vec<Pattern>, limit: usize) -> Self {
        let wanted = patterns.len() >= SET_MINIMUM;
        let set = wanted.then(|| compile_set(&patterns, limit)).flatten();
        Self { patterns, set }
    }

    /// The first pattern that is found in `path` and accepted. Allocates only if a set has a match.
    fn first_match(&self, path: &str, accept: impl Fn(usize) -> bool) -> Option<usize> {
        match &self.set {
            None => (0..self.patterns.len()).find(|place| self.regex(*place).is_match(path) && accept(*place)),
            Some(set) if set.is_match(path) => set.matches(path).iter().find(|place| accept(*place)),
            Some(_) => None,
        }
    }

    fn regex(&self, place: usize) -> &Regex {
        self.patterns[place].regex()
    }
}

fn compile_set(patterns: &[Pattern], limit: usize) -> Option<RegexSet> {
    // The builder knows one case rule for all, so that each pattern brings its own.
    let texts = patterns.iter().map(|pattern| {
        let flags = if pattern.case_insensitive() { "(?i)" } else { "" };
        format!("{flags}{}", pattern.as_str())
    });
    RegexSetBuilder::new(texts).size_limit(limit).build().ok()
}

/// The text with which every path begins in which the pattern is found.
fn beginning(pattern: &Pattern) -> Box<[u8]> {
    let parsed = ParserBuilder::new().case_insensitive(pattern.case_insensitive()).build().parse(pattern.as_str());
    // Always parses, as the pattern was compiled; the empty beginning is right in any case.
    let Ok(HirKind::Concat(parts)) = parsed.map(Hir::into_kind) else { return Box::default() };
    match (parts.first().map(Hir::kind), parts.get(1).map(Hir::kind)) {
        (Some(HirKind::Look(Look::Start)), Some(HirKind::Literal(literal))) => literal.0.clone(),
        _ => Box::default(),
    }
}

#[cfg(test)]
mod tests {
    use weir_proto::model::Rule;

    use super::super::canonical::{CanonicalRule, RuleChain};
    use super::*;

    fn patterns(texts: &[&str]) -> Vec<Pattern> {
        texts.iter().map(|text| Pattern::new(text, false).unwrap()).collect()
    }

    #[test]
    fn the_beginning_is_known_of_anchored_patterns() {
        let cases = [
            ("^/shop/[0-9]+", "/shop/"),
            ("^/shop$", "/shop"),
            ("^/shop(/|$)", "/shop"),
            (r"^/a\.b", "/a.b"),
            ("^(?:/a)b", "/ab"),
            ("^/ab?", "/a"),
            ("/shop", ""),
            ("^/a|^/b", ""),
            ("^[/]?a", ""),
            ("(?m)^/a", ""),
            (r"\.php$", ""),
            ("", ""),
        ];
        for (text, expected) in cases {
            assert_eq!(&*beginning(&Pattern::new(text, false).unwrap()), expected.as_bytes(), "{text}");
        }
        assert_eq!(&*beginning(&Pattern::new("^/Shop", true).unwrap()), b"/");
    }

    #[test]
    fn sets_too_large_are_searched_pattern_by_pattern() {
        let texts = ["a{2}", "b{2}", "c{2}", "d{2}", "[ab]c", "b"];
        let (set, each) = (Patterns::compile(patterns(&texts), SET_BYTES), Patterns::compile(patterns(&texts), 10));
        assert!(set.set.is_some() && each.set.is_none());
        for path in ["/bb", "/aabb", "/bc", "/x", "/dd"] {
            for refused in 0..texts.len() {
                let find = |patterns: &Patterns| patterns.first_match(path, |place| place != refused);
                assert_eq!(find(&set), find(&each), "{path} without {refused}");
            }
        }
    }

    #[test]
    fn sets_keep_each_patterns_own_case_rule_and_flags() {
        let mut all = patterns(&["aa", "bb", "cc", "dd", "ee"]);
        all[1] = Pattern::new("bb|xx", true).unwrap();
        all[3] = Pattern::new("(?x) d d # comment", true).unwrap();
        let set = Patterns::compile(all, SET_BYTES);
        assert!(set.set.is_some());
        let find = |path| set.first_match(path, |_| true);
        assert_eq!(
            (find("AA"), find("BB"), find("XX"), find("DD"), find("ee")),
            (None, Some(1), Some(1), Some(3), Some(4))
        );
    }

    fn compiled(patterns: &[Pattern], previous: &Regexes) -> Regexes {
        let candidate = |(number, pattern): (usize, &Pattern)| {
            let path = PathMatch::Regex { pattern: pattern.clone(), order: 0 };
            let rule = CanonicalRule::new(&Rule { path: Some(path), ..Rule::default() });
            Candidate::new(number, &Arc::new(RuleChain::new(None, Arc::new(rule))))
        };
        Regexes::compile(&Arc::new(patterns.iter().enumerate().map(candidate).collect()), previous)
    }

    #[test]
    fn sets_that_stay_the_same_are_not_compiled_again() {
        let old = compiled(&patterns(&["^/a[12]", "^/a[34]", "x", "y"]), &Regexes::default());
        let new = compiled(&patterns(&["^/b", "^/a[12]", "^/a[34]", "x"]), &old);
        let set = |regexes: &Regexes, beginning: &str| {
            let blocks = regexes.by_beginning.get(beginning.as_bytes()).unwrap();
            Arc::clone(&blocks[0].patterns)
        };
        assert!(Arc::ptr_eq(&set(&old, "/a"), &set(&new, "/a")));
        assert!(!Arc::ptr_eq(&set(&old, ""), &set(&new, "")));
    }

    #[test]
    fn the_best_of_all_beginnings_and_sets_is_found() {
        let many: Vec<String> = (0..2 * SET_LIMIT).map(|i| format!("x{i}$")).collect();
        let texts: Vec<&str> = many.iter().map(String::as_str).chain(["^/a", "^/a/b", "b"]).collect();
        let regexes = compiled(&patterns(&texts), &Regexes::default());
        let find = |path: &str| {
            let (method, headers) = (http::Method::GET, http::HeaderMap::new());
            regexes.find(&Head { host: "", path, query: None, method: &method, headers: &headers })
        };
        let last = 2 * SET_LIMIT - 1;
        assert_eq!(find(&format!("/a/x{last}")), Some(last));
        assert_eq!((find("/a/b"), find("/c/b"), find("/c")), (Some(last + 1), Some(last + 3), None));
    }
}
