//! `Exact` and `Prefix` paths as a trie of segments (M4).

use hashbrown::HashMap;

use super::Head;
use super::condition::{Candidate, first};

/// A path is walked once, whatever the number of rules.
#[derive(Debug)]
pub(super) struct PathTrie {
    /// The first is the root, which stands for the prefix `/`.
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    parent: Option<usize>,
    children: HashMap<Box<str>, usize>,
    exact: Vec<Candidate>,
    prefix: Vec<Candidate>,
}

/// How far a path leads into the trie.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'t> {
    trie: &'t PathTrie,
    deepest: usize,
    /// Whether the deepest node is the path itself and not just its beginning.
    whole: bool,
}

impl PathTrie {
    pub(super) fn new() -> Self {
        Self { nodes: vec![Node::default()] }
    }

    /// Adds a rule; those of one path come in their order.
    pub(super) fn add_exact(&mut self, path: &str, candidate: Candidate) {
        let node = self.make(path);
        self.nodes[node].exact.push(candidate);
    }

    /// As [`PathTrie::add_exact`]; `prefix` has no slash at its end.
    pub(super) fn add_prefix(&mut self, prefix: &str, candidate: Candidate) {
        let node = self.make(prefix);
        self.nodes[node].prefix.push(candidate);
    }

    fn make(&mut self, path: &str) -> usize {
        segments(path).fold(0, |parent, segment| {
            let next = self.nodes.len();
            let child = *self.nodes[parent].children.entry(segment.into()).or_insert(next);
            if child == next {
                self.nodes.push(Node { parent: Some(parent), ..Node::default() });
            }
            child
        })
    }

    /// Walks the path.
    pub(super) fn place(&self, path: &str) -> Place<'_> {
        let mut deepest = 0;
        for segment in segments(path) {
            let Some(child) = self.nodes[deepest].children.get(segment) else {
                return Place { trie: self, deepest, whole: false };
            };
            deepest = *child;
        }
        Place { trie: self, deepest, whole: true }
    }
}

impl Place<'_> {
    /// The best exact rule that holds.
    pub(super) fn exact(self, head: &Head<'_>) -> Option<usize> {
        if self.whole { first(&self.trie.nodes[self.deepest].exact, head) } else { None }
    }

    /// The best prefix rule that holds.
    pub(super) fn prefix(self, head: &Head<'_>) -> Option<usize> {
        let nodes = &self.trie.nodes;
        let mut upwards = std::iter::successors(Some(&nodes[self.deepest]), |node| node.parent.map(|up| &nodes[up]));
        upwards.find_map(|node| first(&node.prefix, head))
    }
}

/// What stands behind each slash: nothing for the empty prefix, one empty segment for `/`.
fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.strip_prefix('/').into_iter().flat_map(|rest| rest.split('/'))
}
