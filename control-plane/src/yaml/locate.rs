//! Finds where a field stands. The library tells a position only with an error, so this walks to the
//! field and fails there.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

/// Takes `spec.match[0].path` apart.
pub(super) fn steps(path: &str) -> Vec<Step> {
    path.split(['.', '[']).filter(|part| !part.is_empty()).map(step).collect()
}

fn step(part: &str) -> Step {
    let index = part.strip_suffix(']').and_then(|number| number.parse().ok());
    index.map_or_else(|| Step::Key(part.to_owned()), Step::Index)
}

/// Fails at the place that the steps lead to; succeeds if there is no such place.
pub(super) struct Find<'a>(pub(super) &'a [Step]);

impl<'de> DeserializeSeed<'de> for Find<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Find<'_> {
    /// A value that cannot be gone into.
    fn leaf<E: Error>(&self) -> Result<(), E> {
        if self.0.is_empty() { Err(here()) } else { Ok(()) }
    }
}

impl<'de> Visitor<'de> for Find<'_> {
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

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Some((step, rest)) = self.0.split_first() else { return Err(here()) };
        if let Step::Index(index) = step {
            for _ in 0..*index {
                items.next_element::<IgnoredAny>()?;
            }
            items.next_element_seed(Find(rest))?;
        }
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let Some((step, rest)) = self.0.split_first() else { return Err(here()) };
        while let Some(is_it) = entries.next_key_seed(IsKey { step, last: rest.is_empty() })? {
            if is_it {
                entries.next_value_seed(Find(rest))?;
            } else {
                entries.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// Whether a key is the one of this step; fails at it if the path ends there.
struct IsKey<'a> {
    step: &'a Step,
    last: bool,
}

impl<'de> DeserializeSeed<'de> for IsKey<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for IsKey<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<bool, E> {
        let is_it = matches!(self.step, Step::Key(wanted) if wanted == key);
        if is_it && self.last { Err(here()) } else { Ok(is_it) }
    }
}

fn here<E: Error>() -> E {
    E::custom("here")
}
