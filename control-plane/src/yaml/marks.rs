//! Finds where every field of a document stands, in one pass. The library tells a position only with an error, so
//! each key and each plain list item fails on purpose; the walk catches the error, asks it where it happened, and
//! goes on.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Line and column in the text, from 1.
pub(super) type At = (usize, usize);

/// Where fields stand, by their paths as findings write them: `spec.match[0].path`. A key may itself hold dots, so
/// that a path is never taken apart.
pub(super) type Marks = HashMap<String, At>;

/// The marks of a document that parses.
pub(super) fn of(text: &str) -> Marks {
    let mut marks = Marks::new();
    let walk = Walk { path: "", marks: &mut marks, is_item: false };
    // What it cannot walk to has no mark, and is reported at what is around it.
    let _ = walk.deserialize(serde_yaml::Deserializer::from_str(text));
    marks
}

/// Walks through the value at a path.
struct Walk<'a> {
    path: &'a str,
    marks: &'a mut Marks,
    /// Whether it is in a list, where nothing but itself tells its place.
    is_item: bool,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Walk<'_> {
    /// A value that has nothing in it.
    fn leaf<E: Error>(&self) -> Result<(), E> {
        if self.is_item { Err(here()) } else { Ok(()) }
    }

    /// Marks a field, and what it is the first of.
    fn mark(&mut self, path: &str, at: At) {
        self.marks.entry(self.path.to_owned()).or_insert(at);
        self.marks.insert(path.to_owned(), at);
    }

    fn below<'b>(&'b mut self, path: &'b str, is_item: bool) -> Walk<'b> {
        Walk { path, marks: self.marks, is_item }
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.leaf()
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.leaf()
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.leaf()
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        self.leaf()
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.leaf()
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        self.leaf()
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        for index in 0.. {
            let path = format!("{}[{index}]", self.path);
            match items.next_element_seed(self.below(&path, true)) {
                Ok(Some(())) => {}
                Ok(None) => break,
                Err(error) => self.mark(&path, place(&error).ok_or(error)?),
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<(), A::Error> {
        let mut key = String::new();
        while let Err(error) = entries.next_key_seed(Key(&mut key)) {
            let at = place(&error).ok_or(error)?;
            let path = if self.path.is_empty() { key.clone() } else { format!("{}.{key}", self.path) };
            self.mark(&path, at);
            entries.next_value_seed(self.below(&path, false))?;
        }
        Ok(())
    }
}

/// Hands out a key, and fails at it.
struct Key<'a>(&'a mut String);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Infallible;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Infallible, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Infallible;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Infallible, E> {
        key.clone_into(self.0);
        Err(here())
    }
}

const HERE: &str = "a place of interest";

fn here<E: Error>() -> E {
    E::custom(HERE)
}

/// Where an error of ours happened; `None` if it is another's. The library names no place for the very first one.
fn place(error: &impl fmt::Display) -> Option<At> {
    let text = error.to_string();
    let (_, place) = text.split_once(HERE)?;
    let Some(place) = place.strip_prefix(" at line ") else { return Some((1, 1)) };
    let (line, column) = place.split_once(" column ")?;
    Some((line.parse().ok()?, column.parse().ok()?))
}
