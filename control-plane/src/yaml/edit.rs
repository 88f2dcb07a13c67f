//! Changes a document to another value by editing its text: only what differs is written anew, so that comments, order
//! and form of everything else stay.
//!
//! The first attempt edits single values. Its result is read: if it is not what was wished for (aliases, say, change in
//! two places at once), the next attempt writes larger parts anew, at last all of it.

use std::ops::Range;

use granit_parser::ScalarStyle;
use serde_json::{Map, Value};

use super::render::{self, Form};
use super::tree::{self, Entry, Node, Shape};

/// Attempts edit no deeper than this many levels.
const LEVELS: usize = 12;

/// The text of a document with this value in place of the one it has.
pub(crate) fn edited(text: &str, wanted: &Value, form: Form) -> String {
    let (Some(root), Ok(now)) = (tree::of(text), super::parse(text)) else { return whole(text, 0, wanted, form) };
    let attempt = |levels| {
        let mut editor = Editor { text, form, edits: Vec::new() };
        editor.change(&root, (&now, wanted), Place::Root, levels)?;
        let result = apply(text, editor.edits)?;
        super::parse(&result).is_ok_and(|value| value == *wanted).then_some(result)
    };
    (0..=LEVELS).rev().find_map(attempt).unwrap_or_else(|| whole(text, root.range.start, wanted, form))
}

/// A value as a document.
pub(crate) fn written(value: &Value, form: Form) -> String {
    match form {
        Form::Json => format!("{value:#}\n"),
        // A JSON value always has a YAML form; if not, JSON is one.
        Form::Yaml => super::to_string(value).unwrap_or_else(|_| format!("{value:#}\n")),
    }
}

/// All anew but for what stands before the data: comments, and the marker of the document.
fn whole(text: &str, data: usize, wanted: &Value, form: Form) -> String {
    let head = &text[..data];
    let new_line = if head.is_empty() || head.ends_with('\n') { "" } else { "\n" };
    format!("{head}{new_line}{}", written(wanted, form))
}

/// Where a value stands.
#[derive(Debug, Clone, Copy)]
enum Place {
    Root,
    /// After a key at this indentation, whose colon ends at this byte.
    Entry(usize, usize),
    /// After a dash at this indentation, which ends at this byte.
    Item(usize, usize),
    /// Within brackets.
    Flow,
}

struct Editor<'a> {
    text: &'a str,
    form: Form,
    edits: Vec<(Range<usize>, String)>,
}

/// What a value is, and what it is to be.
type Change<'a> = (&'a Value, &'a Value);

/// An element of a collection in brackets, as far as commas go.
type Element = Range<usize>;

/// How a list becomes another one: this many items at its head stay where they are, changed or not; then there are old
/// ones too many, or new ones.
struct Alignment {
    head: usize,
    removed: Range<usize>,
    added: Range<usize>,
}

impl Editor<'_> {
    /// `None` if it cannot be done on so many levels.
    fn change(&mut self, node: &Node, (old, new): Change<'_>, place: Place, levels: usize) -> Option<()> {
        if old == new {
            return Some(());
        }
        match (&node.shape, old, new) {
            (Shape::Mapping { is_flow, entries }, Value::Object(old), Value::Object(new)) if levels > 0 => {
                let is_same = entries.len() == old.len() && entries.iter().all(|entry| old.contains_key(&entry.name));
                let stays = entries.iter().any(|entry| new.contains_key(&entry.name));
                match (is_same && stays, is_flow) {
                    (false, _) => {}
                    (true, true) => return self.flow_mapping(node, entries, (old, new), levels - 1),
                    (true, false) => return self.block_mapping(entries, (old, new), levels - 1),
                }
            }
            (Shape::Sequence { is_flow, items }, Value::Array(old), Value::Array(new))
                if levels > 0 && items.len() == old.len() && !items.is_empty() && !new.is_empty() =>
            {
                return match is_flow {
                    true => self.flow_sequence(node, items, (old, new), levels - 1),
                    false => self.block_sequence(items, (old, new), levels - 1),
                };
            }
            _ => {}
        }
        self.replace(node, new, place)
    }

    fn replace(&mut self, node: &Node, new: &Value, place: Place) -> Option<()> {
        let old = self.text.get(node.range.clone())?;
        let is_quoted = matches!(node.shape, Shape::Scalar(ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted));
        let alike = new.as_str().filter(|text| is_quoted && !text.contains('\n'));
        if let Some(text) = alike.and_then(|text| render::quoted_like(old, text)) {
            return self.put(node.range.clone(), text);
        }
        let (after, text) = match place {
            Place::Root => return None,
            Place::Flow => return self.put(node.range.clone(), render::flow(new, self.form)),
            Place::Entry(indent, after) => (after, render::after_colon(new, indent)?),
            Place::Item(indent, after) => (after, render::after_dash(new, indent)?),
        };
        // What aligns values stays.
        let is_line = matches!(node.shape, Shape::Scalar(ScalarStyle::Plain)) && !text.contains('\n');
        if is_line && !old.is_empty() {
            return self.put(node.range.clone(), text.trim_start().to_owned());
        }
        self.put(after..node.range.end.max(after), text)
    }

    fn put(&mut self, range: Range<usize>, text: String) -> Option<()> {
        self.edits.push((range, text));
        Some(())
    }

    fn block_mapping(
        &mut self,
        entries: &[Entry],
        (old, new): (&Map<String, Value>, &Map<String, Value>),
        levels: usize,
    ) -> Option<()> {
        let indent = self.column(entries.first()?.key.start);
        for (i, entry) in entries.iter().enumerate() {
            match new.get(&entry.name) {
                Some(value) => {
                    let place = Place::Entry(indent, self.colon(entry)?);
                    self.change(&entry.value, (&old[&entry.name], value), place, levels)?;
                }
                None if self.is_first_on_its_line(entry.key.start) => {
                    self.put(self.line_start(entry.key.start)..self.next_line(entry.end()), String::new())?;
                }
                None => self.put(entry.key.start..entries.get(i + 1)?.key.start, String::new())?,
            }
        }
        let last = entries.iter().rev().find(|entry| new.contains_key(&entry.name))?;
        let mut added = String::new();
        for (key, value) in new.iter().filter(|(key, _)| !old.contains_key(*key)) {
            added.push('\n');
            added.push_str(&" ".repeat(indent));
            added.push_str(&render::block_entry(key, value, indent)?);
        }
        self.insert_below(last.end(), added)
    }

    fn block_sequence(&mut self, items: &[Node], (old, new): (&[Value], &[Value]), levels: usize) -> Option<()> {
        let dashes = items.iter().map(|item| self.dash(item)).collect::<Option<Vec<usize>>>()?;
        let indent = self.column(*dashes.first()?);
        let Alignment { head, removed, added } = align(old, new);
        for i in 0..head {
            self.change(&items[i], (&old[i], &new[i]), Place::Item(indent, dashes[i] + 1), levels)?;
        }
        for i in removed {
            if !self.is_first_on_its_line(dashes[i]) {
                return None;
            }
            self.put(self.line_start(dashes[i])..self.next_line(items[i].range.end), String::new())?;
        }
        let item = |i: usize| Some(format!("-{}", render::after_dash(&new[i], indent)?));
        let added = added.map(item).collect::<Option<Vec<String>>>()?;
        let indentation = " ".repeat(indent);
        match head.checked_sub(1) {
            Some(above) => {
                let lines: String = added.iter().map(|item| format!("\n{indentation}{item}")).collect();
                self.insert_below(items[above].range.end, lines)
            }
            None => {
                let lines: String = added.iter().map(|item| format!("{item}\n{indentation}")).collect();
                self.put(dashes[0]..dashes[0], lines)
            }
        }
    }

    fn flow_mapping(
        &mut self,
        node: &Node,
        entries: &[Entry],
        (old, new): (&Map<String, Value>, &Map<String, Value>),
        levels: usize,
    ) -> Option<()> {
        let elements: Vec<Element> = entries.iter().map(|entry| entry.key.start..entry.end()).collect();
        for (i, entry) in entries.iter().enumerate() {
            match new.get(&entry.name) {
                Some(value) => self.change(&entry.value, (&old[&entry.name], value), Place::Flow, levels)?,
                None => {
                    let is_above = entries[..i].iter().any(|entry| new.contains_key(&entry.name));
                    self.put(with_comma(&elements, i, is_above)?, String::new())?;
                }
            }
        }
        let last = entries.iter().rposition(|entry| new.contains_key(&entry.name))?;
        let added = new.iter().filter(|(key, _)| !old.contains_key(*key));
        let added: Vec<String> = added.map(|(key, value)| render::flow_entry(key, value, self.form)).collect();
        self.insert_after(node, &elements[last], &added)
    }

    fn flow_sequence(
        &mut self,
        node: &Node,
        items: &[Node],
        (old, new): (&[Value], &[Value]),
        levels: usize,
    ) -> Option<()> {
        let elements: Vec<Element> = items.iter().map(|item| item.range.clone()).collect();
        let Alignment { head, removed, added } = align(old, new);
        for i in 0..head {
            self.change(&items[i], (&old[i], &new[i]), Place::Flow, levels)?;
        }
        for i in removed {
            self.put(with_comma(&elements, i, head > 0)?, String::new())?;
        }
        let added: Vec<String> = added.map(|i| render::flow(&new[i], self.form)).collect();
        match head.checked_sub(1) {
            Some(above) => self.insert_after(node, &elements[above], &added),
            None => {
                let text: String = added.iter().map(|item| format!("{item}, ")).collect();
                self.put(elements[0].start..elements[0].start, text)
            }
        }
    }

    /// New elements after one, each on a line of its own if that one is on another than the bracket.
    fn insert_after(&mut self, node: &Node, element: &Element, added: &[String]) -> Option<()> {
        let is_tall = self.text.get(node.range.start..element.start)?.contains('\n');
        let indentation = " ".repeat(self.column(element.start));
        let comma = if is_tall { format!(",\n{indentation}") } else { ", ".to_owned() };
        let text: String = added.iter().map(|element| format!("{comma}{element}")).collect();
        self.put(element.end..element.end, text)
    }

    /// New lines, each after its line break, below the one at `at`.
    fn insert_below(&mut self, at: usize, lines: String) -> Option<()> {
        let end = self.text[at..].find('\n').map_or(self.text.len(), |length| at + length);
        self.put(end..end, lines)
    }

    /// Where the colon of a key ends.
    fn colon(&self, entry: &Entry) -> Option<usize> {
        let rest = self.text.get(entry.key.end..)?;
        let blanks = rest.len() - rest.trim_start_matches([' ', '\t']).len();
        rest[blanks..].starts_with(':').then_some(entry.key.end + blanks + 1)
    }

    fn dash(&self, item: &Node) -> Option<usize> {
        let before = self.text[..item.range.start].trim_end();
        before.ends_with('-').then(|| before.len() - 1)
    }

    fn line_start(&self, at: usize) -> usize {
        self.text[..at].rfind('\n').map_or(0, |end| end + 1)
    }

    fn next_line(&self, at: usize) -> usize {
        self.text[at..].find('\n').map_or(self.text.len(), |length| at + length + 1)
    }

    fn column(&self, at: usize) -> usize {
        self.text[self.line_start(at)..at].chars().count()
    }

    fn is_first_on_its_line(&self, at: usize) -> bool {
        self.text[self.line_start(at)..at].bytes().all(|byte| byte == b' ')
    }
}

/// What goes with an element in brackets: the comma before it if one before it stays, else the one after it.
fn with_comma(elements: &[Element], i: usize, is_above: bool) -> Option<Range<usize>> {
    match is_above {
        true => Some(elements[i - 1].end..elements[i].end),
        false => Some(elements[i].start..elements.get(i + 1)?.start),
    }
}

/// Items that are equal at the head and at the tail stay; those between are changed in pairs, as far as they go.
fn align(old: &[Value], new: &[Value]) -> Alignment {
    let same = |pairs: &mut dyn Iterator<Item = (&Value, &Value)>| pairs.take_while(|(a, b)| a == b).count();
    let head = same(&mut old.iter().zip(new));
    let tail = same(&mut old[head..].iter().rev().zip(new[head..].iter().rev()));
    let pairs = old.len().min(new.len()) - tail;
    let head = head.max(pairs);
    Alignment { head, removed: head..old.len() - tail, added: head..new.len() - tail }
}

/// Makes all edits; `None` if some touch the same place.
fn apply(text: &str, mut edits: Vec<(Range<usize>, String)>) -> Option<String> {
    edits.sort_by_key(|(range, _)| (range.start, range.end));
    let (mut result, mut done) = (String::with_capacity(text.len()), 0);
    for (range, new) in edits {
        result.push_str(text.get(done..range.start)?);
        result.push_str(&new);
        done = range.end;
    }
    result.push_str(text.get(done..)?);
    Some(result)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn with(text: &str, change: impl FnOnce(&mut Value)) -> String {
        let mut value = super::super::parse(text).unwrap();
        change(&mut value);
        let form = if text.starts_with('{') { Form::Json } else { Form::Yaml };
        let result = edited(text, &value, form);
        assert_eq!(super::super::parse(&result).unwrap(), value, "{result}");
        result
    }

    const POOL: &str = "\
# of the shop
---
kind: Pool   # a pool
metadata: {name: web, namespace: shop}
spec:
  # as agreed
  weight:   3     # of 10
  match:
  # the site
  - hosts: [a.test, 'b.test']   # both
    path: {type: Prefix, value: /}
  # the rest
  - methods: [GET]
  timeouts:
    read: \"5s\"

# the end
";

    #[test]
    fn one_value_changes_and_nothing_else() {
        let cases: [(&str, Value, &str, &str); 6] = [
            ("/spec/weight", json!(4), "weight:   3     #", "weight:   4     #"),
            ("/spec/timeouts/read", json!("9s"), "\"5s\"", "\"9s\""),
            ("/spec/match/0/hosts/1", json!("c.test"), "'b.test'", "'c.test'"),
            ("/spec/match/0/path/value", json!("/x y"), "value: /}", "value: \"/x y\"}"),
            ("/metadata/name", json!("web2"), "name: web,", "name: web2,"),
            ("/spec/match/1/methods", json!(["GET", "PUT"]), "[GET]", "[GET, PUT]"),
        ];
        for (at, new, before, after) in cases {
            let result = with(POOL, |value| *value.pointer_mut(at).unwrap() = new);
            assert_eq!(result, POOL.replace(before, after), "{at}");
        }
    }

    #[test]
    fn keys_and_items_come_and_go() {
        let added = with(POOL, |value| value["spec"]["timeouts"]["write"] = json!("1s"));
        assert_eq!(added, POOL.replace("\"5s\"\n", "\"5s\"\n    write: 1s\n"));
        let labelled = with(POOL, |value| value["metadata"]["labels"] = json!({"a": "1"}));
        assert_eq!(labelled, POOL.replace("shop}", "shop, labels: {a: \"1\"}}"));
        let removed = with(POOL, |value| drop(value["spec"].as_object_mut().unwrap().remove("weight")));
        assert_eq!(removed, POOL.replace("  weight:   3     # of 10\n", ""));
        let nested = with(POOL, |value| value["spec"]["queue"] = json!({"limit": 1, "timeout": "2s"}));
        assert_eq!(nested, POOL.replace("\"5s\"\n", "\"5s\"\n  queue:\n    limit: 1\n    timeout: 2s\n"));
        let fewer = with(POOL, |value| drop(value["spec"]["match"].as_array_mut().unwrap().remove(1)));
        assert_eq!(fewer, POOL.replace("  - methods: [GET]\n", ""));
        let more = with(POOL, |value| value["spec"]["match"].as_array_mut().unwrap().push(json!({"methods": ["PUT"]})));
        assert_eq!(more, POOL.replace("[GET]\n", "[GET]\n  - methods:\n    - PUT\n"));
    }

    #[test]
    fn texts_of_many_lines_stay_blocks() {
        let text = "lua:\n  source: |  # the script | of\n    a\n\n    b\n  # next\n  x: 1\n";
        let result = with(text, |value| value["lua"]["source"] = json!("c\n  d\n"));
        assert_eq!(result, "lua:\n  source: |\n    c\n      d\n  # next\n  x: 1\n");
    }

    #[test]
    fn json_stays_json() {
        let text = "{\n  \"kind\": \"Pool\",\n  \"spec\": {\n    \"weight\": 1,\n    \"priority\": 2\n  }\n}\n";
        let result = with(text, |value| {
            value["spec"]["weight"] = json!(7);
            value["spec"]["balance"] = json!({"method": "Random"});
        });
        let expected = text
            .replace("\"weight\": 1", "\"weight\": 7")
            .replace("y\": 2", "y\": 2,\n    \"balance\": {\"method\":\"Random\"}".replace("\":\"", "\": \"").as_str());
        assert_eq!(result, expected);
        let fewer = with(text, |value| drop(value["spec"].as_object_mut().unwrap().remove("weight")));
        assert_eq!(serde_json::from_str::<Value>(&fewer).unwrap()["spec"], json!({"priority": 2}));
    }

    #[test]
    fn what_cannot_be_edited_in_place_is_written_anew_as_little_as_possible() {
        let text = "# head\nkind: Pool\na: &x {v: 1}   # anchor\nb: *x\nspec:  # spec\n  c: 1\n";
        let result = with(text, |value| value["a"]["v"] = json!(2));
        assert!(result.starts_with("# head\n") && !result.contains('*'), "{result}");
        let result = with(text, |value| value["spec"]["c"] = json!(2));
        assert_eq!(result, text.replace("c: 1", "c: 2"));
    }

    fn value() -> impl Strategy<Value = Value> {
        let scalar = prop_oneof![
            any::<bool>().prop_map(Value::from),
            (-5_i64..70_000).prop_map(Value::from),
            "[ -~\n]{0,12}".prop_map(Value::from),
            "(yes|no|null|~|0x1f|1e3|12:30|- a|a: b|#c|\\[|é|2026-01-01|=|!x|&a|\\*a|%|@|`)".prop_map(Value::from),
        ];
        scalar.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-z]{1,3}|[ -~]{1,6}", inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    fn document() -> impl Strategy<Value = Value> {
        let key = "[a-d]";
        prop::collection::btree_map(key, value(), 1..5).prop_map(|map| Value::Object(map.into_iter().collect()))
    }

    /// As a person would write it: some parts in brackets, with comments between the lines.
    fn as_written(value: &Value, in_flow: bool) -> String {
        let text = match (value, in_flow) {
            (Value::Object(map), true) => map
                .iter()
                .map(|(k, v)| format!("{}: {}\n", Value::from(k.as_str()), render::flow(v, Form::Yaml)))
                .collect(),
            _ => super::super::to_string(value).unwrap(),
        };
        format!("# first\n{text}# last\n")
    }

    proptest! {
        #[test]
        fn whatever_is_wished_for_is_what_the_text_says_then(old in document(), new in document(), in_flow: bool, json: bool) {
            let text = if json { written(&old, Form::Json) } else { as_written(&old, in_flow) };
            // What the library does not read back is not ours to mend.
            prop_assume!(super::super::parse(&text).is_ok_and(|value| value == old));
            let form = if json { Form::Json } else { Form::Yaml };
            let result = edited(&text, &new, form);
            prop_assume!(super::super::parse(&written(&new, form)).is_ok_and(|value| value == new));
            prop_assert_eq!(super::super::parse(&result).unwrap(), new.clone(), "{}", result);
            if json {
                prop_assert_eq!(serde_json::from_str::<Value>(&result).unwrap(), new);
            } else {
                prop_assert!(result.contains("# first\n"), "{}", result);
            }
        }

        #[test]
        fn one_new_number_leaves_every_other_line(mut old in document(), number in 70_001_i64..80_000, in_flow: bool) {
            old["z"] = json!({"n": 1});
            let text = as_written(&old, in_flow);
            prop_assume!(super::super::parse(&text).is_ok_and(|value| value == old));
            let mut new = old.clone();
            new["z"]["n"] = number.into();
            let result = edited(&text, &new, Form::Yaml);
            let differ = text.lines().zip(result.lines()).filter(|(a, b)| a != b).count();
            prop_assert_eq!((text.lines().count(), differ), (result.lines().count(), 1), "{}\n{}", text, result);
        }
    }
}
