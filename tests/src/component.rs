//! Plugins that are components.

use std::path::{Path, PathBuf};

use weir_proto::pb::{self, WasmInstance};

use crate::stand;

/// A component of `tests/testdata/plugins`, compiled from its text.
///
/// # Panics
/// If there is none of this name.
pub fn fixture(name: &str) -> Vec<u8> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/plugins").join(name).with_extension("wat");
    wat::parse_file(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

/// A Plugin of these bytes.
pub fn inline(bytes: Vec<u8>) -> pb::Plugin {
    of(pb::wasm::Source::Inline(bytes))
}

/// A Plugin of this file.
pub fn file(path: PathBuf) -> pb::Plugin {
    of(pb::wasm::Source::File(path.to_string_lossy().into_owned()))
}

/// A Plugin of what is behind this URL.
pub fn url(url: String, sha256: [u8; 32]) -> pb::Plugin {
    of(pb::wasm::Source::Url(pb::WasmUrl { url, sha256: sha256.to_vec() }))
}

fn of(source: pb::wasm::Source) -> pb::Plugin {
    let instance = WasmInstance::Shared.into();
    let wasm = pb::Wasm { source: Some(source), memory_limit: 64 << 20, instance };
    stand::of(pb::plugin::Code::Wasm(wasm))
}

/// The same Plugin after `change` of its component.
pub fn with(plugin: pb::Plugin, change: impl FnOnce(&mut pb::Wasm)) -> pb::Plugin {
    let mut plugin = plugin;
    if let Some(pb::plugin::Code::Wasm(wasm)) = &mut plugin.code {
        change(wasm);
    }
    plugin
}
