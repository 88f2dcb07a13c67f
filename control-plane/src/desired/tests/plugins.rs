//! Pools that use Plugins, and Plugins that name ConfigMaps.

use weir_proto::pb;

use super::*;
use crate::contents::{Content, ContentKey, ContentKind, Told};
use crate::source::Given;
use crate::testing::{backend, key, name, plugin, pool};

const SCRIPT: &str = "{type: Lua, lua: {configMap: {name: scripts, key: a.lua}}}";

/// Resources, what was said about them last, and what proxies have.
struct World {
    desired: Desired,
    verdicts: BTreeMap<Key, Verdict>,
    sent: BTreeMap<Key, Body>,
    keep: Keep,
}

impl World {
    fn new(desired: Desired) -> Self {
        let mut world = Self { desired, verdicts: BTreeMap::new(), sent: BTreeMap::new(), keep: Keep::default() };
        world.apply(Kind::GIVEN.map(|kind| Event::Reset(kind, Vec::new())).into());
        world
    }

    fn in_cluster() -> Self {
        let mut world = Self::new(Desired::in_cluster());
        world.apply(services(&[]));
        world.apply(slices(&[]));
        world
    }

    fn with(given: impl IntoIterator<Item = Given>) -> Self {
        let mut world = Self::new(Desired::default());
        world.apply(given.into_iter().map(Event::Apply).collect());
        world
    }

    /// Whether anything came of it.
    fn apply(&mut self, changes: Changes) -> bool {
        let Some(Outcome { patch, verdicts }) = self.desired.apply(changes) else { return false };
        self.sent.extend(patch.upserts);
        patch.removed.iter().for_each(|key| drop(self.sent.remove(key)));
        self.keep = patch.keep;
        for (key, verdict) in verdicts {
            match verdict {
                Some(verdict) => drop(self.verdicts.insert(key, verdict)),
                None => drop(self.verdicts.remove(&key)),
            }
        }
        true
    }

    fn give(&mut self, given: Given) {
        assert!(self.apply(vec![Event::Apply(given)]));
    }

    fn delete(&mut self, kind: &str, name: &str) {
        assert!(self.apply(vec![Event::Delete(key(kind, name))]));
    }

    fn config_map(&mut self, name: &str, told: Told) -> bool {
        self.apply(vec![Event::Content(config_map(name), told)])
    }

    /// What is wrong with a resource: field and message, with the reason if it is a reference; empty = nothing.
    fn wrong(&self, kind: &str, name: &str) -> String {
        let verdict = &self.verdicts[&key(kind, name)];
        let finding = |f: &Finding| format!("{}: {}", f.field, f.message);
        match &verdict.reference {
            Some((problem, f)) => format!("{} {}", problem.as_str(), finding(f)),
            None => verdict.invalid.iter().map(finding).collect(),
        }
    }

    fn used_by(&self, name: &str) -> (u32, Vec<String>) {
        let used_by = self.verdicts[&key("Plugin", name)].used_by.clone().unwrap();
        (used_by.count, used_by.pools)
    }

    fn has(&self, kind: &str, name: &str) -> bool {
        self.sent.contains_key(&key(kind, name))
    }

    /// The uses of a Pool: name or type, and parameter.
    fn uses(&self, name: &str) -> Vec<String> {
        let Body::Pool(pool) = &self.sent[&key("Pool", name)] else { panic!() };
        let one = |used: &pb::PluginUse| match used.plugin.as_ref().unwrap() {
            pb::plugin_use::Plugin::Name(name) => format!("{name} {}", used.param),
            pb::plugin_use::Plugin::Type(kind) => format!("({kind}) {}", used.param),
        };
        pool.plugins.iter().map(one).collect()
    }

    fn script(&self, name: &str) -> Option<&str> {
        let Body::Plugin(plugin) = self.sent.get(&key("Plugin", name))? else { panic!() };
        match plugin.code.as_ref()? {
            pb::plugin::Code::Lua(lua) => Some(&lua.source),
            other => panic!("{other:?}"),
        }
    }
}

fn config_map(name: &str) -> ContentKey {
    ContentKey { kind: ContentKind::ConfigMap, name: self::name(name) }
}

fn there(key: &str, text: &str) -> Told {
    Told::There(Content::from(BTreeMap::from([(key.to_owned(), text.into())])))
}

fn lua(name: &str, param: &str) -> Given {
    plugin(name, &format!("{{type: Lua, param: {param}, lua: {{source: 'return {{}}'}}}}"))
}

#[test]
fn p1_a_use_has_the_parameter_of_its_plugin_with_what_the_pool_says_merged_in() {
    let mut world = World::with([lua("p", "{a: 1, b: {c: 2, d: 3}, e: [1]}"), lua("q", "5"), lua("r", "{a: 1}")]);
    for (param, merged) in [
        ("", r#"{"a":1,"b":{"c":2,"d":3},"e":[1]}"#),
        (", param: {b: {c: 9, d: null}, e: [2], f: 4}", r#"{"a":1,"b":{"c":9},"e":[2],"f":4}"#),
        (", param: {b: 7}", r#"{"a":1,"b":7,"e":[1]}"#),
        (", param: [1]", "[1]"),
    ] {
        world.give(pool("a", &format!("{{plugins: [{{name: p{param}}}]}}")));
        assert_eq!(world.uses("a"), [format!("p {merged}")], "{param:?}");
    }
    world.give(pool("a", "{plugins: [{name: q, param: {x: null}}, {type: Random}, {name: r}]}"));
    assert_eq!(world.uses("a"), [r#"q {"x":null}"#, "(Random) ", r#"r {"a":1}"#], "in order");
}

#[test]
fn a_change_of_a_plugin_reaches_every_pool_that_uses_it_and_its_heirs() {
    let mut world = World::with([
        lua("p", "1"),
        pool("a", "{plugins: [{name: p}], config: {tier: gold, zone: a}}"),
        pool("heir", "{inherit: a, config: {tier: silver}}"),
        pool("other", "{plugins: [{type: Random}]}"),
    ]);
    assert_eq!(world.uses("heir"), ["p 1"]);
    let Body::Pool(heir) = &world.sent[&key("Pool", "heir")] else { panic!() };
    assert_eq!(heir.config, r#"{"tier":"silver","zone":"a"}"#);
    world.verdicts.clear();
    world.give(lua("p", "2"));
    assert_eq!((world.uses("a"), world.uses("heir")), (vec!["p 2".into()], vec!["p 2".into()]));
    assert!(!world.verdicts.contains_key(&key("Pool", "other")), "it was not looked at");
}

#[test]
fn a_parameter_that_its_type_does_not_take_is_refused_with_its_field() {
    let mut world = World::with([
        plugin("p", "{type: Random, param: {rate: 1}}"),
        plugin("q", "{type: Random}"),
        pool("a", "{plugins: [{type: Random}, {type: LeastConnections, param: [1]}]}"),
        pool("b", "{plugins: [{name: q, param: {x: 1}}]}"),
    ]);
    assert_eq!(world.wrong("Plugin", "p"), "spec.param.rate: unknown field `rate`, there are no fields");
    assert_eq!(world.wrong("Pool", "a"), "spec.plugins[1].param: must be an object");
    assert_eq!(world.wrong("Pool", "b"), "spec.plugins[0].param.x: unknown field `x`, there are no fields");
    world.give(plugin("q", "{type: Lua, lua: {source: x}}"));
    assert_eq!(world.wrong("Pool", "b"), "", "a script takes any");
}

#[test]
fn a_pool_whose_plugin_is_missing_or_refused_is_refused_and_its_last_good_version_stays() {
    let mut world = World::with([pool("a", "{plugins: [{type: Random}, {name: p}]}"), backend("x", X)]);
    assert_eq!(world.wrong("Pool", "a"), "PluginNotFound spec.plugins[1].name: there is no Plugin default/p");
    assert!(!world.has("Pool", "a"), "never unprotected");
    world.give(plugin("p", "{type: Random, param: 1}"));
    let refused = "PluginRefused spec.plugins[1].name: Plugin default/p is refused itself";
    assert_eq!(world.wrong("Pool", "a"), refused);
    world.give(plugin("p", "{type: Random}"));
    assert_eq!((world.wrong("Pool", "a"), world.uses("a")), (String::new(), vec!["(Random) ".into(), "p ".into()]));
    world.give(plugin("p", "{type: Random, param: 1}"));
    assert_eq!((world.wrong("Plugin", "p").is_empty(), world.wrong("Pool", "a")), (false, String::new()));
    world.give(pool("a", "{plugins: [{name: typo}]}"));
    assert_eq!(world.uses("a"), ["(Random) ", "p "]);
    world.give(pool("a", "{plugins: [{name: No_Name}]}"));
    assert!(world.wrong("Pool", "a").starts_with("spec.plugins[0].name: "), "{}", world.wrong("Pool", "a"));
}

#[test]
fn a_deleted_plugin_stays_as_long_as_a_pool_in_force_uses_it() {
    let mut world =
        World::with([lua("p", "1"), pool("a", "{plugins: [{name: p}]}"), pool("b", "{plugins: [{name: p}]}")]);
    world.delete("Plugin", "p");
    assert_eq!(world.wrong("Pool", "a"), "PluginNotFound spec.plugins[0].name: there is no Plugin default/p");
    assert!(world.has("Plugin", "p") && world.has("Pool", "a"));
    assert!(!world.verdicts.contains_key(&key("Plugin", "p")), "there is nothing to say about it");
    world.give(pool("a", "{}"));
    assert!(world.has("Plugin", "p"));
    world.delete("Pool", "b");
    assert!(!world.has("Plugin", "p"));
    world.give(pool("b", "{plugins: [{name: p}]}"));
    assert!(!world.has("Pool", "b"), "it is not there for newcomers");
}

#[test]
fn a_deleted_plugin_comes_back_as_it_is_given_again() {
    let mut world = World::with([lua("p", "1"), pool("a", "{plugins: [{name: p}]}")]);
    world.delete("Plugin", "p");
    world.give(lua("p", "2"));
    assert_eq!((world.wrong("Pool", "a"), world.uses("a")), (String::new(), vec!["p 2".into()]));
}

/// After a restart, only the proxies know the last good version of a Pool that is refused, and what it uses.
#[test]
fn s1_plugins_that_a_refused_pool_may_use_are_kept() {
    let world = World::with([pool("a", "{plugins: [{name: p}]}")]);
    assert!(world.keep.covers(&key("Pool", "a")) && world.keep.covers(&key("Plugin", "p")));
    assert!(!world.keep.covers(&Key::plugin("other/p".parse().unwrap())));
    assert!(!World::with([pool("a", "{}")]).keep.covers(&key("Plugin", "p")));
}

#[test]
fn the_pools_that_use_a_plugin_are_counted_and_the_first_are_named() {
    let mut world = World::with([lua("p", "1"), pool("a", "{}")]);
    assert_eq!(world.used_by("p"), (0, vec![]));
    world.give(pool("a", "{plugins: [{name: p}, {name: p}]}"));
    assert_eq!(world.used_by("p"), (1, vec!["a".into()]));
    (10..30).for_each(|i| world.give(pool(&format!("b{i}"), "{inherit: a}")));
    let (count, named) = world.used_by("p");
    assert_eq!((count, named.len(), named[9].as_str()), (21, 10, "b18"));
    world.give(pool("a", "{}"));
    assert_eq!(world.used_by("p"), (0, vec![]));
}

#[test]
fn code_of_a_config_map_follows_it_and_stays_when_it_is_gone() {
    let mut world = World::with([plugin("p", SCRIPT), pool("a", "{plugins: [{name: p}]}")]);
    let field = "ConfigMapNotFound spec.lua.configMap";
    assert_eq!(world.wrong("Plugin", "p"), format!("{field}: there is no ConfigMap default/scripts"));
    assert!(world.wrong("Pool", "a").starts_with("PluginRefused"));
    world.config_map("scripts", there("b.lua", "return 1"));
    assert_eq!(world.wrong("Plugin", "p"), format!("{field}: ConfigMap default/scripts has no key \"a.lua\""));
    world.config_map("scripts", there("a.lua", "return 1"));
    assert_eq!((world.script("p"), world.wrong("Pool", "a")), (Some("return 1"), String::new()));
    world.config_map("scripts", there("a.lua", "return 2"));
    assert_eq!(world.script("p"), Some("return 2"));
    world.config_map("scripts", Told::Missing);
    assert_eq!((world.script("p"), world.wrong("Plugin", "p").is_empty()), (Some("return 2"), false));
}

/// The only file of the only use of a Pool.
fn file<'w>(world: &'w World, pool: &str) -> Option<(&'w str, &'w [u8])> {
    let Body::Pool(pool) = world.sent.get(&key("Pool", pool))? else { panic!() };
    let (path, content) = pool.plugins[0].files.first_key_value()?;
    Some((path, content))
}

#[test]
fn p1_a_secret_that_a_parameter_names_travels_with_each_use_and_its_changes_follow() {
    const ADA: &str = "ada:$2b$04$EGdrhbKUv8Oc9vGiXX0HQOxSg445d458Muh7DAHskb6QbtCvdxcie";
    const BOB: &str = "bob:$2b$04$EGdrhbKUv8Oc9vGiXX0HQOxSg445d458Muh7DAHskb6QbtCvdxcie";
    let secret = |told| vec![Event::Content(ContentKey { kind: ContentKind::Secret, name: name("people") }, told)];
    let auth = plugin("p", "{type: BasicAuth, param: {secretName: people}}");
    let mut world = World::with([auth, pool("a", "{plugins: [{name: p}]}")]);
    assert_eq!(world.wrong("Plugin", "p"), "SecretNotFound spec.param.secretName: there is no Secret default/people");
    assert!(!world.has("Pool", "a"), "not without it");
    world.apply(secret(there("auth", ADA)));
    assert_eq!((world.wrong("Plugin", "p"), world.wrong("Pool", "a")), Default::default());
    assert_eq!(file(&world, "a"), Some(("secret/people/auth", ADA.as_bytes())));
    world.apply(secret(there("auth", BOB)));
    assert_eq!(file(&world, "a"), Some(("secret/people/auth", BOB.as_bytes())));
    world.apply(secret(there("auth", "ada:plain")));
    assert!(world.wrong("Pool", "a").contains("neither bcrypt nor"), "{}", world.wrong("Pool", "a"));
    world.apply(secret(Told::Missing));
    assert!(world.wrong("Plugin", "p").starts_with("SecretNotFound"));
    assert_eq!(file(&world, "a"), Some(("secret/people/auth", BOB.as_bytes())), "the last good version");
}

#[test]
fn s1_a_pool_that_a_mirror_names_must_exist_and_may_vanish_later() {
    let mut world = World::with([
        plugin("m", "{type: Mirror, param: {pool: shadow}}"),
        pool("a", "{plugins: [{type: Mirror, param: {pool: shadow}}]}"),
        pool("b", "{plugins: [{name: m, param: {percent: 5}}]}"),
    ]);
    let missing = |field: &str| format!("PoolNotFound {field}: there is no Pool default/shadow");
    assert_eq!(world.wrong("Plugin", "m"), missing("spec.param.pool"));
    assert_eq!(world.wrong("Pool", "a"), missing("spec.plugins[0].param.pool"));
    assert!(world.wrong("Pool", "b").starts_with("PluginRefused"), "{}", world.wrong("Pool", "b"));
    world.give(pool("shadow", "{plugins: [{type: Mirror, param: {pool: a}}]}"));
    for (kind, name) in [("Plugin", "m"), ("Pool", "a"), ("Pool", "b"), ("Pool", "shadow")] {
        assert_eq!(world.wrong(kind, name), "", "{kind} {name}");
    }
    world.delete("Pool", "shadow");
    assert_eq!(world.wrong("Plugin", "m"), missing("spec.param.pool"));
    for name in ["a", "b"] {
        assert_eq!(world.wrong("Pool", name), missing("spec.plugins[0].param.pool"));
        assert!(world.has("Pool", name), "requests go on");
    }
    world.give(pool("a", "{plugins: [{type: Mirror, param: {pool: other/shadow}}]}"));
    assert!(world.wrong("Pool", "a").starts_with("spec.plugins[0].param.pool: "), "{}", world.wrong("Pool", "a"));
}

#[test]
fn t1_two_metrics_of_one_name_are_refused_in_a_pool() {
    let metric = "param: {name: a_total, help: A.}";
    let mut world = World::with([
        plugin("m", &format!("{{type: Metrics, {metric}}}")),
        pool("a", &format!("{{plugins: [{{name: m}}, {{type: Random}}, {{type: Metrics, {metric}}}]}}")),
        pool("b", "{plugins: [{name: m}, {name: m, param: {name: b_total}}]}"),
    ]);
    let expected = "spec.plugins[2].param.name: another plugin of this Pool has the metric \"a_total\" already";
    assert_eq!((world.wrong("Pool", "a").as_str(), world.wrong("Pool", "b").as_str()), (expected, ""));
    world.give(pool("a", "{plugins: [{name: m}]}"));
    assert_eq!(world.wrong("Pool", "a"), "", "each pool has its own");
}

#[test]
fn s1_the_last_good_version_of_a_refused_plugin_follows_what_it_names() {
    let mut world = World::with([plugin("p", SCRIPT)]);
    world.config_map("scripts", there("a.lua", "return 1"));
    world.give(plugin("p", "{type: Random, param: 1}"));
    world.config_map("scripts", there("a.lua", "return 2"));
    assert_eq!((world.script("p"), world.wrong("Plugin", "p").is_empty()), (Some("return 2"), false));
}

#[test]
fn s1_the_last_good_version_of_a_refused_pool_follows_its_plugins() {
    let mut world = World::with([lua("p", "1"), pool("a", "{plugins: [{name: p}]}")]);
    world.give(pool("a", "{plugins: [{name: p}], match: [{hosts: ['*']}]}"));
    world.give(lua("p", "2"));
    assert_eq!((world.uses("a"), world.wrong("Pool", "a").is_empty()), (vec!["p 2".into()], false));
}

#[test]
fn rule_1_nothing_is_settled_before_all_that_is_named_was_told() {
    let mut world = World::in_cluster();
    let mut begin = Desired::in_cluster();
    let lists = [
        vec![pool("a", "{plugins: [{name: p}]}"), pool("b", "{inherit: a}")],
        vec![backend("x", X)],
        vec![plugin("p", SCRIPT)],
    ];
    let lists = Kind::GIVEN.into_iter().zip(lists).map(|(kind, all)| Event::Reset(kind, all));
    let all: Changes = lists.chain(services(&[])).chain(slices(&[])).collect();
    assert!(begin.apply(all).is_none());
    assert_eq!(begin.missing(), ["ConfigMap default/scripts"]);
    assert_eq!(begin.take_wanted().unwrap().into_keys().collect::<Vec<_>>(), [config_map("scripts")]);
    world.desired = begin;
    assert!(world.config_map("scripts", there("a.lua", "return 1")));
    assert!(["a", "b"].into_iter().all(|pool| world.has("Pool", pool)) && world.script("p").is_some());
    assert!(world.verdicts.contains_key(&key("Backend", "x")), "judged while it waited");
}

#[test]
fn what_waits_keeps_its_last_good_version_and_verdict() {
    let mut world = World::in_cluster();
    world.give(plugin("p", "{type: Lua, lua: {source: 'return 0'}}"));
    world.give(pool("a", "{plugins: [{name: p}]}"));
    world.give(plugin("p", SCRIPT));
    assert_eq!((world.script("p"), world.wrong("Plugin", "p")), (Some("return 0"), String::new()));
    assert!(world.desired.take_wanted().unwrap().contains_key(&config_map("scripts")));
    world.config_map("scripts", there("a.lua", "return 1"));
    assert_eq!(world.script("p"), Some("return 1"));
    world.give(plugin("p", "{type: Random}"));
    assert_eq!(world.desired.take_wanted().unwrap().len(), 0, "nobody names it any more");
}

#[test]
fn what_cannot_be_read_is_refused_with_the_reason_and_holds_up_nothing_else() {
    let mut world = World::in_cluster();
    world.give(plugin("p", SCRIPT));
    world.config_map("scripts", Told::Unreadable("no permission".into()));
    let wrong = "ConfigMapNotFound spec.lua.configMap: ConfigMap default/scripts cannot be read: no permission";
    assert_eq!(world.wrong("Plugin", "p"), wrong);
    world.give(pool("a", "{}"));
    assert!(world.has("Pool", "a"));
}
