//! What is made from `deploy/chart/values.yaml`: the schema that Helm checks values by, and the tables of the chart's
//! README.

mod comments;
mod schema;
mod tables;
mod values;

pub use schema::schema;
pub use tables::tables;
pub use values::{Content, Node, read};
