//! Which content coding a client likes best (RFC 9110, 12.5.3).

use http::HeaderMap;
use http::header::ACCEPT_ENCODING;
use weir_proto::model::plugin::param::Algorithm;

use crate::http::headers::tokens;

/// Thousandths, as a weight has three digits at most.
type Weight = u16;

/// What the client gives most weight of what is offered, the first among equals; `None` if it likes the body as it is
/// better, or knows none of them.
pub(super) fn choose(headers: &HeaderMap, offered: &[Algorithm]) -> Option<Algorithm> {
    let mut best: Option<(Weight, Algorithm)> = None;
    for algorithm in offered {
        let weight = names(*algorithm).iter().find_map(|name| weight_of(headers, name));
        let weight = weight.or_else(|| weight_of(headers, "*")).unwrap_or(0);
        if weight > best.map_or(0, |(most, _)| most) {
            best = Some((weight, *algorithm));
        }
    }
    let identity = weight_of(headers, "identity").or_else(|| weight_of(headers, "*")).unwrap_or(0);
    best.filter(|(weight, _)| *weight >= identity).map(|(_, algorithm)| algorithm)
}

/// RFC 9110, 8.4.1.3: `x-gzip` is `gzip`.
fn names(algorithm: Algorithm) -> &'static [&'static str] {
    match algorithm {
        Algorithm::Gzip => &["gzip", "x-gzip"],
        Algorithm::Brotli => &["br"],
        Algorithm::Zstd => &["zstd"],
    }
}

/// The weight that a coding is given by its name; `None` if it is not named.
fn weight_of(headers: &HeaderMap, name: &str) -> Option<Weight> {
    headers.get_all(ACCEPT_ENCODING).iter().flat_map(tokens).find_map(|member| {
        let (coding, parameter) = member.split_once(';').unwrap_or((member, "q=1"));
        coding.trim().eq_ignore_ascii_case(name).then(|| weight(parameter.trim()).unwrap_or(0))
    })
}

/// A coding whose weight is none is not asked for.
fn weight(parameter: &str) -> Option<Weight> {
    let value = parameter.strip_prefix("q=").or_else(|| parameter.strip_prefix("Q="))?;
    let (whole, digits) = value.split_once('.').unwrap_or((value, ""));
    if digits.len() > 3 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let thousandths: Weight = format!("{digits:0<3}").parse().ok()?;
    match whole {
        "0" => Some(thousandths),
        "1" if thousandths == 0 => Some(1_000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const ALL: [Algorithm; 3] = [Algorithm::Zstd, Algorithm::Brotli, Algorithm::Gzip];

    fn chosen(fields: &[&'static str]) -> &'static str {
        let headers = fields.iter().map(|field| (ACCEPT_ENCODING, HeaderValue::from_static(field))).collect();
        choose(&headers, &ALL).map_or("", Algorithm::as_str)
    }

    #[test]
    fn the_client_weighs_and_the_order_of_preference_decides_among_equals() {
        assert_eq!(chosen(&["gzip, br, zstd"]), "zstd");
        assert_eq!(chosen(&["gzip, br"]), "br");
        assert_eq!(chosen(&["gzip, deflate", "BR;q=0.9"]), "gzip");
        assert_eq!(chosen(&["gzip;q=0.8, br;q=0.801, zstd;q=0"]), "br");
        assert_eq!(chosen(&["x-gzip"]), "gzip");
        assert_eq!(chosen(&["gzip ; q=1.000"]), "gzip");
    }

    #[test]
    fn an_asterisk_stands_for_what_is_not_named() {
        assert_eq!(chosen(&["*"]), "zstd");
        assert_eq!(chosen(&["*;q=0.1, zstd;q=0"]), "br");
        assert_eq!(chosen(&["gzip, *;q=0"]), "gzip");
        assert_eq!(chosen(&["*;q=0"]), "");
    }

    #[test]
    fn who_likes_the_body_as_it_is_better_gets_it() {
        assert_eq!(chosen(&["gzip;q=0.5, identity"]), "");
        assert_eq!(chosen(&["gzip;q=0.5, identity;q=0.5"]), "gzip");
        assert_eq!(chosen(&["identity;q=0, gzip;q=0.001"]), "gzip");
        assert_eq!(chosen(&["identity;q=0"]), "");
    }

    #[test]
    fn nothing_is_chosen_that_was_not_asked_for() {
        for fields in [&[][..], &[""], &["deflate"], &["gzip;q=0"], &["gzip;q=0.000"], &["gzip;q=2"], &["gzip;q=1.5"]] {
            assert_eq!(chosen(fields), "", "{fields:?}");
        }
        for nonsense in ["gzip;q", "gzip;q=", "gzip;q=0.0001", "gzip;q=.5", "gzip;q=-1", "gzip;level=1", "gzip;q=0.5x"]
        {
            assert_eq!(chosen(&[nonsense]), "", "{nonsense}");
        }
    }
}
