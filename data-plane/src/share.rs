//! A share of something, such as `1%` of all requests.

use std::str::FromStr;

use rand::{Rng, RngExt};

/// From none to all.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share(f64);

impl Share {
    /// Nothing.
    pub const NONE: Self = Self(0.0);
    /// Everything.
    pub const ALL: Self = Self(1.0);

    /// From 0 to 1.
    #[must_use]
    pub fn fraction(self) -> f64 {
        self.0
    }

    /// Whether this one belongs to it, by chance.
    pub fn takes(self, rng: &mut impl Rng) -> bool {
        // No chance is taken where there is none.
        self.0 > 0.0 && (self.0 >= 1.0 || rng.random_bool(self.0))
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let percent = text.strip_suffix('%').and_then(|number| number.parse::<f64>().ok());
        match percent.filter(|percent| (0.0..=100.0).contains(percent)) {
            Some(percent) => Ok(Self(percent / 100.0)),
            None => Err(format!("{text:?} is no share: write for example 1% or 0.5%, at most 100%")),
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;

    #[test]
    fn a_share_is_percent() {
        assert_eq!(("1%".parse(), "100%".parse()), (Ok(Share(0.01)), Ok(Share::ALL)));
        for wrong in ["1", "-1%", "101%", "NaN%", "%", ""] {
            assert!(wrong.parse::<Share>().unwrap_err().contains("0.5%"), "{wrong}");
        }
    }

    #[test]
    fn a_share_takes_as_many_as_it_says() {
        let mut rng = SmallRng::seed_from_u64(7);
        let mut taken = |share: Share| (0..10_000).filter(|_| share.takes(&mut rng)).count();
        assert_eq!((taken(Share::NONE), taken(Share::ALL)), (0, 10_000));
        let tenth = taken(Share(0.1));
        assert!(tenth.abs_diff(1_000) < 100, "{tenth}");
    }
}
