//! What somebody may have meant who wrote a name that is not known.

/// `, did you mean "x"?` for the nearest known name, if one is near.
#[must_use]
pub fn suggest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let near = known.map(|k| (strsim::damerau_levenshtein(&name.to_lowercase(), &k.to_lowercase()), k)).min();
    match near {
        Some((distance, known)) if distance <= (known.len() / 2).max(1) => format!(", did you mean {known:?}?"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_name_that_is_near_is_suggested() {
        let known = ["status", "bytes"];
        assert_eq!(suggest("Statsu", known.into_iter()), ", did you mean \"status\"?");
        assert_eq!(suggest("colour", known.into_iter()), "");
    }
}
