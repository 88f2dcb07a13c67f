//! `Exact` and `Prefix` paths as a trie of segments (M4).

use std::iter::once;
use std::sync::Arc;

use hashbrown::HashMap;

use super::Head;
use super::condition::{Candidate, first};

/// A path is walked once, whatever the number of rules, and again for each prefix of which no rule holds. A copy
/// shares all nodes, and a change of it makes anew only those on the way to the changed rule.
#[derive(Debug, Clone, Default)]
pub(super) struct PathTrie {
    /// Stands for the prefix `/`.
    root: Arc<Node>,
}

#[derive(Debug, Clone, Default)]
struct Node {
    children: HashMap<Arc<str>, Arc<Node>>,
    /// In their order, as those of `prefix`.
    exact: Vec<Candidate>,
    prefix: Vec<Candidate>,
}

/// What a path meets in the trie.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'t> {
    trie: &'t PathTrie,
    /// The rules of this very path.
    exact: &'t [Candidate],
    /// The deepest node with rules for all that begins like this, and how many segments lead to it.
    nearest: Option<(usize, &'t Node)>,
}

impl PathTrie {
    /// Lets the exact rules of this path be edited.
    pub(super) fn edit_exact(&mut self, path: &str, edit: impl FnOnce(&mut Vec<Candidate>)) {
        edit(&mut self.make(segments(path)).exact);
        self.prune(path);
    }

    /// As [`PathTrie::edit_exact`]; `prefix` has no slash at its end.
    pub(super) fn edit_prefix(&mut self, prefix: &str, edit: impl FnOnce(&mut Vec<Candidate>)) {
        edit(&mut self.make(segments(prefix)).prefix);
        self.prune(prefix);
    }

    fn make<'p>(&mut self, way: impl Iterator<Item = &'p str>) -> &mut Node {
        let root = Arc::make_mut(&mut self.root);
        way.fold(root, |node, segment| Arc::make_mut(node.children.entry(segment.into()).or_default()))
    }

    /// Takes away what leads to this path alone, if no rule is left there.
    fn prune(&mut self, path: &str) {
        let (mut node, mut needed) = (&self.root, 0);
        for (depth, segment) in (1..).zip(segments(path)) {
            let Some(child) = node.children.get(segment) else { return };
            node = child;
            if node.has_rules() || node.children.len() > 1 {
                needed = depth;
            }
        }
        let is_leaf = node.children.is_empty();
        let mut way = segments(path);
        let last = self.make(way.by_ref().take(needed));
        if let Some(segment) = way.next().filter(|_| is_leaf) {
            last.children.remove(segment);
        }
    }

    /// Walks the path.
    pub(super) fn place(&self, path: &str) -> Place<'_> {
        let mut node = &*self.root;
        let mut place = Place { trie: self, exact: &[], nearest: node.has_prefix_rules().then_some((0, node)) };
        for (depth, segment) in (1..).zip(segments(path)) {
            let Some(child) = node.children.get(segment) else { return place };
            node = child;
            if node.has_prefix_rules() {
                place.nearest = Some((depth, node));
            }
        }
        Place { exact: &node.exact, ..place }
    }

    /// The deepest node with prefix rules to which fewer than `depth` segments of the path lead.
    fn nearest_above(&self, path: &str, depth: usize) -> Option<(usize, &Node)> {
        let down = segments(path).scan(&self.root, |node, segment| {
            *node = node.children.get(segment)?;
            Some(*node)
        });
        let above = once(&self.root).chain(down).take(depth).map(|node| &**node).enumerate();
        above.filter(|(_, node)| node.has_prefix_rules()).last()
    }
}

impl Node {
    fn has_rules(&self) -> bool {
        !self.exact.is_empty() || self.has_prefix_rules()
    }

    fn has_prefix_rules(&self) -> bool {
        !self.prefix.is_empty()
    }
}

impl Drop for Node {
    /// One node after the other: a path may have more segments than the stack has room for.
    fn drop(&mut self) {
        let mut rest: Vec<Arc<Self>> = self.children.drain().map(|(_, child)| child).collect();
        while let Some(mut node) = rest.pop().map(Arc::into_inner) {
            rest.extend(node.iter_mut().flat_map(|node| node.children.drain()).map(|(_, child)| child));
        }
    }
}

impl Place<'_> {
    /// The best exact rule that holds.
    pub(super) fn exact(self, head: &Head<'_>) -> Option<usize> {
        first(self.exact, head)
    }

    /// The best prefix rule that holds.
    pub(super) fn prefix(self, head: &Head<'_>) -> Option<usize> {
        let mut nearest = self.nearest;
        while let Some((depth, node)) = nearest {
            if let Some(number) = first(&node.prefix, head) {
                return Some(number);
            }
            nearest = self.trie.nearest_above(head.path, depth);
        }
        None
    }
}

/// What stands behind each slash: nothing for the empty prefix, one empty segment for `/`.
fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.strip_prefix('/').into_iter().flat_map(|rest| rest.split('/'))
}

#[cfg(test)]
mod tests {
    use weir_proto::model::Rule;

    use super::super::canonical::{CanonicalRule, RuleChain};
    use super::*;

    fn candidate(number: usize) -> Candidate {
        let rule = Arc::new(CanonicalRule::new(&Rule::default()));
        Candidate::new(number, &Arc::new(RuleChain::new(None, rule)))
    }

    fn add(trie: &mut PathTrie, path: &str) {
        trie.edit_exact(path, |rules| rules.push(candidate(0)));
    }

    fn all_nodes(trie: &PathTrie) -> Vec<*const Node> {
        let mut nodes = vec![&trie.root];
        let mut next = 0;
        while let Some(node) = nodes.get(next).copied() {
            nodes.extend(node.children.values());
            next += 1;
        }
        nodes.into_iter().map(Arc::as_ptr).collect()
    }

    #[test]
    fn p5_a_rule_more_or_less_leaves_all_nodes_but_those_on_its_way_shared() {
        let mut trie = PathTrie::default();
        (0..1_000).for_each(|i| add(&mut trie, &format!("/api/service{i}/v1")));
        let old = trie.clone();
        let own = |trie: &PathTrie| all_nodes(trie).into_iter().filter(|node| !all_nodes(&old).contains(node)).count();
        add(&mut trie, "/api/service7/v1/items");
        assert_eq!(own(&trie), 5, "the root and one a segment");
        trie.edit_exact("/api/service7/v1/items", Vec::clear);
        assert_eq!((own(&trie), all_nodes(&trie).len()), (4, all_nodes(&old).len()));
    }

    #[test]
    fn nothing_is_left_of_rules_that_go() {
        let paths = ["/a/b/c", "/a", "/a/b/d", "/", "/x/y"];
        let mut trie = PathTrie::default();
        paths.iter().for_each(|path| add(&mut trie, path));
        trie.edit_prefix("/a/b", |rules| rules.push(candidate(1)));
        for (path, left) in paths.into_iter().zip([7, 7, 6, 5, 3]) {
            trie.edit_exact(path, Vec::clear);
            assert_eq!(all_nodes(&trie).len(), left, "{path}");
        }
        trie.edit_prefix("/a/b", Vec::clear);
        assert_eq!(all_nodes(&trie).len(), 1);
    }

    #[test]
    fn paths_may_have_more_segments_than_fit_on_a_stack() {
        let long = "/a".repeat(200_000);
        let mut trie = PathTrie::default();
        add(&mut trie, &long);
        assert_eq!(trie.place(&long).exact.len(), 1);
        drop(trie);
    }
}
