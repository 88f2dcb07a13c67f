//! The rule that takes a request, and those that nearly do.

use super::answer::{Missed, RuleSeen};
use crate::listener::Served;
use crate::matcher::{Head, Miss, Near, Place};
use crate::table::Table;

/// How many rules are shown.
const MOST: usize = 6;

/// The rule found at this listener and the nearest others, those of other listeners that would have held among them.
pub(super) fn of(
    table: &Table,
    listeners: &[Served],
    listener: usize,
    head: &Head<'_>,
    found: Option<Place>,
) -> Vec<RuleSeen> {
    let Some(routes) = table.listeners.get(listener) else { return Vec::new() };
    let own = routes.nearest(head, MOST);
    let matched = own.iter().find(|near| Some(near.place) == found).map(|near| near.chain.key.to_string());
    let mut rules: Vec<RuleSeen> = own.iter().map(|near| seen(near, found, matched.as_deref())).collect();
    rules.sort_by_key(|rule| !rule.matched);
    let elsewhere = rules_elsewhere(table, listeners, listener, head);
    let place = rules.iter().position(|rule| !rule.matched).unwrap_or(rules.len());
    let unknown = elsewhere.into_iter().filter(|other| own.iter().all(|near| *near.chain.key != *other.rule));
    rules.splice(place..place, unknown.collect::<Vec<_>>());
    rules.truncate(MOST);
    rules
}

fn rules_elsewhere(table: &Table, listeners: &[Served], own: usize, head: &Head<'_>) -> Vec<RuleSeen> {
    let others = table.listeners.iter().zip(listeners).enumerate().filter(|(place, _)| *place != own);
    let best = others.filter_map(|(_, (routes, served))| {
        let place = routes.find(head)?;
        let near = routes.nearest(head, MOST).into_iter().find(|near| near.place == place)?;
        let found = Some(listeners[own].name.clone());
        let miss = Missed { condition: "listener".to_owned(), name: None, expected: served.name.clone(), found };
        Some(RuleSeen { misses: vec![miss], ..seen(&near, None, None) })
    });
    best.collect()
}

fn seen(near: &Near, found: Option<Place>, best: Option<&str>) -> RuleSeen {
    let matched = Some(near.place) == found;
    let mut misses: Vec<Missed> = near.misses.iter().map(missed).collect();
    if let (false, true, Some(best)) = (matched, misses.is_empty(), best) {
        let found = Some(near.chain.key.to_string());
        misses.push(Missed { condition: "order".to_owned(), name: None, expected: best.to_owned(), found });
    }
    let pools = near.chain.pools.iter().map(ToString::to_string).collect();
    RuleSeen { rule: near.chain.key.to_string(), pools, matched, misses }
}

fn missed(miss: &Miss) -> Missed {
    let Miss { condition, name, expected, found } = miss.clone();
    Missed { condition: condition.to_owned(), name, expected, found }
}
