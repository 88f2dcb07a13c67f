//! The only place that knows the YAML library: splits a file into documents, reads one document into a
//! JSON value, and finds the line of a field.
//!
//! Documents are split before they are parsed, so that one which does not parse leaves the others.

mod edit;
mod marks;
mod render;
mod tree;
mod value;

use std::fmt;
use std::sync::{Arc, OnceLock};

pub(crate) use edit::{edited, written};
use marks::Marks;
pub use render::Form;
use serde::de::DeserializeSeed;
use serde_json::Value;

/// One document of a file.
#[derive(Clone)]
pub struct Document {
    text: Arc<str>,
    /// Lines of the file before it.
    lines_before: usize,
    /// Found when first asked for: most documents have nothing to report.
    marks: Arc<OnceLock<Marks>>,
}

/// Without its text, which may hold Secrets.
impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document").field("lines_before", &self.lines_before).finish_non_exhaustive()
    }
}

impl PartialEq for Document {
    fn eq(&self, other: &Self) -> bool {
        let Self { text, lines_before, marks: _ } = self;
        (text, lines_before) == (&other.text, &other.lines_before)
    }
}

impl Eq for Document {}

/// Why a document does not parse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// Line in the file, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// Path of the field, as far as it is known.
    pub field: String,
    /// What is wrong.
    pub message: String,
}

/// Writes a value as YAML.
///
/// # Errors
/// If the value has no YAML form.
pub fn to_string<T: serde::Serialize>(value: &T) -> Result<String, serde_yaml::Error> {
    serde_yaml::to_string(value)
}

/// Splits a file at its document markers; documents with nothing but comments are left out.
#[must_use]
pub fn documents(text: &str) -> Vec<Document> {
    let mut splitter = Splitter { text, ..Splitter::default() };
    let mut end = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        // Directives come before the marker of their own document.
        if is_marker(line, "---") && (splitter.has_data || splitter.has_marker) {
            splitter.cut(end, number);
        }
        end += line.len();
        splitter.has_marker |= is_marker(line, "---");
        splitter.has_data |= has_data(line);
        if is_marker(line, "...") {
            splitter.cut(end, number + 1);
        }
    }
    splitter.cut(end, 0);
    splitter.documents
}

/// What stands above the first document and is about the file: comments, up to a blank line or a marker.
fn file_head(text: &str) -> &str {
    let mut end = 0;
    for line in text.split_inclusive('\n') {
        match line.trim() {
            comment if comment.starts_with('#') => end += line.len(),
            "" => return &text[..end + line.len()],
            _ if is_marker(line, "---") => return &text[..end],
            _ => return "",
        }
    }
    ""
}

fn parse(text: &str) -> Result<Value, serde_yaml::Error> {
    value::Reader.deserialize(serde_yaml::Deserializer::from_str(text))
}

#[derive(Default)]
struct Splitter<'a> {
    text: &'a str,
    start: usize,
    lines_before: usize,
    has_marker: bool,
    has_data: bool,
    documents: Vec<Document>,
}

impl Splitter<'_> {
    /// Ends the open document at byte `end`; the next one begins there, after `lines_before` lines.
    fn cut(&mut self, end: usize, lines_before: usize) {
        if self.has_data {
            let text = self.text[self.start..end].into();
            self.documents.push(Document { text, lines_before: self.lines_before, marks: Arc::default() });
        }
        (self.start, self.lines_before) = (end, lines_before);
        (self.has_marker, self.has_data) = (false, false);
    }
}

/// A marker stands at the start of a line, alone or before a blank. It ends any scalar, block scalars
/// included, so that no parsing is needed to know it.
fn is_marker(line: &str, marker: &str) -> bool {
    line.strip_prefix(marker).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

/// Whether a line holds more than markers, comments, directives or blanks.
fn has_data(line: &str) -> bool {
    let line = if is_marker(line, "---") || is_marker(line, "...") { &line[3..] } else { line };
    let line = line.trim_start_matches('\u{feff}').trim();
    !line.is_empty() && !line.starts_with(['#', '%'])
}

impl Document {
    /// Reads the document. A key given twice in one mapping is an error.
    ///
    /// # Errors
    /// Says where it does not parse.
    pub fn parse(&self) -> Result<Value, SyntaxError> {
        parse(&self.text).map_err(|error| self.explain(&error))
    }

    /// Line and column, in the file, of the key or list item that `path` names (`spec.match[0].path`), or
    /// of the nearest one above it.
    #[must_use]
    pub fn locate(&self, path: &str) -> (usize, usize) {
        let marks = self.marks.get_or_init(|| marks::of(&self.text));
        let mut path = path;
        while !marks.contains_key(path) && !path.is_empty() {
            path = &path[..path.rfind(['.', '[']).unwrap_or(0)];
        }
        let (line, column) = marks.get(path).copied().unwrap_or((1, 1));
        (self.lines_before + line, column)
    }

    /// The text of its file with this text in its place; `None` if the file is not the one it was read from.
    pub(crate) fn replaced(&self, file: &str, new: &str) -> Option<String> {
        let start = self.start(file)?;
        Some([&file[..start], new, &file[start + self.text.len()..]].concat())
    }

    /// The text of its file without it, or nothing if there is no other document in the file.
    pub(crate) fn removed(&self, file: &str) -> Option<String> {
        let start = self.start(file)?;
        let rest = &file[start + self.text.len()..];
        let head = if start == 0 { file_head(&self.text) } else { &file[..start] };
        let left = [head, rest].concat();
        Some(if documents(&left).is_empty() { String::new() } else { left })
    }

    /// How many lines of its file stand before it.
    pub(crate) fn lines_before(&self) -> usize {
        self.lines_before
    }

    /// Its text.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Where it begins in its file.
    fn start(&self, file: &str) -> Option<usize> {
        let is_there = documents(file).contains(self);
        let lines = file.split_inclusive('\n').take(self.lines_before);
        is_there.then(|| lines.map(str::len).sum())
    }

    fn explain(&self, error: &serde_yaml::Error) -> SyntaxError {
        let (line, column) = error.location().map_or((1, 1), |at| (at.line(), at.column()));
        let text = error.to_string();
        // The library counts lines within the document; the place is reported apart, for the file.
        let text = text.split(" at line ").next().unwrap_or_default();
        let is_path = |path: &str| !path.contains([' ', '"']);
        let (field, message) = text.split_once(": ").filter(|(path, _)| is_path(path)).unwrap_or(("", text));
        SyntaxError { line: self.lines_before + line, column, field: field.to_owned(), message: message.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(text: &str) -> Document {
        let mut documents = documents(text);
        assert_eq!(documents.len(), 1, "{text}");
        documents.remove(0)
    }

    #[test]
    fn files_split_at_markers_and_empty_documents_are_skipped() {
        let text = "# head\n---\na: 1\n---\n# nothing\n---\nb: |\n  text\n  --- no marker\n--- {c: 3}\n...\n%YAML 1.2\n---\nd: 4\n";
        let read: Vec<String> = documents(text).iter().map(|d| d.parse().unwrap().to_string()).collect();
        assert_eq!(read, [r#"{"a":1}"#, r#"{"b":"text\n--- no marker\n"}"#, r#"{"c":3}"#, r#"{"d":4}"#]);
    }

    #[test]
    fn a_document_is_taken_from_its_file_or_changed_in_it_alone() {
        let text = "# head\n\n# first\na: 1\n---\n# second\nb: 2\n--- {c: 3}\n";
        let all = documents(text);
        assert_eq!(all[1].replaced(text, "---\nx: 1\n").unwrap(), text.replace("# second\nb: 2", "x: 1"));
        assert_eq!(all[0].removed(text).unwrap(), "# head\n\n---\n# second\nb: 2\n--- {c: 3}\n");
        assert_eq!(all[2].removed(text).unwrap(), text.replace("--- {c: 3}\n", ""));
        assert_eq!(all[1].removed(&text.replace("b: 2", "b: 3")), None, "another text");
        let alone = "# head\n\na: 1\n---\n# nothing\n";
        assert_eq!(documents(alone)[0].removed(alone).unwrap(), "");
    }

    #[test]
    fn a_file_may_be_json_or_empty() {
        assert_eq!(only("{\n\t\"a\": [1, \"x\\/y\"]\n}\n").parse().unwrap().to_string(), r#"{"a":[1,"x/y"]}"#);
        assert_eq!(documents(""), []);
        assert_eq!(documents("---\n...\n---\n# x\n%YAML 1.2\n"), []);
    }

    #[test]
    fn a_broken_document_names_its_line_in_the_file_and_leaves_the_others() {
        let documents = documents("a: 1\n---\n# note\nb: [1\n---\nc: 2\n");
        assert!(documents[0].parse().is_ok() && documents[2].parse().is_ok());
        let error = documents[1].parse().unwrap_err();
        assert!((4..=5).contains(&error.line), "{error:?}");
        assert!(!error.message.contains("line"), "{error:?}");
    }

    #[test]
    fn a_key_given_twice_is_an_error_with_line_and_path() {
        let error = only("a: 1\nb:\n  - c: 1\n    d: 2\n    c: 3\n").parse().unwrap_err();
        assert_eq!((error.line, error.field.as_str()), (5, "b[0]"), "{error:?}");
        assert_eq!(error.message, "key \"c\" is given twice");
    }

    #[test]
    fn what_json_cannot_hold_is_an_error() {
        for text in ["a: !tag 1\n", "a: .nan\n", "? [a]\n: 1\n", "a: *none\n"] {
            assert!(only(text).parse().is_err(), "{text}");
        }
    }

    #[test]
    fn fields_are_found_by_their_path() {
        let document = &documents("x: 1\n---\nspec:\n  match:\n  - path:\n      value: /\n  - {hosts: [a, b]}\n")[1];
        assert_eq!(document.locate("spec.match[0].path.value"), (6, 7));
        assert_eq!(document.locate("spec.match[1].hosts[1]").0, 7);
        assert_eq!(document.locate("spec.match[0].path.type"), (5, 5), "the nearest above");
        assert_eq!(document.locate("status"), (3, 1), "the document");
    }

    #[test]
    fn items_and_keys_of_any_form_are_found() {
        let document = only("- 1\n- [a,\n   b]\n- {x: &x 1, y: *x}\n- [[]]\n- null\n- 'q': 1\n");
        let places = ["[0]", "[1][1]", "[2].y", "[3][0]", "[4]", "[5].q"].map(|path| document.locate(path).0);
        assert_eq!(places, [1, 3, 4, 1, 6, 7], "an empty item is where what is around it is");
        assert_eq!(only("alone\n").locate("x"), (1, 1));
    }

    #[test]
    fn a_key_with_dots_is_found_beside_a_shorter_one() {
        let document = only("labels:\n  app: web\n  x: y\n  app.kubernetes.io/version: 5\n");
        assert_eq!(document.locate("labels.app.kubernetes.io/version").0, 4);
        assert_eq!(document.locate("labels.app").0, 2);
    }

    #[test]
    fn thousands_of_places_take_one_pass() {
        let text: String = (0..20_000).map(|i| format!("- {{weight: {i}}}\n")).collect();
        let document = only(&text);
        let start = tokio::time::Instant::now();
        (0..20_000).for_each(|i| assert_eq!(document.locate(&format!("[{i}].weight")).0, i + 1));
        assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
    }
}
