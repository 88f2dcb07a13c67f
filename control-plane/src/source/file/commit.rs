//! Puts texts into files so that a stop at any moment, of the program or of the machine, leaves each file as it was or
//! as it should be; several files all or none. A text goes to a hidden file beside its own, and takes its name when it
//! is on the disk; what several files are to hold is first noted in a journal, which the next start carries out.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::wish::{Texts, WriteError};

/// How names of files that are in the making end, besides beginning with a dot.
const TEMPORARY: &str = ".weir-tmp";

/// Name of the journal in its folder.
const JOURNAL: &str = ".weir-journal";

/// One file of the journal.
#[derive(Serialize, Deserialize)]
struct Step {
    /// From its folder on, which may have another path by then.
    path: PathBuf,
    /// A hash of what it held; `None` = it was not there.
    before: Option<String>,
    /// What it is to hold; `None` = it is to go.
    text: Option<String>,
}

/// Writes all texts, or none.
pub(super) fn commit(folder: &Path, texts: &Texts) -> Result<(), WriteError> {
    if texts.len() < 2 {
        return texts.iter().try_for_each(|(path, text)| put(path, text.as_deref()));
    }
    let before: BTreeMap<&Path, Option<String>> =
        texts.keys().map(|path| (&**path, fs::read_to_string(path).ok())).collect();
    let journal = folder.join(JOURNAL);
    let steps: Vec<Step> = texts
        .iter()
        .map(|(path, text)| step(path.strip_prefix(folder).unwrap_or(path), before[&**path].as_deref(), text))
        .collect();
    let notes = serde_json::to_string(&steps).map_err(|error| disk(&journal)(error.into()))?;
    replace(&journal, &notes)?;
    for (i, (path, text)) in texts.iter().enumerate() {
        if let Err(error) = put(path, text.as_deref()) {
            // Whoever asked is told that nothing has changed.
            let done = before.iter().take(i);
            done.into_iter().try_for_each(|(path, text)| put(path, text.as_deref()))?;
            return remove(&journal).and(Err(error));
        }
    }
    remove(&journal)
}

/// Removes files that never got their names. They do no harm, so that one which cannot be removed may stay.
pub(super) fn clean(folder: &Path) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()).filter(|path| is_temporary(path)) {
        if let Err(error) = remove(&path) {
            tracing::warn!(%error, "a file that was left half written stays");
        }
    }
}

/// Carries out what a journal says that was left behind.
pub(super) fn recover(folder: &Path) -> Result<(), WriteError> {
    let journal = folder.join(JOURNAL);
    let Ok(notes) = fs::read(&journal) else { return Ok(()) };
    let steps: Vec<Step> = serde_json::from_slice(&notes).map_err(|error| disk(&journal)(error.into()))?;
    for Step { path, before, text } in steps {
        let path = folder.join(path);
        let now = fs::read_to_string(&path).ok();
        if now == text {
            continue;
        }
        if now.as_deref().map(hash) == before {
            put(&path, text.as_deref())?;
        } else {
            tracing::warn!(file = %path.display(), "was changed by somebody else while a change of it was under way: it stays");
        }
    }
    remove(&journal)
}

fn step(path: &Path, before: Option<&str>, text: &Option<String>) -> Step {
    Step { path: path.to_owned(), before: before.map(hash), text: text.clone() }
}

fn hash(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn put(path: &Path, text: Option<&str>) -> Result<(), WriteError> {
    match text {
        Some(text) => replace(path, text),
        None => remove(path),
    }
}

/// Gives a file this text, in one step, but not at once on the disk: what may be lost with the machine.
pub(crate) fn replace_soon(path: &Path, text: &str) -> Result<(), WriteError> {
    replace_with(path, text, |_| Ok(()))
}

/// Gives a file this text, in one step.
fn replace(path: &Path, text: &str) -> Result<(), WriteError> {
    replace_with(path, text, File::sync_all)
}

/// Where the path of a file leads by links, it stays.
fn replace_with(path: &Path, text: &str, sync: fn(&File) -> io::Result<()>) -> Result<(), WriteError> {
    let failed = disk(path);
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = real.parent().unwrap_or(Path::new("."));
    make_folder(folder).map_err(&failed)?;
    let mut name = std::ffi::OsString::from(".");
    name.push(real.file_name().unwrap_or(OsStr::new("weir")));
    name.push(TEMPORARY);
    let temporary = folder.join(name);
    let written = write(&temporary, text, fs::metadata(&real).ok().as_ref())
        .and_then(|file| sync(&file))
        .and_then(|()| fs::rename(&temporary, &real))
        .and_then(|()| sync(&open(folder)?));
    if written.is_err() {
        // It is of no use to anybody; whether it is there or not, the first error is the one to tell.
        let _ = fs::remove_file(&temporary);
    }
    written.map_err(failed)
}

/// With the owner and the rights of the file it replaces.
fn write(path: &Path, text: &str, like: Option<&fs::Metadata>) -> io::Result<File> {
    let mut file = File::create(path)?;
    if let Some(like) = like {
        file.set_permissions(like.permissions())?;
        let now = file.metadata()?;
        if (now.uid(), now.gid()) != (like.uid(), like.gid()) {
            chown(path, Some(like.uid()), Some(like.gid()))?;
        }
    }
    file.write_all(text.as_bytes())?;
    Ok(file)
}

fn remove(path: &Path) -> Result<(), WriteError> {
    let removed = fs::remove_file(path).and_then(|()| sync(path.parent().unwrap_or(Path::new("."))));
    match removed {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(disk(path)(cause)),
        _ => Ok(()),
    }
}

fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(folder)?;
    folder.parent().map_or(Ok(()), sync)
}

/// A new name is safe when its folder is on the disk.
fn sync(folder: &Path) -> io::Result<()> {
    open(folder)?.sync_all()
}

fn open(folder: &Path) -> io::Result<File> {
    File::open(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })
}

fn is_temporary(path: &Path) -> bool {
    path.file_name().is_some_and(|name| {
        let name = name.as_encoded_bytes();
        name.starts_with(b".") && name.ends_with(TEMPORARY.as_bytes())
    })
}

fn disk(path: &Path) -> impl Fn(io::Error) -> WriteError + use<> {
    let path = path.to_owned();
    move |cause| WriteError::Disk { path: path.clone(), cause }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_keeps_its_rights_and_a_link_leads_where_it_led() {
        let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (link, target) = (folder.path().join("a.yaml"), outside.path().join("target"));
        fs::write(&target, "old").unwrap();
        fs::set_permissions(&target, PermissionsExt::from_mode(0o640)).unwrap();
        symlink(&target, &link).unwrap();
        replace(&link, "new").unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "new");
        assert!(link.is_symlink() && names(outside.path()) == ["target"]);
        assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o640);
    }

    #[test]
    fn several_files_change_together_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("a"), "1").unwrap();
        fs::create_dir(path("z")).unwrap();
        let wanted = |last: &str| {
            Texts::from([(path("a").into(), Some("2".to_owned())), (path(last).into(), Some("3".to_owned()))])
        };
        assert!(commit(folder.path(), &wanted("z")).is_err(), "z is a folder");
        assert_eq!(
            (fs::read_to_string(path("a")).unwrap().as_str(), names(folder.path())),
            ("1", vec!["a".into(), "z".into()])
        );
        commit(folder.path(), &wanted("sub/b")).unwrap();
        assert_eq!(
            (fs::read_to_string(path("a")).unwrap().as_str(), fs::read_to_string(path("sub/b")).unwrap().as_str()),
            ("2", "3")
        );
    }

    #[test]
    fn a_journal_that_was_left_is_carried_out_but_for_what_others_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for (name, text) in
            [("done", "new"), ("due", "old"), ("foreign", "theirs"), ("gone", "old"), (".x.yaml.weir-tmp", "half")]
        {
            fs::write(path(name), text).unwrap();
        }
        let step = |name: &str, text: Option<&str>| Step {
            path: path(name),
            before: Some(hash("old")),
            text: text.map(str::to_owned),
        };
        let steps =
            [step("done", Some("new")), step("due", Some("new")), step("foreign", Some("new")), step("gone", None)];
        fs::write(path(JOURNAL), serde_json::to_string(&steps).unwrap()).unwrap();
        clean(folder.path());
        recover(folder.path()).unwrap();
        let texts = ["done", "due", "foreign"].map(|name| fs::read_to_string(path(name)).unwrap());
        assert_eq!(texts, ["new", "new", "theirs"]);
        assert_eq!(names(folder.path()), ["done", "due", "foreign"]);
        recover(folder.path()).unwrap();
    }
}
