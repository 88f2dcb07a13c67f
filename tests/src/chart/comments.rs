//! The comments above the keys of a YAML text.

use std::collections::BTreeMap;

/// What begins a line of a comment that is for the schema.
const SCHEMA: &str = "@schema ";

/// The comment above one key.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Comment {
    /// For people, on one line.
    pub(super) description: String,
    /// For the schema, as YAML.
    pub(super) schema: String,
}

impl Comment {
    fn add(&mut self, line: &str) {
        let (text, line) = match line.strip_prefix(SCHEMA) {
            Some(schema) => (&mut self.schema, schema),
            None => (&mut self.description, line),
        };
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(line);
    }
}

/// Comments by the path of their key, such as `image.registry`. A blank line parts a comment from what follows.
pub(super) fn comments(text: &str) -> BTreeMap<String, Comment> {
    let mut found = BTreeMap::new();
    let mut path: Vec<(usize, &str)> = Vec::new();
    let mut above = Comment::default();
    for line in text.lines() {
        let content = line.trim_start();
        if let Some(comment) = content.strip_prefix('#') {
            above.add(comment.trim());
            continue;
        }
        let comment = std::mem::take(&mut above);
        if let Some(key) = key(content) {
            let depth = line.len() - content.len();
            path.retain(|(outer, _)| *outer < depth);
            path.push((depth, key));
            found.insert(path.iter().map(|(_, key)| *key).collect::<Vec<_>>().join("."), comment);
        }
    }
    found
}

/// The key that a line begins with.
fn key(line: &str) -> Option<&str> {
    let (key, _) = line.split_once(':')?;
    key.bytes().all(|c| c.is_ascii_alphanumeric()).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_belongs_to_the_key_below_it() {
        let found =
            comments("# Not about a key.\n\na:\n  # One\n  # two.\n  # @schema {minimum: 1}\n  b: 1\nc: [x: y]\n");
        assert_eq!(found.keys().collect::<Vec<_>>(), ["a", "a.b", "c"]);
        assert_eq!(found["a"], Comment::default());
        assert_eq!((&*found["a.b"].description, &*found["a.b"].schema), ("One two.", "{minimum: 1}"));
    }
}
