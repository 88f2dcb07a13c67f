//! Which file gives which resource, Secret or `ConfigMap`. Pure: contents of files in, changes out.
//!
//! A resource that two files give stays with the one that gave it first. A file that can be read only in part
//! goes on giving what it gave before and may still hold. If it never was read whole, what it held before the
//! start is unknown, and proxies must not take it for deleted: it is told as hidden.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::mem;
use std::path::Path;
use std::sync::Arc;

use weir_proto::model::{Key, Kind};

use crate::contents::{ContentKey, Told};
use crate::finding::{Finding, Place};
use crate::keep::Keep;
use crate::manifest::{self, Manifest};
use crate::source::{Changes, Event, Given};

/// What a look found in a file.
#[derive(Debug)]
pub(crate) enum Content {
    /// As it was.
    Unchanged,
    /// Its text.
    Text(String),
    /// It is there, but cannot be read.
    Unreadable(String),
}

/// All files and what was told about them.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    files: BTreeMap<Arc<Path>, File>,
    /// The file that each resource comes from.
    owners: BTreeMap<Id, Arc<Path>>,
    told: BTreeMap<Id, Arc<Item>>,
    told_problems: BTreeMap<String, Vec<Finding>>,
    told_hidden: Keep,
    has_begun: bool,
    /// Whether the folder could not be looked at lately.
    is_lost: bool,
    /// Whether proxies may hold what files gave before the start.
    serves: bool,
}

/// Names what a file gives.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Id {
    Resource(Key),
    Content(ContentKey),
}

/// What a file gives.
#[derive(Debug, Clone, PartialEq)]
enum Item {
    Resource(Given),
    Content { key: ContentKey, told: Told, place: Place },
}

impl Id {
    /// Whether it may be among what is hidden. A document of unknown kind may be meant to be whatever has its name.
    fn is_in(&self, hidden: &Keep) -> bool {
        match self {
            Self::Resource(key) => hidden.covers(key),
            Self::Content(key) => hidden.covers(&Key::pool(key.name.clone())),
        }
    }

    fn gone(self) -> Event {
        match self {
            Self::Resource(key) => Event::Delete(key),
            Self::Content(key) => Event::Content(key, Told::Missing),
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resource(key) => key.fmt(f),
            Self::Content(key) => key.fmt(f),
        }
    }
}

impl Item {
    fn id(&self) -> Id {
        match self {
            Self::Resource(given) => Id::Resource(given.key().clone()),
            Self::Content { key, .. } => Id::Content(key.clone()),
        }
    }

    fn place(&self) -> Option<Place> {
        match self {
            Self::Resource(given) => given.place(),
            Self::Content { place, .. } => Some(place.clone()),
        }
    }

    fn event(&self) -> Event {
        match self {
            Self::Resource(given) => Event::Apply(given.clone()),
            Self::Content { key, told, place: _ } => Event::Content(key.clone(), told.clone()),
        }
    }
}

#[derive(Default)]
struct File {
    text: String,
    gives: BTreeMap<Id, Gift>,
    /// What is wrong with it apart from the resources it gives.
    problems: Vec<Finding>,
    /// What it may have held before the start, in parts that were never read.
    unseen: Keep,
}

#[derive(Debug, Clone)]
struct Gift {
    given: Arc<Item>,
    /// From an earlier version of the file: it cannot be seen in this one.
    is_kept: bool,
}

impl Catalog {
    /// A catalog whose resources are for proxies, which may hold some already.
    pub(crate) fn serving() -> Self {
        Self { serves: true, ..Self::default() }
    }

    /// Every file there is.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.keys().map(AsRef::as_ref)
    }

    /// What a file held when it was read last.
    pub(crate) fn text(&self, path: &Path) -> Option<&str> {
        self.files.get(path).map(|file| file.text.as_str())
    }

    /// Takes in what was just written to some files; `None` = such a file is gone. A resource that was taken out of its
    /// file is not in a part that cannot be read. Says what is different.
    pub(crate) fn wrote<'a>(
        &mut self,
        texts: BTreeMap<Arc<Path>, Option<String>>,
        taken_out: impl IntoIterator<Item = (&'a Arc<Path>, &'a Key)>,
    ) -> Changes {
        for (path, key) in taken_out {
            if let Some(file) = self.files.get_mut(path) {
                file.gives.remove(&Id::Resource(key.clone()));
            }
        }
        let mut contents: BTreeMap<_, _> = self.files.keys().map(|path| (path.clone(), Content::Unchanged)).collect();
        for (path, text) in texts {
            match text {
                Some(text) => drop(contents.insert(path, Content::Text(text))),
                None => drop(contents.remove(&path)),
            }
        }
        self.update(contents)
    }

    /// Whether a file gives anything.
    pub(crate) fn has_resources_of(&self, path: &Path) -> bool {
        self.files.get(path).is_some_and(|file| !file.gives.is_empty())
    }

    /// Takes in what a look found: every file there is. Says what is different.
    pub(crate) fn update(&mut self, contents: BTreeMap<Arc<Path>, Content>) -> Changes {
        let unreadable: Vec<Arc<Path>> = contents
            .iter()
            .filter(|(_, content)| matches!(content, Content::Unreadable(_)))
            .map(|(path, _)| path.clone())
            .collect();
        let unseen = self.unseen_of_new_files();
        // Files below a folder that cannot be read are not gone.
        let count = self.files.len();
        self.files.retain(|path, _| contents.contains_key(path) || unreadable.iter().any(|u| path.starts_with(u)));
        let mut is_changed = !self.has_begun || mem::take(&mut self.is_lost) || self.files.len() != count;
        for (path, content) in contents {
            let new = || File { unseen: unseen.clone(), ..File::default() };
            is_changed |= self.files.entry(path.clone()).or_insert_with(new).take(&path, content);
        }
        if !is_changed {
            return Changes::new();
        }
        self.owners = self.owners();
        self.account();
        let problems = self.problems();
        self.changes(problems)
    }

    /// The folder cannot be looked at: all stays as it was, and nothing begins.
    pub(crate) fn folder_lost(&mut self, folder: &Path, error: &io::Error) -> Changes {
        let message = format!("cannot be read, keeping what it held: {error}");
        let finding = Finding { place: Some(Place::file(&folder.into())), key: None, field: String::new(), message };
        self.is_lost = true;
        let mut problems = self.problems();
        problems.insert(folder.display().to_string(), vec![finding]);
        self.tell_problems(problems)
    }

    /// Before the start, a file may have held anything; so may one that comes out of a folder which could not be
    /// looked into.
    fn unseen_of_new_files(&self) -> Keep {
        let is_unknown = !self.has_begun || self.files.values().any(|file| file.unseen == Keep::All);
        if self.serves && is_unknown { Keep::All } else { Keep::default() }
    }

    /// A resource that some file really gives is hidden in no other.
    fn account(&mut self) {
        if self.files.values().all(File::is_plain) {
            return;
        }
        let is_real = |(id, path): &(&Id, &Arc<Path>)| !self.files[*path].gives[*id].is_kept;
        let real: BTreeSet<Id> = self.owners.iter().filter(is_real).map(|(key, _)| key.clone()).collect();
        for file in self.files.values_mut() {
            file.gives.retain(|key, gift| !gift.is_kept || !real.contains(key));
            file.unseen = mem::take(&mut file.unseen).without(|key| real.contains(&Id::Resource(key.clone())));
        }
    }

    /// The file that each resource comes from: the one it came from before, if that still has it, else the
    /// first by path. One that really has it goes before one that only had it.
    fn owners(&self) -> BTreeMap<Id, Arc<Path>> {
        let mut owners: BTreeMap<Id, (bool, bool, Arc<Path>)> = BTreeMap::new();
        for (path, file) in &self.files {
            for (key, gift) in &file.gives {
                let is_newcomer = self.owners.get(key) != Some(path);
                let claim = (gift.is_kept, is_newcomer, path.clone());
                match owners.get_mut(key) {
                    Some(best) if *best <= claim => {}
                    Some(best) => *best = claim,
                    None => drop(owners.insert(key.clone(), claim)),
                }
            }
        }
        owners.into_iter().map(|(key, (_, _, path))| (key, path)).collect()
    }

    fn problems(&self) -> BTreeMap<String, Vec<Finding>> {
        let mut problems = BTreeMap::new();
        for (path, file) in &self.files {
            let duplicates = file.gives.iter().filter_map(|(key, gift)| self.duplicate(path, key, gift));
            let own = file.problems.iter().cloned().chain(file.consequences(path));
            let findings: Vec<Finding> = own.chain(duplicates).collect();
            if !findings.is_empty() {
                problems.insert(path.display().to_string(), findings);
            }
        }
        problems
    }

    /// What to say about a resource that another file gives already.
    fn duplicate(&self, path: &Path, key: &Id, gift: &Gift) -> Option<Finding> {
        let owner = self.owners.get(key).filter(|owner| owner.as_ref() != path && !gift.is_kept)?;
        let other = self.files.get(owner)?.gives.get(key)?;
        Some(duplicate(&gift.given, &other.given))
    }

    /// The difference to what was told.
    fn changes(&mut self, problems: BTreeMap<String, Vec<Finding>>) -> Changes {
        let now: BTreeMap<Id, Arc<Item>> = self.owners.iter().filter_map(|(key, path)| self.given(key, path)).collect();
        let before = mem::replace(&mut self.told, now);
        let mut changes: Changes = if mem::replace(&mut self.has_begun, true) {
            differences(before, &self.told)
        } else {
            let contents = self.told.values().filter(|item| matches!(***item, Item::Content { .. }));
            let contents = contents.map(|item| item.event());
            contents.chain(Kind::GIVEN.map(|kind| self.reset(kind))).collect()
        };
        changes.extend(self.tell_hidden());
        changes.extend(self.tell_problems(problems));
        changes
    }

    fn tell_hidden(&mut self) -> Option<Event> {
        let hidden = self.files.values().fold(Keep::default(), |all, file| all.or(file.unseen.clone()));
        let is_news = mem::replace(&mut self.told_hidden, hidden) != self.told_hidden;
        is_news.then(|| Event::Hidden(self.told_hidden.clone()))
    }

    fn tell_problems(&mut self, problems: BTreeMap<String, Vec<Finding>>) -> Changes {
        let before = mem::replace(&mut self.told_problems, problems);
        let mended = before.keys().filter(|place| !self.told_problems.contains_key(*place));
        let mended = mended.map(|place| Event::Problems(place.clone(), Vec::new()));
        let fresh = self.told_problems.iter().filter(|(place, findings)| before.get(*place) != Some(findings));
        mended.chain(fresh.map(|(place, findings)| Event::Problems(place.clone(), findings.clone()))).collect()
    }

    fn given(&self, key: &Id, path: &Path) -> Option<(Id, Arc<Item>)> {
        let gift = self.files.get(path)?.gives.get(key)?;
        Some((key.clone(), gift.given.clone()))
    }

    fn reset(&self, kind: Kind) -> Event {
        let of_kind = |item: &Arc<Item>| match item.as_ref() {
            Item::Resource(given) if given.key().kind == kind => Some(given.clone()),
            _ => None,
        };
        Event::Reset(kind, self.told.values().filter_map(of_kind).collect())
    }
}

/// Without its text, which may hold Secrets.
impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text: _, gives, problems, unseen } = self;
        f.debug_struct("File").field("gives", gives).field("problems", problems).field("unseen", unseen).finish()
    }
}

impl File {
    /// Takes in its content; true if that is different.
    fn take(&mut self, path: &Arc<Path>, content: Content) -> bool {
        match content {
            Content::Unchanged => false,
            Content::Text(text) if text == self.text && self.problems.is_empty() => false,
            Content::Text(text) => {
                self.read(path, &text);
                self.text = text;
                true
            }
            Content::Unreadable(message) => {
                let place = Some(Place::file(path));
                let problems = vec![Finding { place, key: None, field: String::new(), message }];
                self.text.clear();
                mem::replace(&mut self.problems, problems) != self.problems
            }
        }
    }

    fn read(&mut self, path: &Arc<Path>, text: &str) {
        let before = mem::take(&mut self.gives);
        self.problems.clear();
        let mut hidden = Keep::default();
        for manifest in manifest::read(path, text) {
            match manifest {
                Manifest::Good(object) => self.give(Item::Resource(Given::Object(object))),
                Manifest::Broken { key, findings, origin } => {
                    let origin = Some(origin);
                    self.give(Item::Resource(Given::Broken { key, generation: None, findings, origin }));
                }
                Manifest::Content { key, told, place, findings } => {
                    self.give(Item::Content { key, told, place });
                    self.problems.extend(findings);
                }
                Manifest::Unknown { hides, findings } => {
                    hidden = hidden.or(hides);
                    self.problems.extend(findings);
                }
            }
        }
        // What was here before may well be in the part that cannot be read.
        for (key, gift) in before.into_iter().filter(|(id, _)| id.is_in(&hidden)) {
            self.gives.entry(key).or_insert(Gift { is_kept: true, ..gift });
        }
        self.unseen = mem::take(&mut self.unseen).and(&hidden);
    }

    /// Whether all of it was seen, and it gives nothing but what it has.
    fn is_plain(&self) -> bool {
        self.unseen.is_empty() && !self.gives.values().any(|gift| gift.is_kept)
    }

    /// What comes of its problems, besides that something is not in force.
    fn consequences(&self, path: &Arc<Path>) -> Vec<Finding> {
        if self.problems.is_empty() {
            return Vec::new();
        }
        let mut kept = self.gives.iter().filter(|(_, gift)| gift.is_kept).map(|(key, _)| key);
        let kept = kept.next().map(|first| match kept.count() {
            0 => format!("{first} stays in force, for it may be in the part that cannot be read"),
            more => format!("{first} and {more} more stay in force, for they may be in the part that cannot be read"),
        });
        let held_back = (self.unseen == Keep::All).then(|| {
            "what it held before the start is unknown: until it can be read, no resource is taken from a proxy".into()
        });
        let finding = |message| Finding { place: Some(Place::file(path)), key: None, field: String::new(), message };
        kept.into_iter().chain(held_back).map(finding).collect()
    }

    fn give(&mut self, given: Item) {
        let key = given.id();
        match self.gives.get(&key) {
            Some(first) => self.problems.push(duplicate(&given, &first.given)),
            None => drop(self.gives.insert(key, Gift { given: Arc::new(given), is_kept: false })),
        }
    }
}

fn duplicate(refused: &Item, other: &Item) -> Finding {
    let other = other.place().map(|place| format!(" at {place}")).unwrap_or_default();
    let (key, what) = match refused.id() {
        Id::Resource(key) => (Some(key), String::new()),
        Id::Content(key) => (None, format!("{key} ")),
    };
    let message = format!("{what}is already defined{other}, and this one is refused");
    Finding { place: refused.place(), key, field: "metadata.name".into(), message }
}

fn differences(before: BTreeMap<Id, Arc<Item>>, now: &BTreeMap<Id, Arc<Item>>) -> Changes {
    let is_new = |key: &Id, given: &Arc<Item>| before.get(key).is_none_or(|b| !Arc::ptr_eq(b, given) && b != given);
    let fresh = now.iter().filter(|(key, given)| is_new(key, given));
    let mut changes: Changes = fresh.map(|(_, item)| item.event()).collect();
    changes.extend(before.into_keys().filter(|id| !now.contains_key(id)).map(Id::gone));
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct World {
        catalog: Catalog,
        files: BTreeMap<&'static str, String>,
    }

    impl World {
        /// Sets files (empty text = deleted) and says what is told, shortly.
        fn write(&mut self, files: &[(&'static str, &str)]) -> Vec<String> {
            for (path, text) in files {
                match *text {
                    "" => drop(self.files.remove(path)),
                    text => drop(self.files.insert(path, text.to_owned())),
                }
            }
            let contents = self.files.iter().map(|(p, t)| (Path::new(p).into(), Content::Text(t.clone())));
            self.catalog.update(contents.collect()).iter().map(short).collect()
        }
    }

    fn short(event: &Event) -> String {
        match event {
            Event::Apply(Given::Object(object)) => format!("+{}", object.key.name.name()),
            Event::Apply(Given::Broken { key, .. }) => format!("?{}", key.name.name()),
            Event::Delete(key) => format!("-{}", key.name.name()),
            Event::Reset(kind, all) | Event::ResetIn(kind, _, all) => format!("{kind}={}", all.len()),
            Event::Service(event) => format!("{event:?}"),
            Event::Content(key, told) => format!("{key} {told:?}"),
            Event::Hidden(Keep::All) => "hidden=all".into(),
            Event::Hidden(Keep::Only(keys)) => format!("hidden={}", keys.len()),
            Event::Problems(_, findings) => findings.iter().map(|f| format!("!{f}")).collect::<Vec<_>>().join("\n"),
        }
    }

    fn pool(name: &str, weight: u32) -> String {
        format!(
            "---\napiVersion: weir.dev/v1alpha1\nkind: Pool\nmetadata: {{name: {name}}}\nspec: {{weight: {weight}}}\n"
        )
    }

    #[test]
    fn the_first_look_resets_every_kind_and_later_ones_tell_differences() {
        let mut world = World::default();
        assert_eq!(world.write(&[("a", &pool("x", 1))]), ["Pool=1", "Backend=0", "Plugin=0"]);
        assert_eq!(world.write(&[("a", &pool("x", 1))]), [""; 0]);
        assert_eq!(world.write(&[("a", &pool("x", 2)), ("b", &pool("y", 1))]), ["+x", "+y"]);
        assert_eq!(world.write(&[("a", "")]), ["-x"]);
    }

    #[test]
    fn s1_a_file_that_does_not_parse_keeps_what_it_gave() {
        let mut world = World::default();
        world.write(&[("a", &(pool("x", 1) + &pool("y", 1)))]);
        let told = world.write(&[("a", &(pool("x", 2) + "---\nkind: [\n"))]);
        assert_eq!(told[0], "+x", "the other document goes on");
        assert!(told[1].starts_with("!a:"), "{told:?}");
        assert_eq!(told.len(), 2, "y stays");
        let told = world.write(&[("a", &pool("x", 2))]);
        assert!(told[0] == "-y" && told[1].is_empty(), "now y is really gone, and so is the problem: {told:?}");
    }

    const FOREIGN: &str = "---\napiVersion: v1\nkind: Service\nmetadata: {name: y}\nspec: {}\n";

    #[test]
    fn s6_a_foreign_document_keeps_no_other_resource_from_being_deleted() {
        let mut world = World::default();
        world.write(&[("a", &(pool("x", 1) + &pool("y", 1)))]);
        let told = world.write(&[("a", FOREIGN)]);
        assert_eq!(told[0], "-x", "{told:?}");
        assert!(told[1].ends_with("!a: Pool default/y stays in force, for it may be in the part that cannot be read"));
        let told = world.write(&[("a", FOREIGN), ("b", &pool("y", 2))]);
        assert_eq!(told[0], "+y", "its real place goes first: {told:?}");
        assert_eq!(world.write(&[("b", "")]), ["-y"], "and it was never in the foreign document");
    }

    #[test]
    fn s2_what_could_not_be_read_since_the_start_hides_everything_until_it_is_read() {
        let mut world = World { catalog: Catalog::serving(), ..World::default() };
        let told = world.write(&[("a", "kind: ["), ("b", &pool("x", 1))]);
        assert_eq!(told[..4], ["Pool=1", "Backend=0", "Plugin=0", "hidden=all"]);
        assert!(told[4].contains("until it can be read, no resource is taken from a proxy"), "{told:?}");
        assert_eq!(world.write(&[("a", &pool("y", 1))]), ["+y", "hidden=0", ""]);
        let told = world.write(&[("a", "kind: ["), ("c", "kind: [")]);
        assert!(told.iter().all(|told| told.starts_with('!')), "what was there is known now: {told:?}");
    }

    #[test]
    fn s2_a_foreign_document_of_the_start_hides_its_name_until_that_is_found_elsewhere() {
        let mut world = World { catalog: Catalog::serving(), ..World::default() };
        assert_eq!(world.write(&[("a", FOREIGN)])[3], "hidden=3", "a Pool, a Backend or a Plugin");
        assert_eq!(world.write(&[("b", &pool("y", 1))]), ["+y", "hidden=2"]);
        assert_eq!(world.write(&[("b", "")]), ["-y"]);
    }

    #[test]
    fn s1_a_broken_document_is_told_by_its_name() {
        let mut world = World::default();
        world.write(&[("a", &pool("x", 1))]);
        assert_eq!(world.write(&[("a", &pool("x", 70_000))]), ["?x"]);
    }

    #[test]
    fn a_duplicate_is_refused_naming_both_places_and_takes_over_later() {
        let mut world = World::default();
        world.write(&[("b", &pool("x", 1))]);
        let told = world.write(&[("a", &pool("x", 2))]);
        assert_eq!(told, ["!a:2: Pool default/x: metadata.name: is already defined at b:2, and this one is refused"]);
        assert_eq!(world.write(&[("b", "")]), ["+x", ""]);
    }

    #[test]
    fn at_the_start_the_first_by_path_then_line_wins() {
        let mut world = World::default();
        let told = world.write(&[("b", &pool("x", 1)), ("a", &(pool("x", 2) + &pool("x", 3)))]);
        assert_eq!(told[0], "Pool=1");
        assert!(told[3].starts_with("!a:7: ") && told[3].contains("at a:2,"), "{told:?}");
        assert!(told[4].starts_with("!b:2: ") && told[4].contains("at a:2,"), "{told:?}");
    }

    #[test]
    fn a_resource_may_move_to_another_file() {
        let mut world = World::default();
        world.write(&[("a", &pool("x", 1))]);
        assert_eq!(world.write(&[("a", ""), ("b", &pool("x", 1))]), ["+x"], "with its new place, and never deleted");
    }

    #[test]
    fn s1_what_cannot_be_read_keeps_what_it_gave() {
        let mut world = World::default();
        world.write(&[("d/a", &pool("x", 1))]);
        for path in ["d/a", "d"] {
            let contents = BTreeMap::from([(Path::new(path).into(), Content::Unreadable("no".into()))]);
            let told: Vec<_> = world.catalog.update(contents).iter().map(short).collect();
            assert!(told.contains(&format!("!{path}: no")), "{told:?}");
            assert!(!told.contains(&"-x".to_owned()), "{told:?}");
        }
        assert_eq!(world.write(&[]), ["", ""], "readable again: the same resource, and no problem");
    }

    fn secret(name: &str, value: &str) -> String {
        format!("---\napiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\nstringData: {{password: {value}}}\n")
    }

    #[test]
    fn secrets_are_told_by_name_with_each_change_and_without_what_is_in_them() {
        let mut world = World::default();
        let there = r#"Secret default/s There({"password"})"#;
        assert_eq!(world.write(&[("a", &secret("s", "hunter2"))])[0], there);
        assert_eq!(world.write(&[("a", &secret("s", "hunter3"))]), [there]);
        let duplicate = world.write(&[("b", &secret("s", "hunter4"))]);
        assert_eq!(
            duplicate,
            ["!b:2: metadata.name: Secret default/s is already defined at a:2, and this one is refused"]
        );
        assert_eq!(
            world.write(&[("a", "x: {")]).iter().filter(|told| told.starts_with("Secret")).count(),
            1,
            "that of b"
        );
        assert!(world.write(&[("a", ""), ("b", "")]).contains(&"Secret default/s Missing".to_owned()));
        assert!(!format!("{:?}", world.catalog).contains("hunter"), "{:?}", world.catalog);
    }

    #[test]
    fn s1_a_secret_stays_while_its_file_cannot_be_read() {
        let mut world = World::default();
        world.write(&[("a", &secret("s", "hunter2"))]);
        let told = world.write(&[("a", "x: {")]);
        assert!(told.iter().all(|told| !told.starts_with("Secret")), "{told:?}");
        assert!(told.iter().any(|told| told.contains("Secret default/s stays in force")), "{told:?}");
    }
}
