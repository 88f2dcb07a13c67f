//! Which requests one wants to hear of.

use rand::RngExt;
use rand::rngs::SmallRng;

use crate::stats::access_log::Record;

/// What a listener asks for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Wanted {
    /// Name of a pool, with or without its namespace.
    pub pool: Option<String>,
    /// Of which outcome.
    pub only: Option<Only>,
    /// The share of them, 0 to 1.
    pub sample: Option<f64>,
    /// How many in all.
    pub count: Option<u64>,
}

/// An outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Only {
    /// A status from 500 on, or a reason.
    Errors,
}

impl Wanted {
    /// Reads a query.
    ///
    /// # Errors
    /// Names the parameter.
    pub fn parse(query: &str) -> Result<Self, String> {
        let mut wanted = Self::default();
        for (name, value) in query.split('&').filter(|pair| !pair.is_empty()).map(pair) {
            match name {
                "pool" => wanted.pool = Some(value.replace("%2F", "/").replace("%2f", "/")),
                "only" if value == "errors" => wanted.only = Some(Only::Errors),
                "only" => return Err(format!("only: {value:?} is not errors")),
                "sample" => wanted.sample = Some(share(value)?),
                "count" => wanted.count = Some(value.parse().map_err(|_| format!("count: {value:?} is no number"))?),
                _ => return Err(format!("{name}: there are pool, only, sample and count")),
            }
        }
        Ok(wanted)
    }

    /// Whether it is one of those.
    #[must_use]
    pub fn wants(&self, record: &Record, rng: &mut SmallRng) -> bool {
        let of_pool = |wanted: &String| record.pool.as_deref().is_some_and(|pool| is_pool(pool, wanted));
        let is_error = record.status >= 500 || record.reason.is_some();
        self.pool.as_ref().is_none_or(of_pool)
            && (self.only.is_none() || is_error)
            && self.sample.is_none_or(|share| rng.random_bool(share))
    }
}

fn pair(text: &str) -> (&str, &str) {
    text.split_once('=').unwrap_or((text, ""))
}

fn is_pool(pool: &str, wanted: &str) -> bool {
    pool == wanted || pool.split_once('/').is_some_and(|(_, name)| name == wanted)
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| format!("sample: {text:?} is no share from 0 to 1"))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn wishes_are_read_or_refused_by_name() {
        let wanted = Wanted::parse("pool=shop%2Fweb&only=errors&sample=0.1&count=5").unwrap();
        let expected =
            Wanted { pool: Some("shop/web".to_owned()), only: Some(Only::Errors), sample: Some(0.1), count: Some(5) };
        assert_eq!((wanted, Wanted::parse("").unwrap()), (expected, Wanted::default()));
        for (query, field) in
            [("only=all", "only: "), ("sample=2", "sample: "), ("count=-1", "count: "), ("x=1", "x: ")]
        {
            assert!(Wanted::parse(query).unwrap_err().starts_with(field), "{query}");
        }
    }

    #[test]
    fn a_sample_is_a_share_and_errors_have_a_reason_or_a_status() {
        let mut rng = SmallRng::seed_from_u64(7);
        let record = Record { pool: Some("shop/web".to_owned()), status: 404, ..Record::default() };
        let wants = |query: &str, record: &Record, rng: &mut SmallRng| Wanted::parse(query).unwrap().wants(record, rng);
        assert!(wants("pool=web", &record, &mut rng) && wants("pool=shop/web", &record, &mut rng));
        assert!(!wants("pool=eb", &record, &mut rng) && !wants("only=errors", &record, &mut rng));
        let halted = Record { reason: Some("plugin"), ..record.clone() };
        assert!(wants("only=errors", &halted, &mut rng));
        let count = (0..10_000).filter(|_| wants("sample=0.1", &record, &mut rng)).count();
        assert!((900..1_100).contains(&count), "{count}");
    }
}
