//! What the API asks of the folder, and the texts of files that come of it. Pure: only what the files hold is needed.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use weir_proto::model::Key;

use super::scan::is_json;
use crate::manifest::Origin;
use crate::yaml::{Document, Form, edited, written};

/// Longer names of files are cut: most file systems take 255 bytes.
const NAME_LIMIT: usize = 200;

/// One resource is to be different.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    /// Which resource.
    pub(crate) key: Key,
    /// Where it is written; `None` = nowhere yet.
    pub(crate) origin: Option<Arc<Origin>>,
    /// What it should say; `None` = it is to go.
    pub(crate) manifest: Option<Value>,
}

impl Wish {
    /// The resource that is to go, and its file.
    pub(super) fn taken_out(&self) -> Option<(&Arc<Path>, &Key)> {
        let Self { key, origin, manifest } = self;
        Some((origin.as_ref()?.file(), key)).filter(|_| manifest.is_none())
    }
}

/// Why files stay as they are.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    /// Somebody else has changed them.
    #[error("the files of the folder have just been changed")]
    Changed,
    /// The disk does not want to.
    #[error("{}: {cause}", path.display())]
    Disk {
        /// Which file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// The control plane stops.
    #[error("the control plane stops")]
    Stopped,
}

/// What a file is to hold; `None` = it is to go.
pub(super) type Texts = BTreeMap<Arc<Path>, Option<String>>;

/// The files that are different when all wishes are fulfilled. `text` is what a file holds, `is_free` whether there is
/// none of a name.
pub(super) fn texts<'a>(
    folder: &Path,
    wishes: &[Wish],
    text: impl Fn(&Path) -> Option<&'a str>,
    is_free: impl Fn(&Path) -> bool,
) -> Result<Texts, WriteError> {
    let mut texts = Texts::new();
    for (file, mut documents) in by_file(wishes) {
        let mut now = text(&file).ok_or(WriteError::Changed)?.to_owned();
        // From the last to the first: what is above keeps its lines.
        documents.sort_by_key(|changes| std::cmp::Reverse(changes.document.lines_before()));
        for changes in &documents {
            now = changes.applied(&file, &now).ok_or(WriteError::Changed)?;
        }
        let is_left = !crate::yaml::documents(&now).is_empty();
        texts.insert(file, is_left.then_some(now));
    }
    for Wish { key, origin, manifest } in wishes {
        if let (None, Some(manifest)) = (origin, manifest) {
            let path = new_file(folder, key, |path| !texts.contains_key(path) && is_free(path));
            texts.insert(path.into(), Some(written(manifest, Form::Yaml)));
        }
    }
    Ok(texts)
}

/// What is to be different in one document.
struct DocumentChanges<'a> {
    document: &'a Document,
    /// By place in its List.
    items: Vec<(Option<usize>, Option<&'a Value>)>,
}

fn by_file(wishes: &[Wish]) -> BTreeMap<Arc<Path>, Vec<DocumentChanges<'_>>> {
    let mut files: BTreeMap<Arc<Path>, Vec<DocumentChanges<'_>>> = BTreeMap::new();
    for wish in wishes {
        let Some(origin) = &wish.origin else { continue };
        let documents = files.entry(origin.file().clone()).or_default();
        let change = (origin.item(), wish.manifest.as_ref());
        match documents.iter_mut().find(|changes| changes.document == origin.document()) {
            Some(changes) => changes.items.push(change),
            None => documents.push(DocumentChanges { document: origin.document(), items: vec![change] }),
        }
    }
    files
}

impl DocumentChanges<'_> {
    /// The text of the file with them; `None` if it is not the file that was meant. One after the other, so that no item
    /// is taken for another that comes into its place.
    fn applied(&self, file: &Path, text: &str) -> Option<String> {
        let form = if is_json(file) { Form::Json } else { Form::Yaml };
        let mut value = self.document.parse().ok()?;
        let mut now = self.document.text().to_owned();
        let mut items = self.items.clone();
        // From the last to the first: those before one that goes keep their places.
        items.sort_by_key(|(item, _)| std::cmp::Reverse(*item));
        for (item, wanted) in items {
            if !change(&mut value, item, wanted)? {
                return self.document.removed(text);
            }
            now = edited(&now, &value, form);
        }
        self.document.replaced(text, &now)
    }
}

/// Changes a document, or an item of it; false if nothing is left.
fn change(document: &mut Value, item: Option<usize>, wanted: Option<&Value>) -> Option<bool> {
    match (item, wanted) {
        (None, Some(wanted)) => *document = wanted.clone(),
        (None, None) => return Some(false),
        (Some(i), Some(wanted)) => *document["items"].get_mut(i)? = wanted.clone(),
        (Some(i), None) => {
            let list = document["items"].as_array_mut().filter(|list| i < list.len())?;
            list.remove(i);
            return Some(!list.is_empty());
        }
    }
    Some(true)
}

/// The file of a new resource: one that nobody has, below the folder of its namespace.
fn new_file(folder: &Path, key: &Key, is_free: impl Fn(&Path) -> bool) -> PathBuf {
    let folder = folder.join(key.name.namespace());
    let name = format!("{}-{}", key.kind.as_str().to_lowercase(), key.name.name());
    // Names of resources are ASCII.
    let name = &name[..name.len().min(NAME_LIMIT)];
    let numbered = (2..).map(|n| format!("{name}-{n}.yaml"));
    let mut names = std::iter::once(format!("{name}.yaml")).chain(numbered).map(|name| folder.join(name));
    names.find(|path| is_free(path)).unwrap_or_else(|| folder.join(format!("{name}.yaml")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::manifest::{Manifest, read};
    use crate::testing::key;

    const HEAD: &str = "apiVersion: weir.dev/v1alpha1\nkind: Pool\n";

    fn origins(text: &str) -> Vec<Arc<Origin>> {
        let origin = |manifest| match manifest {
            Manifest::Good(object) => object.origin,
            Manifest::Broken { origin, .. } => Some(origin),
            _ => None,
        };
        read(&Path::new("conf/a.yaml").into(), text).into_iter().filter_map(origin).collect()
    }

    fn wish(name: &str, origin: Option<&Arc<Origin>>, weight: Option<u32>) -> Wish {
        let manifest = weight.map(|weight| {
            let mut manifest =
                origin.map(|origin| origin.body().clone()).unwrap_or_else(|| json!({"metadata": {"name": name}}));
            manifest["spec"]["weight"] = weight.into();
            manifest
        });
        Wish { key: key("Pool", name), origin: origin.cloned(), manifest }
    }

    fn outcome(text: &str, wishes: &[Wish]) -> Vec<(String, Option<String>)> {
        let texts = texts(Path::new("conf"), wishes, |_| Some(text), |path| !path.ends_with("pool-c.yaml")).unwrap();
        texts.into_iter().map(|(path, text)| (path.display().to_string(), text)).collect()
    }

    #[test]
    fn several_documents_of_a_file_change_together_and_broken_ones_stay() {
        let one = |name: &str| format!("{HEAD}metadata: {{name: {name}}}\nspec: {{weight: 1}} # {name}\n");
        let text = format!("{}---\nkind: [ broken\n---\n{}", one("a"), one("b"));
        let origins = origins(&text);
        let both = outcome(&text, &[wish("a", Some(&origins[0]), Some(5)), wish("b", Some(&origins[1]), Some(6))]);
        let expected = text.replacen("weight: 1", "weight: 5", 1).replacen("weight: 1", "weight: 6", 1);
        assert_eq!(both, [("conf/a.yaml".to_owned(), Some(expected))]);
        let gone = outcome(&text, &[wish("a", Some(&origins[0]), None), wish("b", Some(&origins[1]), None)]);
        assert_eq!(gone[0].1.as_deref(), Some("---\nkind: [ broken\n"));
    }

    #[test]
    fn items_of_a_list_change_in_it_and_the_last_takes_the_file_along() {
        let item = |name: &str| {
            format!(
                "- apiVersion: weir.dev/v1alpha1\n  kind: Pool\n  metadata: {{name: {name}}}\n  spec: {{weight: 1}} # {name}\n"
            )
        };
        let text = format!("kind: List\nitems:\n{}# of b\n{}", item("a"), item("b"));
        let origins = origins(&text);
        let changed = outcome(&text, &[wish("a", Some(&origins[0]), None), wish("b", Some(&origins[1]), Some(7))]);
        let expected = format!("kind: List\nitems:\n# of b\n{}", item("b").replace("weight: 1", "weight: 7"));
        assert_eq!(changed[0].1.as_deref(), Some(expected.as_str()));
        let gone = outcome(&text, &[wish("a", Some(&origins[0]), None), wish("b", Some(&origins[1]), None)]);
        assert_eq!(gone, [("conf/a.yaml".to_owned(), None)]);
    }

    #[test]
    fn a_new_resource_gets_a_file_that_nobody_has() {
        let made = outcome("", &[wish("a", None, Some(1)), wish("c", None, Some(1)), wish("d", None, Some(1))]);
        let names: Vec<&str> = made.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["conf/default/pool-a.yaml", "conf/default/pool-c-2.yaml", "conf/default/pool-d.yaml"]);
        let long = new_file(Path::new(""), &key("Pool", &"x".repeat(253)), |_| true);
        assert!(long.file_name().unwrap().len() < 255);
    }

    #[test]
    fn a_file_that_is_not_what_it_was_is_left_alone() {
        let text = format!("{HEAD}metadata: {{name: a}}\nspec: {{}}\n");
        let wishes = [wish("a", origins(&text).first(), Some(3))];
        let other = text.replace("{}", "{weight: 9}");
        let outcome = texts(Path::new("conf"), &wishes, |_| Some(&other), |_| true);
        assert!(matches!(outcome, Err(WriteError::Changed)));
    }
}
