//! The bytes of a component: with its Plugin, in a file of the proxy, or behind a URL.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use http::Uri;
use sha2::{Digest, Sha256};
use tokio::task::spawn_blocking;
use tracing::warn;
use weir_proto::model::{Invalid, WasmSource};

use crate::plugin::fetch;

pub(super) use bytes::Bytes;

/// Most bytes of a component: four times what a JavaScript or Python engine takes.
pub(super) const MOST_BYTES: usize = 64 << 20;
/// The delta that names the component waits for it, and the next ones behind it.
const WITHIN: Duration = Duration::from_secs(30);
/// Downloads that are kept: some versions of some plugins.
const MOST_DOWNLOADS: usize = 16;

/// The bytes; downloads are kept below `folder`, so that a proxy starts without the server they come from.
///
/// # Errors
/// If they cannot be had; names the field below `spec.wasm`.
pub(super) async fn read(source: &WasmSource, folder: Option<&Path>) -> Result<Bytes, Invalid> {
    match source {
        WasmSource::Inline(bytes) => Ok(Bytes::from(bytes.clone())),
        WasmSource::File(path) => {
            let path = PathBuf::from(path);
            blocking(move || read_file(&path)).await.map_err(|e| Invalid::new("file", e.to_string()))
        }
        WasmSource::Url { url, sha256 } => {
            let downloads = folder.map(|folder| folder.join("wasm-downloads"));
            download(url, *sha256, downloads).await
        }
    }
}

async fn download(url: &str, sha256: [u8; 32], folder: Option<PathBuf>) -> Result<Bytes, Invalid> {
    let file = folder.map(|folder| folder.join(format!("{}.wasm", hex(&sha256))));
    if let Some(file) = file.clone()
        && let Ok(bytes) = blocking(move || read_file(&file)).await
        && is_of(&bytes, sha256)
    {
        return Ok(bytes);
    }
    let bytes = read_url(url).await.map_err(|e| Invalid::new("url", format!("{url}: {e}")))?;
    if !is_of(&bytes, sha256) {
        let digest = hex(&Sha256::digest(&bytes));
        return Err(Invalid::new("sha256", format!("{url} has another content: its SHA-256 is {digest}")));
    }
    if let Some(file) = file {
        let content = bytes.clone();
        if let Err(error) = blocking(move || keep(&file, &content)).await {
            warn!(url, %error, "a download is not kept: without it this proxy starts only if its server is there");
        }
    }
    Ok(bytes)
}

async fn read_url(url: &str) -> Result<Bytes, fetch::Error> {
    let url: Uri = url.parse()?;
    fetch::get(&url, MOST_BYTES, WITHIN).await
}

async fn blocking<T: Send + 'static>(run: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    spawn_blocking(run).await.unwrap_or_else(|e| Err(io::Error::other(e)))
}

fn read_file(path: &Path) -> io::Result<Bytes> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > MOST_BYTES {
        return Err(io::Error::other(format!("{} has more than {MOST_BYTES} bytes", path.display())));
    }
    Ok(bytes.into())
}

/// Whole or not at all: a rename. The oldest beyond the limit go.
fn keep(file: &Path, content: &[u8]) -> io::Result<()> {
    let Some(folder) = file.parent() else { return Ok(()) };
    fs::create_dir_all(folder)?;
    let unfinished = file.with_extension("tmp");
    fs::write(&unfinished, content)?;
    fs::rename(&unfinished, file)?;
    let mut kept: Vec<(SystemTime, PathBuf)> = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        kept.push((entry.metadata()?.modified()?, entry.path()));
    }
    kept.sort_unstable_by(|a, b| b.cmp(a));
    kept.iter().skip(MOST_DOWNLOADS).try_for_each(|(_, path)| fs::remove_file(path))
}

fn is_of(bytes: &[u8], sha256: [u8; 32]) -> bool {
    <[u8; 32]>::from(Sha256::digest(bytes)) == sha256
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn the_oldest_downloads_go() {
        let folder = TempDir::new().unwrap();
        for number in 0..=MOST_DOWNLOADS {
            let file = folder.path().join(format!("below/{number:02}.wasm"));
            keep(&file, b"x").unwrap();
            let age = Duration::from_secs(1_000 - number as u64);
            File::options().append(true).open(&file).unwrap().set_modified(SystemTime::now() - age).unwrap();
        }
        keep(&folder.path().join("below/new.wasm"), b"x").unwrap();
        let mut left: Vec<_> =
            fs::read_dir(folder.path().join("below")).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!((left.len(), left[0].to_str()), (MOST_DOWNLOADS, Some("02.wasm")));
    }

    #[tokio::test]
    async fn a_file_that_is_too_large_or_missing_is_refused_by_field() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("large.wasm");
        File::create(&path).unwrap().set_len(MOST_BYTES as u64 + 1).unwrap();
        let read = async |path: &Path| read(&WasmSource::File(path.to_string_lossy().into_owned()), None).await;
        assert!(read(&path).await.unwrap_err().to_string().contains("file: "));
        assert!(read(&folder.path().join("missing")).await.is_err());
        File::create(&path).unwrap().set_len(MOST_BYTES as u64).unwrap();
        assert_eq!(read(&path).await.unwrap().len(), MOST_BYTES);
    }
}
