//! Plugins: what users decide at the points of a request.
//!
//! A pool's uses of plugins are compiled into one [`Chain`] when they arrive; a pool without plugins has none, and pays
//! nothing. A [`Stage`] is one plugin with one parameter, a [`Session`] is what it sees of a request and may change.
//!
//! HOOKS, each in the order of the pool's list: `pre` when a request enters the pool, `balance` with the candidates of
//! each choice, `post` after each choice, also in vain, `done` after the response.

pub mod bounded;
pub mod builtin;
pub mod candidates;
pub mod chain;
pub mod change;
pub mod client;
pub mod counts;
pub mod expiring;
pub mod failure;
pub mod fetch;
pub mod finish;
pub mod halt;
pub mod local;
pub mod lua;
pub mod names;
pub mod rehearsal;
pub mod says;
pub mod session;
pub mod set_cookie;
pub mod stage;
pub mod stats;
pub mod store;
pub mod tally;
pub mod visit;
#[cfg(feature = "wasm")]
pub mod wasm;
#[cfg(not(feature = "wasm"))]
#[path = "plugin/no_wasm.rs"]
pub mod wasm;

#[cfg(test)]
pub mod testing;

pub use candidates::Candidates;
pub use chain::{Chain, Pending};
pub use change::{Change, Changes};
pub use failure::{Cause, Failure};
pub use finish::{Finish, Outcome};
pub use halt::Halt;
pub use session::Session;
pub use stage::{Flow, Hooks, Resumed, Stage, Step, Waiting};
pub use store::Store;
pub use visit::{Effects, Visit};
