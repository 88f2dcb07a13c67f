//! The headers `traceparent` and `tracestate` (W3C Trace Context).

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};
use rand::{Rng, RngExt};

use crate::share::Share;

/// Names the trace that a request is part of, and the span that it comes from.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// What others say of the same trace.
pub(super) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Length of a `traceparent` of version 00.
const LENGTH: usize = 55;

/// Names a trace; never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceId(u128);

/// Names a span of a trace; never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SpanId(u64);

/// A place in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Context {
    pub(super) trace: TraceId,
    pub(super) span: SpanId,
    /// Whether its spans are recorded.
    pub(super) sampled: bool,
}

impl TraceId {
    /// A new trace.
    pub(super) fn random(rng: &mut impl Rng) -> Self {
        Self(rng.random::<u128>().max(1))
    }

    /// Whether it belongs to this share of all traces, as every service with the same share says.
    pub(super) fn is_of(self, share: Share) -> bool {
        #[expect(clippy::cast_possible_truncation, reason = "the half of it that is meant to be random")]
        let low = (self.0 as u64) >> 1;
        #[expect(clippy::cast_precision_loss, reason = "a share is no more exact than that")]
        let below = (low as f64) < share.fraction() * (1_u64 << 63) as f64;
        below || share == Share::ALL
    }

    /// As messages have it.
    pub(super) fn bytes(self) -> Vec<u8> {
        self.0.to_be_bytes().into()
    }
}

impl SpanId {
    /// A new span.
    pub(super) fn random(rng: &mut impl Rng) -> Self {
        Self::of(rng.random())
    }

    /// With this number, or another if it is none.
    pub(super) fn of(number: u64) -> Self {
        Self(number.max(1))
    }

    /// As messages have it.
    pub(super) fn bytes(self) -> Vec<u8> {
        self.0.to_be_bytes().into()
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl Context {
    /// The value of `traceparent`.
    pub(super) fn header(self) -> HeaderValue {
        let Self { trace, span, sampled } = self;
        let text = format!("00-{trace}-{:016x}-{:02x}", span.0, u8::from(sampled));
        // Digits and dashes are always legal, so the empty value never shows.
        HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
    }
}

/// Where a request says that it comes from; `None` if it does not, or in a way that says nothing.
pub(super) fn parent(headers: &HeaderMap) -> Option<Context> {
    let mut values = headers.get_all(TRACEPARENT).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let text = str::from_utf8(value.as_bytes()).ok().filter(|text| text.is_ascii() && text.len() >= LENGTH)?;
    let (known, more) = text.split_at(LENGTH);
    let mut parts = known.split('-');
    let version = hex(parts.next()?, 2)?;
    let (trace, span, flags) = (hex(parts.next()?, 32)?, hex(parts.next()?, 16)?, hex(parts.next()?, 2)?);
    // Versions to come may say more, after another dash.
    let is_legal = match version {
        0 => more.is_empty(),
        0xff => false,
        _ => more.is_empty() || more.starts_with('-'),
    };
    let (trace, span) = (TraceId(trace), SpanId(u64::try_from(span).ok()?));
    (is_legal && trace.0 != 0 && span.0 != 0).then_some(Context { trace, span, sampled: flags & 1 == 1 })
}

/// A number of so many hex digits in lower case.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (text.len() == digits && text.bytes().all(is_digit)).then(|| u128::from_str_radix(text, 16).ok())?
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    fn parsed(values: &[String]) -> Option<Context> {
        let values = values.iter().map(|value| (TRACEPARENT, HeaderValue::from_str(value).unwrap()));
        parent(&values.collect::<HeaderMap>())
    }

    #[test]
    fn a_parent_reads_as_it_was_written() {
        for flags in ["00", "01"] {
            let text = format!("00-{TRACE}-{SPAN}-{flags}");
            assert_eq!(parsed(std::slice::from_ref(&text)).unwrap().header(), text);
        }
        let small = Context { trace: TraceId(1), span: SpanId(2), sampled: true };
        assert_eq!(small.header(), "00-00000000000000000000000000000001-0000000000000002-01");
    }

    #[test]
    fn flags_and_versions_to_come_are_read_as_far_as_they_are_known() {
        let later = [format!("cc-{TRACE}-{SPAN}-03"), format!("cc-{TRACE}-{SPAN}-03-what-comes")];
        assert!(later.iter().all(|text| parsed(std::slice::from_ref(text)).is_some_and(|parent| parent.sampled)));
    }

    #[test]
    fn what_the_standard_calls_invalid_is_no_parent() {
        for text in [
            String::new(),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-1"),
            format!("00-{TRACE}-{SPAN}-01-"),
            format!("00-{TRACE}-{SPAN}-01x"),
            format!("cc-{TRACE}-{SPAN}-01x"),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{}-{SPAN}-01", "0".repeat(32)),
            format!("00-{TRACE}-{}-01", "0".repeat(16)),
            format!("00-{TRACE}-{SPAN}-+1"),
            format!("00_{TRACE}_{SPAN}_01"),
        ] {
            assert_eq!(parsed(std::slice::from_ref(&text)), None, "{text}");
        }
        let good = format!("00-{TRACE}-{SPAN}-01");
        assert_eq!(parsed(&[good.clone(), good]), None, "two of them");
    }

    #[test]
    fn a_share_of_traces_is_of_that_size_and_of_the_same_traces_everywhere() {
        let mut rng = SmallRng::seed_from_u64(7);
        let traces: Vec<TraceId> = (0..10_000).map(|_| TraceId::random(&mut rng)).collect();
        let of = |share: &str| traces.iter().filter(|trace| trace.is_of(share.parse().unwrap())).count();
        assert_eq!((of("0%"), of("100%")), (0, 10_000));
        assert!(of("10%").abs_diff(1_000) < 100, "{}", of("10%"));
        let both = |trace: &&TraceId| !trace.is_of("20%".parse().unwrap()) && trace.is_of("10%".parse().unwrap());
        assert_eq!(traces.iter().filter(both).count(), 0);
    }
}
