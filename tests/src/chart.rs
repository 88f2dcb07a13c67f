//! The chart: what Helm renders, and what is made from its `values.yaml`, the schema that Helm checks values by and the
//! tables of the README.

mod comments;
mod render;
mod schema;
mod tables;
mod values;

pub use render::{RELEASE, Rendered, folder, render};
pub use schema::schema;
pub use tables::tables;
pub use values::{Content, Node, read};
