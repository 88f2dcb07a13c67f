//! Values by text, looked up for every text that begins with it.

use std::collections::BTreeMap;

/// Looking up costs one binary search, and a step for each prefix found.
#[derive(Debug, Default)]
pub(super) struct PrefixMap<T> {
    /// In order of prefix.
    entries: Vec<Entry<T>>,
}

#[derive(Debug)]
struct Entry<T> {
    prefix: Box<[u8]>,
    value: T,
    /// The longest entry that is a prefix of this one.
    shorter: Option<usize>,
}

impl<T> PrefixMap<T> {
    pub(super) fn new(values: BTreeMap<Box<[u8]>, T>) -> Self {
        let mut map = Self { entries: Vec::with_capacity(values.len()) };
        for (prefix, value) in values {
            let shorter = map.longest(map.entries.len(), &prefix);
            map.entries.push(Entry { prefix, value, shorter });
        }
        map
    }

    /// The value of this very prefix.
    pub(super) fn get(&self, prefix: &[u8]) -> Option<&T> {
        let index = self.entries.binary_search_by(|entry| (*entry.prefix).cmp(prefix)).ok()?;
        Some(&self.entries[index].value)
    }

    /// The values of all prefixes of `text`, the longest first.
    pub(super) fn prefixes_of(&self, text: &[u8]) -> impl Iterator<Item = &T> {
        let end = self.entries.partition_point(|entry| *entry.prefix <= *text);
        let longest = self.longest(end, text);
        let chain = std::iter::successors(longest, |index| self.entries[*index].shorter);
        chain.map(|index| &self.entries[index].value)
    }

    /// The longest prefix of `text`, where `end` entries are not greater than it. The last of them begins
    /// with each prefix of `text`, as whatever lies between a text and its prefix does.
    fn longest(&self, end: usize, text: &[u8]) -> Option<usize> {
        let mut chain = std::iter::successors(end.checked_sub(1), |index| self.entries[*index].shorter);
        chain.find(|index| text.starts_with(&self.entries[*index].prefix))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn map(prefixes: &[String]) -> PrefixMap<String> {
        PrefixMap::new(prefixes.iter().map(|prefix| (prefix.as_bytes().into(), prefix.clone())).collect())
    }

    proptest! {
        #[test]
        fn every_prefix_is_found_longest_first(
            prefixes in prop::collection::vec("[ab/]{0,5}", 0..12),
            text in "[ab/]{0,8}",
        ) {
            let mut expected: Vec<&String> = prefixes.iter().filter(|prefix| text.starts_with(*prefix)).collect();
            expected.sort_by_key(|prefix| std::cmp::Reverse(prefix.len()));
            expected.dedup();
            let map = map(&prefixes);
            prop_assert_eq!(map.prefixes_of(text.as_bytes()).collect::<Vec<_>>(), expected);
            prop_assert_eq!(map.get(text.as_bytes()).is_some(), prefixes.contains(&text));
        }
    }
}
