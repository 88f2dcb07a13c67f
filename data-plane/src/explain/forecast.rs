//! Which endpoint of one pool a request would get.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use rand::rngs::SmallRng;

use crate::balance::Tried;
use crate::http::choose::{Chooser, Verdict};
use crate::http::forward::wait::wish;
use crate::plugin::Halt;
use crate::pool::admission::{Outlook, Room};
use crate::pool::take::Pick;
use crate::pool::{Candidate, EndpointId, Tier, View};

/// How often a choice is tried out in which chance of plugins has a part.
const DRAWS: u32 = 1_000;

/// Slots that are looked at for one who waits: plugins may want one after the other for ever.
const MOST_SLOTS: usize = 1_000;

/// Probabilities of endpoints.
pub(super) type Shares = HashMap<EndpointId, f64>;

/// What a choice comes to.
#[derive(Debug)]
pub(super) enum Forecast {
    /// The likeliest, and how likely each is.
    Chosen(Candidate, Shares),
    /// A place in the queue, behind so many.
    Waits(usize),
    /// None: too many wait.
    Full,
    /// Nobody is there.
    Nobody,
}

/// The endpoint that the next choice comes to. Gives nobody if all are full.
pub(super) fn choose(chooser: &Chooser<'_>, view: &View) -> Result<Option<(Candidate, Shares)>, Box<Halt>> {
    let (cursor, mut rng) = state(chooser);
    let shares = RefCell::new(Shares::new());
    let by_method = |tier, excluded: &Tried| likeliest(chooser, tier, excluded, (&cursor, &mut rng, &shares));
    let Some(candidate) = chooser.foresee(view, by_method)? else { return Ok(None) };
    let mut shares = shares.into_inner();
    // What plugins alone have chosen, no method has.
    if !shares.contains_key(&candidate.endpoint.id) {
        shares = [(candidate.endpoint.id, 1.0)].into();
    }
    Ok(Some((candidate.clone(), shares)))
}

/// How likely each is, where plugins go by chance.
///
/// # Errors
/// If a plugin fails that the request must not go on without.
pub(super) fn draw(chooser: &Chooser<'_>, view: &View) -> Result<Shares, Box<Halt>> {
    let (turn, mut rng) = state(chooser);
    let mut shares = Shares::new();
    for _ in 0..DRAWS {
        let cursor = AtomicUsize::new(turn.load(Relaxed));
        let by_method = |tier, excluded: &Tried| {
            let tier: &Tier = tier;
            pick_of(tier, tier.pick(&mut chooser.choice(excluded, &cursor, &mut rng)))
        };
        if let Some(candidate) = chooser.foresee(view, by_method)? {
            *shares.entry(candidate.endpoint.id).or_default() += 1.0 / f64::from(DRAWS);
        }
    }
    Ok(shares)
}

/// A copy of what a choice goes by: the turn, and chance.
fn state(chooser: &Chooser<'_>) -> (AtomicUsize, SmallRng) {
    let runtime = &chooser.scene.pool.runtime;
    (AtomicUsize::new(runtime.cursor.load(Relaxed)), chooser.scene.connection.worker.rng.borrow().clone())
}

fn pick_of(tier: &Tier, place: Option<usize>) -> Pick<'_> {
    place.map_or(Pick::Nobody, |place| Pick::Free(&tier.candidates[place]))
}

/// The one that the pool's method most likely picks; notes how likely each is.
fn likeliest<'v>(
    chooser: &Chooser<'_>,
    tier: &'v Tier,
    excluded: &Tried,
    (cursor, rng, shares): (&AtomicUsize, &mut SmallRng, &RefCell<Shares>),
) -> Pick<'v> {
    let chances = tier.chances(&mut chooser.choice(excluded, cursor, rng));
    let best = chances.iter().enumerate().filter(|(_, chance)| **chance > 0.0);
    // Of equals the first.
    let best = best.rev().max_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(place, _)| place);
    let possible = tier.candidates.iter().zip(&chances).filter(|(_, chance)| **chance > 0.0);
    shares.replace(possible.map(|(candidate, chance)| (candidate.endpoint.id, *chance)).collect());
    pick_of(tier, best)
}

/// What the pool's queue comes to for one whom nobody could take at once: the same steps as there, but for the wait.
pub(super) fn wait(chooser: &Chooser<'_>, view: &View, mut room: Room) -> Result<Forecast, Box<Halt>> {
    let gate = &chooser.scene.pool.runtime.gate;
    let (mut refused, mut only) = (chooser.tried.clone(), None);
    for _ in 0..MOST_SLOTS {
        let id = match gate.foresee(&wish(only, &refused), room) {
            Outlook::Granted(id) => id,
            Outlook::Waiting(ahead) => return Ok(Forecast::Waits(ahead)),
            Outlook::Full => return Ok(Forecast::Full),
            Outlook::Unavailable => return Ok(Forecast::Nobody),
        };
        only = None;
        match chooser.judge(view, id)? {
            Verdict::Taken(candidate) => {
                return Ok(Forecast::Chosen(candidate.clone(), [(candidate.endpoint.id, 1.0)].into()));
            }
            Verdict::Wants(other) if other != id => only = Some(other),
            Verdict::Wants(_) | Verdict::Refused | Verdict::Gone => refused.add(id),
        }
        // Who was given a slot keeps its place.
        room.limit = usize::MAX;
    }
    Ok(Forecast::Nobody)
}
