//! Which requests and connections have a line.

use std::str::FromStr;
use std::time::Duration;

use rand::Rng;
use weir_proto::model::units::parse_duration;
use weir_proto::nearest::suggest;

use crate::reason::Reason;
use crate::share::Share;

/// Keeps errors, what took long, and a share of the rest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Filter {
    /// What took longer is kept.
    slow: Option<Duration>,
    /// Of what is neither an error nor slow.
    sample: Share,
}

/// How a request, or a connection of TCP, has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Of the response; none of TCP.
    pub status: Option<u16>,
    /// What went wrong.
    pub reason: Option<Reason>,
    /// How long it took.
    pub duration: Duration,
}

impl Default for Filter {
    /// Keeps everything.
    fn default() -> Self {
        Self { slow: None, sample: Share::ALL }
    }
}

impl Filter {
    /// Whether there is to be a line of it.
    pub fn keeps(&self, ended: Ended, rng: &mut impl Rng) -> bool {
        ended.is_error() || self.slow.is_some_and(|limit| ended.duration > limit) || self.sample.takes(rng)
    }
}

impl Ended {
    /// A status from 500 on, or a reason. What a plugin answers is meant so, unless it says 500 itself.
    fn is_error(self) -> bool {
        self.status.is_some_and(|status| status >= 500) || self.reason.is_some_and(|reason| reason != Reason::Plugin)
    }
}

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut filter = Self { slow: None, sample: Share::NONE };
        for part in text.split(',').map(str::trim) {
            if let Some(limit) = part.strip_prefix("slow>") {
                filter.slow = Some(parse_duration(limit)?);
            } else if let Some(share) = part.strip_prefix("sample=") {
                filter.sample = share.parse()?;
            } else if part != "errors" {
                let near = suggest(part, ["errors", "slow>500ms", "sample=1%"].into_iter());
                return Err(format!("{part:?} is no filter{near}; write errors, slow>TIME, sample=SHARE"));
            }
        }
        Ok(filter)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;

    fn kept(filter: &str, status: u16, reason: Option<Reason>, millis: u64) -> bool {
        let ended = Ended { status: Some(status), reason, duration: Duration::from_millis(millis) };
        filter.parse::<Filter>().unwrap().keeps(ended, &mut SmallRng::seed_from_u64(1))
    }

    #[test]
    fn errors_are_kept_by_every_filter() {
        for filter in ["errors", "slow>1s", "sample=0%"] {
            assert!(kept(filter, 500, None, 1) && kept(filter, 499, Some(Reason::ClientAbort), 1), "{filter}");
            assert!(kept(filter, 404, Some(Reason::NoRoute), 1) && kept(filter, 500, Some(Reason::Plugin), 1));
            assert!(!kept(filter, 404, None, 1) && !kept(filter, 401, Some(Reason::Plugin), 1), "{filter}");
        }
    }

    #[test]
    fn each_part_keeps_what_it_says_and_the_sample_is_of_the_rest() {
        assert!(!kept("errors,slow>500ms", 200, None, 500) && kept("errors, slow>500ms", 200, None, 501));
        assert!(kept("slow>500ms,sample=100%", 200, None, 1));
        let (filter, mut rng) = ("sample=10%".parse::<Filter>().unwrap(), SmallRng::seed_from_u64(7));
        let ended = Ended { status: Some(200), reason: None, duration: Duration::ZERO };
        let kept = (0..10_000).filter(|_| filter.keeps(ended, &mut rng)).count();
        assert!(kept.abs_diff(1_000) < 100, "{kept}");
    }

    #[test]
    fn of_a_connection_the_reason_counts() {
        let ended = |reason| Ended { status: None, reason, duration: Duration::ZERO };
        let (filter, mut rng) = ("errors".parse::<Filter>().unwrap(), SmallRng::seed_from_u64(7));
        assert!(!filter.keeps(ended(None), &mut rng) && filter.keeps(ended(Some(Reason::Reset)), &mut rng));
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for wrong in ["", "errors,", "slow>", "slow>1", "sample=1", "sample=200%", "erors"] {
            assert!(wrong.parse::<Filter>().is_err(), "{wrong:?}");
        }
    }
}
