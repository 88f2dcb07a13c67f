//! Reads Prometheus text.

/// The samples of a metric: what stands between the braces, and the value.
#[must_use]
pub fn samples(text: &str, name: &str) -> Vec<(String, f64)> {
    text.lines().filter_map(|line| sample(line, name)).collect()
}

fn sample(line: &str, name: &str) -> Option<(String, f64)> {
    let rest = line.strip_prefix(name)?;
    let (labels, value) = match rest.strip_prefix('{') {
        Some(rest) => rest.rsplit_once("} ")?,
        None => ("", rest.strip_prefix(' ')?),
    };
    Some((labels.to_owned(), value.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_have_labels_and_values() {
        let text = "# HELP a b\na 1\na{x=\"y z\"} 2.5\nab 3\n";
        assert_eq!(samples(text, "a"), [(String::new(), 1.0), ("x=\"y z\"".to_owned(), 2.5)]);
    }
}
