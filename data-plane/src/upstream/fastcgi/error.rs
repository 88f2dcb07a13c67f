//! What can go wrong between us and an application.

use std::io;

use super::head::BadHead;
use super::record::{BadRecord, Verdict};
use super::upload::UploadError;

/// Why a request did not come to its end. The connection is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It closed.
    #[error("the connection ended before the request did")]
    Closed,
    /// It failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// What came is not FastCGI.
    #[error("the application sent {0}")]
    Record(#[from] BadRecord),
    /// The script's output does not begin with header fields.
    #[error("the script's answer is none: {0}")]
    Head(#[from] BadHead),
    /// The script ended before its answer began.
    #[error("the script ended without an answer")]
    NoHead,
    /// The application did not run the script.
    #[error("the application refused the request: {0:?}")]
    Refused(Verdict),
    /// Less of the body came than the script announced.
    #[error("the body ended {0} bytes before its announced end")]
    TooShort(u64),
    /// More of the body came than the script announced.
    #[error("the body is longer than announced")]
    TooLong,
    /// The request's body ended before its end.
    #[error(transparent)]
    Upload(#[from] UploadError),
}
