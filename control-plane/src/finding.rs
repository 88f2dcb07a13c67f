//! What is wrong with a manifest, and where: the line that `weir check` and the console print.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use serde::ser::SerializeMap;
use weir_proto::model::Key;

/// A position in a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file, as a person would write it.
    pub file: Arc<Path>,
    /// Line, from 1; 0 = the file as a whole.
    pub line: usize,
    /// Column, from 1; 0 = the line as a whole.
    pub column: usize,
}

impl Place {
    /// The file as a whole.
    #[must_use]
    pub fn file(file: &Arc<Path>) -> Self {
        Self { file: file.clone(), line: 0, column: 0 }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line == 0 { Ok(()) } else { write!(f, ":{}", self.line) }
    }
}

/// One thing that is wrong. Displays as `file:line: Kind namespace/name: field: what is wrong`, without
/// the parts that are unknown.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Where; none for a resource that comes from no file.
    pub place: Option<Place>,
    /// The resource, if it is known.
    pub key: Option<Key>,
    /// Path of the field as users write it; empty = the resource or file as a whole.
    pub field: String,
    /// What is wrong.
    pub message: String,
}

/// What is legal and most likely a mistake. Displays as `file:line: warning: Kind namespace/name: field: what [lint]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Warning {
    /// Where, and what.
    pub finding: Finding,
    /// Short name of the lint that found it.
    pub id: &'static str,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.finding.write_place(f)?;
        f.write_str("warning: ")?;
        self.finding.write_rest(f)?;
        write!(f, " [{}]", self.id)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_place(f)?;
        self.write_rest(f)
    }
}

impl Finding {
    fn write_place(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.iter().try_for_each(|place| write!(f, "{place}: "))
    }

    fn write_rest(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(key) = &self.key {
            write!(f, "{key}: ")?;
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)
    }
}

impl Serialize for Finding {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(place) = &self.place {
            map.serialize_entry("file", &place.file.display().to_string())?;
            map.serialize_entry("line", &place.line)?;
            map.serialize_entry("column", &place.column)?;
        }
        if let Some(key) = &self.key {
            map.serialize_entry("resource", &key.to_string())?;
        }
        map.serialize_entry("field", &self.field)?;
        map.serialize_entry("message", &self.message)?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_one_line_that_editors_understand() {
        let finding = Finding {
            place: Some(Place { file: Path::new("conf/web.yaml").into(), line: 7, column: 3 }),
            key: Some(Key::pool("shop/web".parse().unwrap())),
            field: "spec.weight".into(),
            message: "70000 is more than 65535".into(),
        };
        assert_eq!(finding.to_string(), "conf/web.yaml:7: Pool shop/web: spec.weight: 70000 is more than 65535");
        let warning = Warning { finding, id: "heavy" };
        let expected = "conf/web.yaml:7: warning: Pool shop/web: spec.weight: 70000 is more than 65535 [heavy]";
        assert_eq!(warning.to_string(), expected);
    }
}
