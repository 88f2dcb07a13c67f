//! The values as tables for people.

use std::fmt::Write;

use serde_json::Value;

use super::values::{Content, Node};

const HEAD: &str = "| value | default | what |\n| --- | --- | --- |\n";

/// A table for the values outside of sections, then one for each section.
#[must_use]
pub fn tables(values: &[Node]) -> String {
    let (sections, loose): (Vec<_>, Vec<_>) =
        values.iter().partition(|node| matches!(node.content, Content::Section(_)));
    let mut text = HEAD.to_owned();
    loose.iter().for_each(|node| rows(node, &mut text));
    for section in sections {
        let _ = write!(text, "\n### {}\n\n{HEAD}", section.name);
        rows(section, &mut text);
    }
    text
}

fn rows(node: &Node, text: &mut String) {
    let Node { path, description, .. } = node;
    match &node.content {
        Content::Section(values) => {
            if !description.is_empty() {
                let _ = writeln!(text, "| `{path}` | | {description} |");
            }
            values.iter().for_each(|node| rows(node, text));
        }
        Content::Value { default, .. } => {
            let _ = writeln!(text, "| `{path}` | {} | {description} |", shown(default));
        }
    }
}

fn shown(default: &Value) -> String {
    match default {
        Value::String(text) if !text.is_empty() => format!("`{text}`"),
        other => format!("`{other}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::read;

    #[test]
    fn each_value_has_a_row_in_the_table_of_its_section() {
        let text = "a:\n  # B.\n  b: 2\n  # C.\n  c:\n    # D.\n    d: x\n# E.\ne: \"\"\n";
        let tables = tables(&read(text).unwrap());
        let rows = "| `a.b` | `2` | B. |\n| `a.c` | | C. |\n| `a.c.d` | `x` | D. |\n";
        assert_eq!(tables, format!("{HEAD}| `e` | `\"\"` | E. |\n\n### a\n\n{HEAD}{rows}"));
    }
}
