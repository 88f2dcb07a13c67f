//! What all of Weir's programs do alike as processes: logging, files, and stopping when told to. Behind the
//! feature `process`, so that those who only want the contract need none of it.

pub mod file_limit;
pub mod pid_file;
pub mod shutdown;
pub mod supervisor;
pub mod telemetry;
