//! Requests that have been answered, as they come.
