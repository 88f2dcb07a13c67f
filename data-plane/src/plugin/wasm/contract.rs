//! The contract of `proto/wit/v0.1`: its types, and which hooks a component has.

use wasmtime::component::Component;

use super::engine::Engine;

/// Versions that this proxy speaks begin with this.
const VERSION: &str = "0.1.";
const PACKAGE: &str = "weir:plugin/";

mod generated {
    wasmtime::component::bindgen!({
        path: "../proto/wit/v0.1",
        world: "host",
        imports: { default: trappable },
        with: {
            "weir:plugin/types.request": crate::plugin::wasm::host::Request,
            "weir:plugin/types.session": crate::plugin::wasm::host::Session,
        },
    });
}

pub(super) use generated::weir::plugin::types;

/// Names of the exported interfaces, by hook.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Exports {
    pub(super) pre: Option<String>,
    pub(super) balance: Option<String>,
    pub(super) post: Option<String>,
    pub(super) done: Option<String>,
}

impl Exports {
    /// What a component exports of the contract.
    ///
    /// # Errors
    /// If it has no hook, or was made for another version.
    pub(super) fn of(component: &Component, engine: &Engine) -> Result<Self, String> {
        let mut exports = Self::default();
        let ty = component.component_type();
        for (name, _) in ty.imports(engine.wasmtime()) {
            interface(name)?;
        }
        for (name, _) in ty.exports(engine.wasmtime()) {
            let hook = match interface(name)? {
                Some("pre") => &mut exports.pre,
                Some("balance") => &mut exports.balance,
                Some("post") => &mut exports.post,
                Some("done") => &mut exports.done,
                _ => continue,
            };
            *hook = Some(name.to_owned());
        }
        if exports == Self::default() {
            return Err("exports none of the hooks of weir:plugin: pre, balance, post, done".into());
        }
        Ok(exports)
    }
}

/// The interface of the contract that a name means; `None` if it is none of the contract's.
fn interface(name: &str) -> Result<Option<&str>, String> {
    let Some((interface, version)) = name.strip_prefix(PACKAGE).and_then(|rest| rest.split_once('@')) else {
        return Ok(None);
    };
    if !version.starts_with(VERSION) {
        return Err(format!("was made for {name}; this proxy speaks version {VERSION}x of the contract"));
    }
    Ok(Some(interface))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_versions_of_the_contract_are_told_apart_from_other_packages() {
        assert_eq!(interface("weir:plugin/pre@0.1.0"), Ok(Some("pre")));
        assert_eq!(interface("weir:plugin/types@0.1.7"), Ok(Some("types")));
        assert_eq!(interface("wasi:io/poll@0.2.0"), Ok(None));
        for name in ["weir:plugin/pre@0.2.0", "weir:plugin/pre@1.1.0", "weir:plugin/pre@0.10.0"] {
            assert!(interface(name).unwrap_err().contains(name), "{name}");
        }
    }
}
