//! The access log: one JSON line a request, written by a thread of its own.
