//! The limit of open files: a proxy needs two for each request under way, a control plane one for each proxy, and many
//! systems begin at 1,024.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{debug, warn};

/// Raises the soft limit to the hard one, which needs no privilege.
pub fn raise() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => debug!(from = ?limit.current, to = ?limit.maximum, "raised the limit of open files"),
        Err(error) => warn!(%error, at = ?limit.current, "the limit of open files could not be raised"),
    }
}
