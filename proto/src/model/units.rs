//! Durations and sizes as users write them.

use std::time::Duration;

const DURATION_UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
const SIZE_UNITS: [(&str, u64); 3] = [("Ki", 1 << 10), ("Mi", 1 << 20), ("Gi", 1 << 30)];
/// A year: longer waits are mistakes, and sums of two never overflow.
const LONGEST_MS: u64 = 365 * 24 * 3_600_000;

/// Parses a duration such as `250ms`, `2s`, `1m30s`; the resolution is a millisecond.
///
/// # Errors
/// Says what a duration looks like.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration: write for example 250ms, 2s, 1m or 1m30s");
    let mut rest = text;
    let mut total = 0_u64;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let (amount, after) = take_number(rest).ok_or_else(wrong)?;
        let unit_len = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, tail) = after.split_at(unit_len);
        let (_, factor) = DURATION_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        let part = amount.checked_mul(*factor).ok_or_else(wrong)?;
        total = total.checked_add(part).ok_or_else(wrong)?;
        rest = tail;
    }
    if total > LONGEST_MS {
        return Err(format!("{text:?} is longer than a year"));
    }
    Ok(Duration::from_millis(total))
}

/// Writes a duration the shortest way that [`parse_duration`] reads back.
#[must_use]
pub fn format_duration(d: Duration) -> String {
    let ms = millis(d);
    let (unit, factor) =
        DURATION_UNITS.iter().rev().find(|(_, factor)| ms != 0 && ms.is_multiple_of(*factor)).unwrap_or(&("s", 1_000));
    format!("{}{unit}", ms / factor)
}

/// Parses a size in bytes such as `512`, `64Ki`, `1Mi`.
///
/// # Errors
/// Says what a size looks like.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no size: write for example 512, 64Ki, 1Mi or 1Gi");
    let (amount, unit) = take_number(text).ok_or_else(wrong)?;
    let factor = match SIZE_UNITS.iter().find(|(name, _)| *name == unit) {
        Some((_, factor)) => *factor,
        None if unit.is_empty() => 1,
        None => return Err(wrong()),
    };
    amount.checked_mul(factor).ok_or_else(wrong)
}

/// Whole milliseconds of a duration, for the wire.
#[must_use]
pub fn millis(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}

fn take_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    Some((digits.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t3_durations_are_strings_with_units() {
        for (text, ms) in [("0s", 0), ("250ms", 250), ("2s", 2_000), ("1m30s", 90_000), ("1h", 3_600_000)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "5", "s", "-1s", "1.5s", "1 s", "1d", "99999999999999999999s", "9000h"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_written_as_they_are_read() {
        for text in ["250ms", "2s", "1m", "1h", "0s", "1500ms"] {
            assert_eq!(format_duration(parse_duration(text).unwrap()), text);
        }
    }

    #[test]
    fn sizes_have_binary_units() {
        assert_eq!(parse_size("64Ki"), Ok(65_536));
        assert_eq!(parse_size("7"), Ok(7));
        for text in ["", "Ki", "1k", "1KB", "-1", "99999999999Gi"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
