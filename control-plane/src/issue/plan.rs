//! Decides what is due. Pure: what a place holds, what is wanted and the time go in; what it should hold comes out.
//!
//! LIFECYCLE of the authority, so that at no time a plane meets a certificate whose authority it does not know yet:
//! ```text
//!   make -> signs --(two thirds of its life)--> the next one is announced in ca.crt, the old one signs
//!            ^                                       |
//!            +---(a day later: everyone has it)------+  the next one signs; the old one stays in ca.crt to its end
//! ```

use weir_proto::tls::files::{AUTHORITIES, CERTIFICATE, KEY};

use super::certificate::{self, Authority, Facts, Pair, Wanted};
use super::place::Held;
use super::{Content, Error};

/// The authority that will sign next.
const NEXT_CERTIFICATE: &str = "next.crt";
/// Its key.
const NEXT_KEY: &str = "next.key";
/// Seconds for which the next authority is known before it signs. Mounted Secrets follow within minutes.
const ANNOUNCED_FOR: i64 = 24 * 3600;

/// What to do about an authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Keep,
    Make,
    Announce,
    Promote,
}

/// What the place of the authority should hold; `None` = it may stay.
///
/// # Errors
/// If no certificate can be made.
pub(super) fn authority(held: Option<&Held>, now: i64, place: &str) -> Result<Option<Content>, Error> {
    if is_foreign(held, place) {
        return Ok(None);
    }
    let content = held.map(|held| &held.content);
    let fact = |name| Facts::read(content?.get(name)?).ok();
    let usable = content.is_some_and(|content| Authority::read(content).is_ok());
    let step = step(fact(CERTIFICATE).filter(|_| usable).as_ref(), fact(NEXT_CERTIFICATE).as_ref(), now);
    if step == Step::Keep {
        return Ok(None);
    }
    tracing::info!(place, step = ?step, "the certificate authority changes");
    let content = content.cloned().unwrap_or_default();
    Ok(Some(match step {
        Step::Promote => promote(content, now),
        Step::Announce => announce(content, certificate::new_authority(now)?, now),
        Step::Make | Step::Keep => make(content, certificate::new_authority(now)?),
    }))
}

fn step(current: Option<&Facts>, next: Option<&Facts>, now: i64) -> Step {
    match (current, next) {
        (Some(current), _) if now >= current.ends => Step::Make,
        (None, _) => Step::Make,
        (Some(_), Some(next)) if now >= next.begins.saturating_add(ANNOUNCED_FOR) => Step::Promote,
        (Some(current), None) if current.is_due(now) => Step::Announce,
        (Some(_), _) => Step::Keep,
    }
}

fn make(mut content: Content, new: Pair) -> Content {
    content.remove(NEXT_CERTIFICATE);
    content.remove(NEXT_KEY);
    let bundle = new.certificate.clone();
    with(content, new, bundle)
}

/// What else is there stays.
fn with(mut content: Content, Pair { certificate, key }: Pair, authorities: Vec<u8>) -> Content {
    for (name, bytes) in [(CERTIFICATE, certificate), (KEY, key), (AUTHORITIES, authorities)] {
        content.insert(name.to_owned(), bytes);
    }
    content
}

fn announce(mut content: Content, next: Pair, now: i64) -> Content {
    let known = content.remove(AUTHORITIES).unwrap_or_default();
    content.insert(AUTHORITIES.to_owned(), bundle(&next.certificate, &known, now));
    content.insert(NEXT_CERTIFICATE.to_owned(), next.certificate);
    content.insert(NEXT_KEY.to_owned(), next.key);
    content
}

fn promote(mut content: Content, now: i64) -> Content {
    let mut take = |name| content.remove(name).unwrap_or_default();
    let next = Pair { certificate: take(NEXT_CERTIFICATE), key: take(NEXT_KEY) };
    let bundle = bundle(&next.certificate, &take(AUTHORITIES), now);
    with(content, next, bundle)
}

/// The newest authority, and those known before that are not over yet.
fn bundle(newest: &[u8], known: &[u8], now: i64) -> Vec<u8> {
    let known = String::from_utf8_lossy(known);
    let mut all = newest.to_vec();
    for pem in known.split_inclusive("-----END CERTIFICATE-----").map(str::trim) {
        let is_valid = Facts::read(pem.as_bytes()).is_ok_and(|facts| now < facts.ends);
        if is_valid && pem != String::from_utf8_lossy(newest).trim() {
            all.extend_from_slice(pem.as_bytes());
            all.push(b'\n');
        }
    }
    all
}

/// What the place of a plane's certificate should hold; `None` = it may stay.
///
/// # Errors
/// If no certificate can be made.
pub(super) fn leaf(
    held: Option<&Held>,
    wanted: &Wanted,
    authority: &Authority,
    now: i64,
    place: &str,
) -> Result<Option<Content>, Error> {
    if is_foreign(held, place) {
        return Ok(None);
    }
    let content = held.map(|held| &held.content);
    if let Some(why) = due(content, wanted, authority, now) {
        tracing::info!(place, why, "issues a certificate");
        let content = content.cloned().unwrap_or_default();
        return Ok(Some(with(content, authority.sign(wanted, now)?, authority.bundle.clone())));
    }
    Ok(content.filter(|content| content.get(AUTHORITIES) != Some(&authority.bundle)).map(|content| {
        tracing::info!(place, "the authorities to believe change");
        let mut content = content.clone();
        content.insert(AUTHORITIES.to_owned(), authority.bundle.clone());
        content
    }))
}

/// Why a certificate is to be issued, if it is.
fn due(content: Option<&Content>, wanted: &Wanted, authority: &Authority, now: i64) -> Option<&'static str> {
    let Some(content) = content else { return Some("there is none") };
    if certificate::check(content).is_err() {
        return Some("the old one is broken");
    }
    let Some(facts) = content.get(CERTIFICATE).and_then(|pem| Facts::read(pem).ok()) else {
        return Some("the old one is broken");
    };
    if facts.issuer_key_id != authority.facts.key_id {
        return Some("the authority is another");
    }
    if facts.names != wanted.names {
        return Some("other names are asked for");
    }
    facts.is_due(now).then_some("two thirds of its life are over")
}

/// Says so, too: what somebody else made is somebody else's to renew.
fn is_foreign(held: Option<&Held>, place: &str) -> bool {
    let is_foreign = held.is_some_and(|held| !held.is_ours);
    if is_foreign {
        tracing::warn!(place, "was not made by this command, and is left alone");
    }
    is_foreign
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::issue::certificate::Role;

    const DAY: i64 = 24 * 3600;
    const NOW: i64 = 1_795_000_000;

    fn held(content: Content) -> Held {
        Held { content, secret: None, is_ours: true }
    }

    fn wanted(names: &[&str]) -> Wanted {
        let names = names.iter().map(|&name| name.to_owned()).collect();
        Wanted { role: Role::Server, names, life: Duration::from_hours(90 * 24) }
    }

    fn first() -> Content {
        authority(None, NOW, "ca").unwrap().unwrap()
    }

    fn certificates(content: &Content) -> usize {
        String::from_utf8_lossy(&content[AUTHORITIES]).matches("BEGIN CERTIFICATE").count()
    }

    fn plan(content: &Content, wanted: &Wanted, authority: &Content, now: i64) -> Option<Content> {
        leaf(Some(&held(content.clone())), wanted, &Authority::read(authority).unwrap(), now, "leaf").unwrap()
    }

    #[test]
    fn a_certificate_is_renewed_past_two_thirds_of_its_life_and_not_before() {
        let authority = first();
        let wanted = wanted(&["weir.svc", "10.0.0.1", "::1"]);
        let issued = leaf(None, &wanted, &Authority::read(&authority).unwrap(), NOW, "leaf").unwrap().unwrap();
        certificate::check(&issued).unwrap();
        assert_eq!(plan(&issued, &wanted, &authority, NOW), None);
        assert_eq!(plan(&issued, &wanted, &authority, NOW + 59 * DAY), None);
        let renewed = plan(&issued, &wanted, &authority, NOW + 60 * DAY).unwrap();
        assert!(renewed[CERTIFICATE] != issued[CERTIFICATE] && renewed[KEY] != issued[KEY]);
        assert_eq!(Facts::read(&renewed[CERTIFICATE]).unwrap().ends, NOW + 150 * DAY);
    }

    #[test]
    fn a_certificate_is_issued_again_when_names_authority_or_key_are_others() {
        let authority = first();
        let names = wanted(&["a.test"]);
        let issued = leaf(None, &names, &Authority::read(&authority).unwrap(), NOW, "leaf").unwrap().unwrap();
        assert!(plan(&issued, &wanted(&["a.test", "b.test"]), &authority, NOW).is_some());
        assert!(plan(&issued, &wanted(&[]), &authority, NOW).is_some());
        assert!(plan(&issued, &names, &first(), NOW).is_some());
        let other = leaf(None, &names, &Authority::read(&authority).unwrap(), NOW, "leaf").unwrap().unwrap();
        let mut broken = issued.clone();
        broken.insert(KEY.to_owned(), other[KEY].clone());
        assert!(plan(&broken, &names, &authority, NOW).is_some());
        broken.remove(KEY);
        assert!(plan(&broken, &names, &authority, NOW).is_some());
    }

    #[test]
    fn what_somebody_else_made_is_left_alone() {
        let foreign = Held { content: Content::new(), secret: None, is_ours: false };
        assert_eq!(authority(Some(&foreign), NOW, "ca").unwrap(), None);
        let ours = Authority::read(&first()).unwrap();
        assert_eq!(leaf(Some(&foreign), &wanted(&["a.test"]), &ours, NOW, "leaf").unwrap(), None);
    }

    #[test]
    fn an_authority_is_announced_a_day_before_it_signs_and_the_old_one_is_believed_to_its_end() {
        let old = first();
        let keep = |content: &Content, now| authority(Some(&held(content.clone())), now, "ca").unwrap();
        assert_eq!(keep(&old, NOW + 2400 * DAY), None);
        let late = NOW + 2434 * DAY;
        let announced = keep(&old, late).unwrap();
        assert_eq!((&announced[CERTIFICATE], &announced[KEY]), (&old[CERTIFICATE], &old[KEY]));
        assert_eq!(certificates(&announced), 2);

        // Planes learn of it, and keep what they have.
        let names = wanted(&["a.test"]);
        let issued = leaf(None, &names, &Authority::read(&old).unwrap(), late, "leaf").unwrap().unwrap();
        let told = plan(&issued, &names, &announced, late).unwrap();
        assert_eq!((&told[CERTIFICATE], certificates(&told)), (&issued[CERTIFICATE], 2));

        assert_eq!(keep(&announced, late + DAY / 2), None);
        let promoted = keep(&announced, late + DAY).unwrap();
        assert_eq!(promoted[CERTIFICATE], announced[NEXT_CERTIFICATE]);
        assert_eq!((certificates(&promoted), promoted.len()), (2, 3));
        assert!(plan(&told, &names, &promoted, late + DAY).is_some(), "signed by the next one from now on");
        assert_eq!(keep(&promoted, late + DAY), None);
    }

    #[test]
    fn an_authority_that_is_over_or_broken_is_made_again() {
        let old = first();
        let over = authority(Some(&held(old.clone())), NOW + 3651 * DAY, "ca").unwrap().unwrap();
        assert!(over[CERTIFICATE] != old[CERTIFICATE] && certificates(&over) == 1);
        let mut broken = old.clone();
        broken.insert(KEY.to_owned(), b"garbage".to_vec());
        assert!(authority(Some(&held(broken)), NOW, "ca").unwrap().is_some());
    }
}
