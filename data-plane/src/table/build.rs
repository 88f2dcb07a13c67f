//! The next table from the previous one: whatever the changed pools do not concern is shared, so that one change
//! costs the same with 5,000 pools as with five, but for copies of pointers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir_proto::model::{self, ResourceName};

use super::{Chain, Pools, Routes, Table};
use crate::listener::Served;
use crate::matcher::{Change, Matcher, Place};
use crate::pool::Pool;

/// Each pool that is another one than in the previous table, as it is there.
pub type Changed = BTreeMap<ResourceName, Option<Arc<Pool>>>;

/// Builds the table of `pools` for these listeners. Listeners whose routes were the same and change alike keep
/// sharing them: mostly that is all of them.
#[must_use]
pub fn build(pools: Pools, changed: &Changed, listeners: &[Served], previous: &Table) -> Table {
    let mut steps: Vec<Step<'_>> = Vec::new();
    for (index, listener) in listeners.iter().enumerate() {
        let before = previous.listeners.get(index);
        let changes = changes(&pools, changed, listener);
        let twin = steps.iter().find(|step| step.before.map(Arc::as_ptr) == before.map(Arc::as_ptr));
        let after = match twin.filter(|twin| twin.changes == changes) {
            Some(twin) => Arc::clone(&twin.after),
            None => Arc::new(routes(&pools, &changes, before)),
        };
        steps.push(Step { before, changes, after });
    }
    let listeners = steps.into_iter().map(|step| step.after).collect();
    Table { pools, listeners }
}

/// How one listener's routes become the next.
struct Step<'a> {
    before: Option<&'a Arc<Routes>>,
    changes: Vec<Change<'a>>,
    after: Arc<Routes>,
}

fn changes<'a>(pools: &'a Pools, changed: &'a Changed, listener: &Served) -> Vec<Change<'a>> {
    let change = |(name, before): (_, &'a Option<Arc<Pool>>)| Change {
        before: before.as_ref().and_then(|pool| serving(pool, listener)),
        after: pools.get(name).and_then(|pool| serving(pool, listener)),
    };
    changed.iter().map(change).filter(changes_routes).collect()
}

fn routes(pools: &Pools, changes: &[Change<'_>], before: Option<&Arc<Routes>>) -> Routes {
    let nothing = Routes::default();
    let before = before.map_or(&nothing, |before| before);
    let (matcher, concerned) = before.matcher.changed(changes.iter().copied());
    let mut chains = before.chains.clone();
    chains.resize_with(matcher.groups(), Arc::default);
    for (group, rules) in concerned {
        chains[group] = renewed(&chains[group], &rules, |rule| chain(&matcher, Place { group, rule }, pools, before));
    }
    Routes { matcher, chains }
}

/// What the listener knows of a pool.
fn serving<'a>(pool: &'a Pool, listener: &Served) -> Option<&'a model::Pool> {
    let model::Pool { protocol, listeners, .. } = &*pool.config;
    let is_named = listeners.is_empty() || listeners.contains(&listener.name);
    (is_named && *protocol == listener.protocol).then_some(&*pool.config)
}

/// Most fields of a pool are read where requests find it, and concern no route.
fn changes_routes(change: &Change<'_>) -> bool {
    let Change { before: Some(before), after: Some(after) } = change else { return true };
    (&before.rules, before.priority, before.weight) != (&after.rules, after.priority, after.weight)
}

/// The chains of one host's rules, with those that the change concerns made anew.
fn renewed(
    previous: &[Option<Arc<Chain>>],
    concerned: &BTreeSet<usize>,
    make: impl Fn(usize) -> Option<Arc<Chain>>,
) -> Arc<[Option<Arc<Chain>>]> {
    let mut chains = previous.to_vec();
    let numbers = concerned.last().map_or(0, |last| last + 1);
    chains.resize(numbers.max(chains.len()), None);
    concerned.iter().for_each(|rule| chains[*rule] = make(*rule));
    chains.into()
}

/// The chain of the rule at this place, which keeps its position in the order of equal priorities.
fn chain(matcher: &Matcher, place: Place, pools: &Pools, before: &Routes) -> Option<Arc<Chain>> {
    let holders = matcher.chain(place)?;
    let old = before.chain(place).filter(|old| old.rule() == &*holders.key);
    let cursor = old.map(|old| Arc::clone(&old.cursor)).unwrap_or_default();
    Some(Arc::new(Chain::new(Arc::clone(holders), cursor, pools)))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;

    use http::{HeaderMap, Method};
    use weir_proto::model::{HostPattern, PathMatch, PoolProtocol, Rule};

    use super::*;
    use crate::matcher::Head;
    use crate::pool::PoolRuntime;
    use crate::pool::runtime::Environment;

    fn listeners() -> [Served; 3] {
        let named = |(name, protocol): (&str, PoolProtocol)| Served {
            name: name.to_owned(),
            protocol,
            tls: false,
            proxy: false,
        };
        [("http", PoolProtocol::Http), ("https", PoolProtocol::Http), ("redis", PoolProtocol::Tcp)].map(named)
    }

    /// A pool `a/HOST` of this host.
    fn pool(host: &str, change: impl FnOnce(&mut model::Pool)) -> Arc<Pool> {
        let environment = Environment::without_tasks(1);
        let mut config = model::Pool::new(format!("a/{host}").parse().unwrap());
        config.rules = vec![Rule { hosts: vec![HostPattern::parse(host).unwrap()], ..Rule::default() }];
        change(&mut config);
        let config = Arc::new(config);
        Arc::new(Pool::new(config.clone(), PoolRuntime::new(config, environment)))
    }

    /// The table after these pools came in place of those of their names.
    fn after(previous: &Table, come: Vec<Arc<Pool>>) -> Table {
        let mut pools = previous.pools.clone();
        let before = |pool: &Arc<Pool>| (pool.config.name.clone(), previous.pools.get(&pool.config.name).cloned());
        let changed = come.iter().map(before).collect();
        come.into_iter().for_each(|pool| pools.insert(pool));
        build(pools, &changed, &listeners(), previous)
    }

    fn chain(table: &Table, listener: usize, host: &str) -> Option<Arc<Chain>> {
        let (method, headers) = (Method::GET, HeaderMap::new());
        let head = Head { host, path: "/", query: None, method: &method, headers: &headers };
        let routes = &table.listeners[listener];
        routes.chain(routes.find(&head)?).cloned()
    }

    #[test]
    fn c5_a_change_leaves_the_chains_of_other_hosts_alone() {
        let old = after(&Table::default(), vec![pool("g", |_| ()), pool("h", |_| ())]);
        let new = after(&old, vec![pool("g", |config| config.weight = 7), pool("b", |_| ())]);
        assert!(Arc::ptr_eq(&new.listeners[0], &new.listeners[1]), "made once for both");
        for listener in [0, 1] {
            let of = |table: &Table, host: &str| chain(table, listener, host).unwrap();
            assert!(Arc::ptr_eq(&of(&old, "h"), &of(&new, "h")));
            assert!(!Arc::ptr_eq(&of(&old, "g"), &of(&new, "g")));
            of(&old, "g").cursor.store(5, Relaxed);
            assert_eq!(of(&new, "g").cursor.load(Relaxed), 5, "the position is carried over");
            let taker = of(&new, "b").order().next().unwrap();
            assert_eq!(new.pools.at(taker).unwrap().config.name.name(), "b");
        }
    }

    #[test]
    fn c5_of_a_host_that_makes_room_for_another_no_chain_is_left() {
        let at = |host: &str, path: &str| {
            let hosts = vec![HostPattern::parse(host).unwrap()];
            Rule { hosts, path: Some(PathMatch::exact(path).unwrap()), ..Rule::default() }
        };
        let old = after(&Table::default(), vec![pool("b", |config| config.rules = vec![at("b", "/x"), at("b", "/y")])]);
        let new = after(&old, vec![pool("b", |config| config.rules = vec![at("g", "/x")])]);
        let place = |table: &Table, rule: &str| table.listeners[0].place(rule, Place { group: 0, rule: 0 });
        for rule in ["b Exact \"/x\"", "b Exact \"/y\""] {
            assert!(place(&old, rule).is_some() && place(&new, rule).is_none(), "{rule}");
        }
        assert_eq!(place(&new, "g Exact \"/x\"").unwrap().group, 0, "that of the other");
    }

    #[test]
    fn c5_a_change_of_one_path_leaves_the_chains_and_places_of_the_others_alone() {
        let at = |path: &str| vec![Rule { path: Some(PathMatch::prefix(path).unwrap()), ..Rule::default() }];
        let pools = ["/a", "/b", "/c"].map(|path| pool(&path[1..], |config| config.rules = at(path)));
        let old = after(&Table::default(), pools.to_vec());
        let new = after(&old, vec![pool("b", |config| config.rules = at("/a/b"))]);
        for rule in ["* Prefix \"/a\"", "* Prefix \"/c\""] {
            let nowhere = Place { group: 9, rule: 9 };
            let place = old.listeners[0].place(rule, nowhere).unwrap();
            assert_eq!(new.listeners[0].place(rule, nowhere), Some(place));
            let of = |table: &Table| table.listeners[0].chain(place).cloned().unwrap();
            assert!(Arc::ptr_eq(&of(&old), &of(&new)), "{rule}");
        }
    }

    #[test]
    fn m7_pools_of_tcp_are_one_chain_of_their_listeners_and_of_no_other() {
        let tcp = |name: &str, priority| {
            pool(name, |config| {
                (config.protocol, config.priority, config.rules) = (PoolProtocol::Tcp, priority, Vec::new());
            })
        };
        let table = after(&Table::default(), vec![pool("g", |_| ()), tcp("b", 1), tcp("c", 0)]);
        let names = |listener: usize| {
            let chain = table.listeners[listener].only().unwrap();
            let name = |number| table.pools.at(number).unwrap().config.name.name().to_owned();
            chain.order().map(name).collect::<Vec<_>>()
        };
        assert_eq!([names(0), names(1), names(2)], [vec!["g"], vec!["g"], vec!["c", "b"]]);
        let none = after(&table, vec![pool("b", |_| ()), pool("c", |_| ())]);
        assert!(none.listeners[2].only().is_none() && chain(&none, 0, "b").is_some(), "they turned to HTTP");
    }

    #[test]
    fn c5_a_change_that_concerns_no_route_leaves_every_chain_alone() {
        let old = after(&Table::default(), vec![pool("g", |_| ())]);
        let new = after(&old, vec![pool("g", |config| config.retry.attempts = 1)]);
        assert!(Arc::ptr_eq(&chain(&old, 0, "g").unwrap(), &chain(&new, 0, "g").unwrap()));
        assert_eq!(new.pools.at(0).unwrap().config.retry.attempts, 1, "and takes effect");
    }

    #[test]
    fn c5_a_pool_may_leave_a_listener_and_come_back() {
        let both = after(&Table::default(), vec![pool("g", |_| ())]);
        let one = after(&both, vec![pool("g", |config| config.listeners = vec!["https".into()])]);
        assert!(chain(&one, 0, "g").is_none() && chain(&one, 1, "g").is_some());
        let both = after(&one, vec![pool("g", |_| ())]);
        assert!(chain(&both, 0, "g").is_some() && chain(&both, 1, "g").is_some());
    }
}
