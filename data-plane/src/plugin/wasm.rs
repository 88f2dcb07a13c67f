//! Plugins in WebAssembly: components of the contract in `proto/wit`, run by wasmtime.
//!
//! [`source`] gets the bytes of a component, [`module`] makes it ready to run, and [`modules`] does both off the control
//! thread, before the delta is applied that brings it. A [`stage`] has on each worker an [`instance`] of it; what its
//! hooks see and do is in [`host`] and [`session`], what language runtimes want in [`wasi`].
//!
//! BUDGETS of one call: time by the [`engine`]'s epochs, [`memory`] by a limiter, what crosses the border by
//! [`instance::CROSSING`]. Whatever exceeds them ends the call, and the instance with it.

mod contract;
mod engine;
mod failure;
mod host;
mod instance;
mod memory;
mod module;
mod modules;
mod request;
mod session;
mod source;
mod stage;
mod wasi;

#[cfg(test)]
mod tests;

pub use modules::Modules;
pub use stage::Program;
