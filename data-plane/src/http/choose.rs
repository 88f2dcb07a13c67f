//! Which endpoint of a pool a request goes to: plugins leave some of the candidates, and the pool's method picks one of
//! these (P3).

use super::key;
use crate::balance::{Choice, Tried};
use crate::plugin::session::Scene;
use crate::plugin::{Candidates, Chain, Effects, Halt};
use crate::pool::View;

/// The place of the choice in the pool's view; `None` if there is nobody.
///
/// # Errors
/// If a plugin fails that the request must not go on without.
pub fn choose(scene: Scene<'_>, view: &View, tried: &Tried, effects: &Effects) -> Result<Option<usize>, Box<Halt>> {
    match scene.pool.plugins.as_ref().filter(|plugins| plugins.hooks().balance) {
        Some(plugins) => choose_with(plugins, scene, view, tried, effects),
        None => Ok(pick(scene, view, tried, effects)),
    }
}

fn choose_with(
    plugins: &Chain,
    scene: Scene<'_>,
    view: &View,
    tried: &Tried,
    effects: &Effects,
) -> Result<Option<usize>, Box<Halt>> {
    let mut candidates = Candidates::new(&view.candidates, tried);
    plugins.balance(scene, effects, &mut candidates)?;
    Ok(match candidates.len() {
        0 => None,
        1 => candidates.only(),
        _ => pick(scene, view, &candidates.excluded(), effects),
    })
}

/// What the pool's method picks.
fn pick(scene: Scene<'_>, view: &View, excluded: &Tried, effects: &Effects) -> Option<usize> {
    let Scene { connection, pool, .. } = scene;
    let mut choice = Choice {
        tried: excluded,
        cursor: &pool.runtime.cursor,
        key: key::of(&pool.config.balance, &effects.request, connection.peer.ip()),
        connection: connection.number.get(),
        rng: &mut connection.worker.rng.borrow_mut(),
    };
    view.picker.pick(&view.candidates, &mut choice)
}
