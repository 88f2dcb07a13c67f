//! TLS to backends. What can be decided when configuration arrives is: each Backend has its [`Terms`], which a connection
//! goes by and remembers. A [`fault`](Fault) is why there is none.

pub mod fault;
pub mod roots;
pub mod terms;
mod unverified;

pub use fault::Fault;
pub use terms::{Spoken, Terms};
