//! What happens to an HTTP request on its way through. [`serve`] has the steps in order.

pub mod activity;
pub mod answer;
pub mod attempt;
pub mod body;
pub mod connection;
pub mod cookie;
pub mod downstream;
pub mod exchange;
pub mod expect;
pub mod failure;
pub mod forward;
pub mod framing;
pub mod headers;
pub mod key;
pub mod lease;
pub mod path;
pub(crate) mod percent;
pub mod query;
pub mod read_limit;
pub mod reply;
pub mod request;
pub mod request_id;
pub mod response;
pub mod serve;
pub mod upgrade;
