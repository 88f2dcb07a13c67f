//! `weir plugin test`: what proxies get of the Plugins in files, used by a Pool that is made up for them.
//!
//! Everything goes the way that it goes in a running control plane; other Pools and Backends of the files are left out.

mod code;
mod made_up;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use prost::Message;
use tokio::time::Instant;
use weir_proto::model::{Key, Kind, ResourceName};
use weir_proto::pb;

use crate::finding::{Finding, Place};
use crate::publish::Publisher;
use crate::source::{Changes, Event, Given, file};
use crate::status::Board;

pub use made_up::{Server, Setting};

/// Resources for a proxy.
#[derive(Debug)]
pub struct Prepared {
    /// The Pool that uses the Plugins.
    pub pool: ResourceName,
    /// That Pool, its Backends and the Plugins that it uses.
    pub resources: Vec<pb::Resource>,
    sources: BTreeMap<Key, Given>,
    /// Files of Plugins that are code by itself.
    code: Code,
}

type Code = BTreeMap<Key, Arc<Path>>;

impl Prepared {
    /// Why a proxy refuses a resource, said as `weir check` does. Proxies write `field: what is wrong`.
    #[must_use]
    pub fn finding(&self, key: &Key, reason: &str) -> Finding {
        let (field, message) = reason.split_once(": ").unwrap_or(("", reason));
        let place = match self.code.get(key) {
            Some(file) => Some(Place { line: code::line(key, message), ..Place::file(file) }),
            None => self.sources.get(key).and_then(|source| place(source, field)),
        };
        Finding { place, key: Some(key.clone()), field: field.to_owned(), message: message.to_owned() }
    }
}

/// Makes the Plugins of these files and folders ready: of manifests, of `.lua` scripts and of `.wasm` components.
///
/// # Errors
/// Everything that is wrong with them, or with what was made up.
pub fn prepare(paths: &[PathBuf], setting: &Setting) -> Result<Prepared, Vec<Finding>> {
    let (mut changes, code) = load(paths)?;
    let sources: BTreeMap<Key, Given> = plugins(&changes).map(|given| (given.key().clone(), given.clone())).collect();
    let (uses, namespace) = setting.uses(plugins(&changes)).map_err(|message| vec![said(message)])?;
    let pool = made_up::pool_name(&namespace).map_err(|message| vec![said(message)])?;
    changes.retain(|event| !matches!(event, Event::Reset(Kind::Pool | Kind::Backend, _)));
    changes.push(Event::Reset(Kind::Pool, vec![setting.pool(&pool, &uses)?]));
    changes.push(Event::Reset(Kind::Backend, setting.backends(&pool)?));
    let mut concerned = uses;
    concerned.push(Key::pool(pool.clone()));
    let resources = publish(changes, &concerned)?;
    Ok(Prepared { pool, resources, sources, code })
}

/// What the files hold. Code is not in manifests: a Plugin is made up for it.
fn load(paths: &[PathBuf]) -> Result<(Changes, Code), Vec<Finding>> {
    let (files, manifests): (Vec<_>, Vec<_>) = paths.iter().cloned().partition(|path| code::is_code(path));
    let mut changes = file::load(&manifests).map_err(|(path, error)| {
        let place = Some(Place::file(&path.into()));
        vec![Finding { place, ..said(error.to_string()) }]
    })?;
    let mut code = Code::new();
    for path in files {
        let plugin = code::plugin(&path)?;
        code.insert(plugin.key().clone(), path.into());
        let plugins = changes.iter_mut().find_map(|event| match event {
            Event::Reset(Kind::Plugin, plugins) => Some(plugins),
            _ => None,
        });
        plugins.into_iter().for_each(|plugins| plugins.push(plugin.clone()));
    }
    Ok((changes, code))
}

fn plugins(changes: &Changes) -> impl Iterator<Item = &Given> {
    let of = |event| match event {
        &Event::Reset(Kind::Plugin, ref plugins) => plugins.as_slice(),
        _ => &[],
    };
    changes.iter().flat_map(of)
}

/// The resources as they are sent to proxies, if nothing is wrong with those that count.
fn publish(changes: Changes, concerned: &[Key]) -> Result<Vec<pb::Resource>, Vec<Finding>> {
    let counts = |key: &Key| key.kind == Kind::Backend || concerned.contains(key);
    let board = Arc::new(Board::default());
    let mut publisher = Publisher::new(board.clone());
    publisher.apply(changes, Instant::now());
    let mut findings = Vec::new();
    board.each_verdict(|key, verdict| findings.extend(verdict.findings().filter(|_| counts(key)).cloned()));
    if !findings.is_empty() {
        findings.extend(board.problems().into_values().flatten());
        findings.sort();
        return Err(findings);
    }
    let snapshot = publisher.subscribe().borrow().clone();
    let entries = snapshot.iter().flat_map(|snapshot| snapshot.entries()).filter(|(key, _)| counts(key));
    let decoded = entries.map(|(_, entry)| pb::Resource::decode(entry.encoded.clone()));
    decoded.collect::<Result<_, _>>().map_err(|error| vec![said(error.to_string())])
}

fn place(source: &Given, field: &str) -> Option<Place> {
    match source {
        Given::Object(object) => object.origin.as_ref().map(|origin| origin.place(field)),
        Given::Broken { .. } => source.place(),
    }
}

/// A finding about nothing that stands in a file.
fn said(message: String) -> Finding {
    Finding { place: None, key: None, field: String::new(), message }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;

    fn prepared(files: &[(&str, &str)], setting: &Setting) -> Result<Prepared, Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        files.iter().for_each(|(name, text)| fs::write(path(name), text).unwrap());
        let paths: Vec<PathBuf> = files.iter().map(|(name, _)| path(name)).collect();
        let prefix = format!("{}/", folder.path().display());
        prepare(&paths, setting).map_err(|all| all.iter().map(|f| f.to_string().replace(&prefix, "")).collect())
    }

    fn refused(files: &[(&str, &str)], setting: &Setting) -> Vec<String> {
        prepared(files, setting).unwrap_err()
    }

    fn keys(prepared: &Prepared) -> Vec<String> {
        let key = |resource: &pb::Resource| Key::try_from(resource.key.clone().unwrap()).unwrap().to_string();
        prepared.resources.iter().map(key).collect()
    }

    const LIMIT: &str = "apiVersion: weir.dev/v1alpha1\nkind: Plugin\nmetadata: {name: limit, namespace: shop}\n\
                         spec:\n  type: RateLimit\n  param: {rate: 5}\n";
    const ROLL: &str = "---\napiVersion: weir.dev/v1alpha1\nkind: Plugin\nmetadata: {name: a-roll, namespace: shop}\n\
                        spec: {type: Random}\n";
    const POOL: &str =
        "---\napiVersion: weir.dev/v1alpha1\nkind: Pool\nmetadata: {name: web, namespace: shop}\nspec: {}\n";

    fn only(names: &[&str]) -> Setting {
        Setting { plugins: names.iter().map(|name| (*name).to_owned()).collect(), ..Setting::default() }
    }

    #[test]
    fn p1_all_plugins_of_a_file_are_used_in_its_order_and_its_pools_are_left_out() {
        let text = format!("{LIMIT}{ROLL}{POOL}");
        let all = prepared(&[("a.yaml", &text)], &Setting::default()).unwrap();
        let names = keys(&all);
        assert_eq!(names.len(), 6, "a Pool, three Backends and two Plugins: {names:?}");
        assert!(!names.contains(&"Pool shop/web".to_owned()));
        let pool = all.resources.iter().find_map(|resource| match resource.body.clone() {
            Some(pb::resource::Body::Pool(pool)) => Some(pool),
            _ => None,
        });
        let named = |name: &str| Some(pb::plugin_use::Plugin::Name(name.to_owned()));
        let used: Vec<_> = pool.unwrap().plugins.into_iter().map(|plugin_use| plugin_use.plugin).collect();
        assert_eq!(used, [named("limit"), named("a-roll")]);
        let one = prepared(&[("a.yaml", &text)], &only(&["shop/a-roll"])).unwrap();
        assert_eq!(keys(&one).iter().filter(|key| key.starts_with("Plugin")).count(), 1);
    }

    #[test]
    fn what_is_wrong_is_said_as_check_says_it() {
        let wrong = LIMIT.replace("rate: 5", "rate: 0");
        let said = refused(&[("a.yaml", &wrong)], &Setting::default());
        assert!(said.contains(&"a.yaml:6: Plugin shop/limit: spec.param.rate: must be > 0".to_owned()), "{said:?}");
        let param = Setting { param: Some(json!({"rate": -1})), ..Setting::default() };
        let said = refused(&[("a.yaml", LIMIT)], &param).join("\n");
        assert!(said.contains("spec.plugins[0].param.rate: must be > 0") && !said.contains("a.yaml"), "{said}");
        let auth = LIMIT.replace("RateLimit", "ApiKey").replace("rate: 5", "secretName: keys");
        let said = refused(&[("a.yaml", &auth)], &Setting::default()).join("\n");
        assert!(said.contains("there is no Secret shop/keys"), "{said}");
    }

    #[test]
    fn which_plugins_must_be_clear() {
        for (files, names, expected) in [
            (vec![("a.yaml", POOL)], vec![], "there is no Plugin"),
            (vec![("a.yaml", LIMIT)], vec!["quota"], "there is no Plugin quota: there is shop/limit"),
            (vec![("a.yaml", LIMIT), ("b.lua", "return {}")], vec![], "several namespaces"),
        ] {
            let said = refused(&files, &only(&names)).join("\n");
            assert!(said.contains(expected), "{said}");
        }
        let param = Setting { param: Some(json!(1)), ..Setting::default() };
        let said = refused(&[("a.yaml", &format!("{LIMIT}{ROLL}"))], &param).join("\n");
        assert!(said.contains("one parameter for 2 Plugins"), "{said}");
    }

    #[test]
    fn a_script_is_a_plugin_by_the_name_of_its_file() {
        let prepared = prepared(&[("My_gate.lua", "return {}")], &Setting::default()).unwrap();
        let name = "default/my-gate".parse().unwrap();
        assert!(keys(&prepared).contains(&"Plugin default/my-gate".to_owned()), "{:?}", keys(&prepared));
        let finding = prepared.finding(&Key::plugin(name), "spec.lua.source: default/my-gate:3: no").to_string();
        assert!(finding.ends_with("My_gate.lua:3: Plugin default/my-gate: spec.lua.source: default/my-gate:3: no"));
    }
}
