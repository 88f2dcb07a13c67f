//! Names of headers that scripts and components spell out at each call, read once.

use std::cell::RefCell;

use hashbrown::HashMap;
use http::HeaderName;

use super::Failure;
use super::change::header_name;

/// Most names that are remembered; before one more, all are forgotten. Plugins that make up names slow down others, no more.
const MOST: usize = 128;
/// Bytes of the longest one.
const LONGEST: usize = 64;

/// What one worker remembers.
#[derive(Debug, Default)]
pub struct Names(RefCell<HashMap<Box<str>, HeaderName>>);

impl Names {
    /// The name of a header that plugins may change.
    ///
    /// # Errors
    /// As for [`header_name`].
    pub fn changeable(&self, text: &str) -> Result<HeaderName, Failure> {
        if let Some(known) = self.0.borrow().get(text) {
            return Ok(known.clone());
        }
        let name = header_name(text)?;
        if text.len() <= LONGEST {
            self.remember(text, &name);
        }
        Ok(name)
    }

    fn remember(&self, text: &str, name: &HeaderName) {
        let mut known = self.0.borrow_mut();
        if known.len() == MOST {
            known.clear();
        }
        known.insert(text.into(), name.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p7_names_are_the_same_the_second_time_and_a_bounded_number_is_remembered() {
        let names = Names::default();
        for _ in 0..2 {
            assert_eq!(names.changeable("X-User").unwrap(), "x-user");
            assert!(names.changeable("Content-Length").is_err() && names.changeable("a b").is_err());
        }
        for number in 0..2 * MOST {
            let text = format!("x-{number}");
            assert_eq!(names.changeable(&text).unwrap(), text.as_str());
            assert!(names.0.borrow().len() <= MOST);
        }
        let long = "x".repeat(LONGEST + 1);
        assert_eq!(names.changeable(&long).unwrap(), long.as_str());
        assert!(!names.0.borrow().contains_key(&*long));
    }
}
