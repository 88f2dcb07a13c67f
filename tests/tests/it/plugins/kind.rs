//! The kinds of plugins, and what each case's plugin is in each of them.

use std::fs;

use serde_json::Value;
use weir_proto::pb::{Plugin, WasmInstance};
use weir_tests::component::{fixture, inline, with};
use weir_tests::manifest::repository;
use weir_tests::stand::{built_in, lua};

/// What a plugin is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    BuiltIn,
    Lua,
    Wasm,
    WasmPerRequest,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [Self::BuiltIn, Self::Lua, Self::Wasm, Self::WasmPerRequest];
    /// Those whose plugins can do whatever a user writes.
    pub(super) const WRITTEN: [Self; 3] = [Self::Lua, Self::Wasm, Self::WasmPerRequest];

    /// The plugin of this name in `tests/testdata/plugins`; none is built in.
    pub(super) fn written(self, name: &str) -> Plugin {
        match self {
            Self::BuiltIn => panic!("{name} is not built in"),
            Self::Lua => lua(source(name)),
            Self::Wasm => inline(fixture(name)),
            Self::WasmPerRequest => with(inline(fixture(name)), |wasm| wasm.instance = WasmInstance::PerRequest.into()),
        }
    }

    /// The plugin `hooks`, or the built-in one that does the same; with the parameter that it wants.
    pub(super) fn doing(self, built_in_one: Option<&(&str, Value)>) -> Option<(Plugin, String)> {
        match (self, built_in_one) {
            (Self::BuiltIn, Some((name, param))) => Some((built_in(name), param.to_string())),
            (Self::BuiltIn, None) => None,
            (written, _) => Some((written.written("hooks"), r#""a""#.to_owned())),
        }
    }
}

/// The text of a script in `tests/testdata/plugins`.
fn source(name: &str) -> String {
    let file = repository().join("tests/testdata/plugins").join(name).with_extension("lua");
    fs::read_to_string(file).unwrap()
}
