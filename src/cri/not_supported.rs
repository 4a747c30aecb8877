//! What this runtime does not do, each with the reason and what to do instead. The texts are what
//! users of `kubectl` read.

use super::Error;

/// Checkpoints need the processes on this node.
pub fn checkpoint(method: &str) -> Error {
    Error::Unimplemented(format!(
        "{method}: containers run on a remote system through interLink, which cannot checkpoint \
         or restore them; let the application write its own checkpoints"
    ))
}

/// interLink has no way to run a command in a container.
pub fn exec_sync(method: &str) -> Error {
    Error::Unimplemented(format!(
        "{method}: interLink has no way to run a command inside a container; use an httpGet, \
         tcpSocket or grpc probe instead of an exec one, and leave out exec lifecycle hooks"
    ))
}

/// interLink has no way to reach into a container.
pub fn streaming(method: &str) -> Error {
    Error::Unimplemented(format!(
        "{method}: interLink has no way to reach into a container that runs on a remote system; \
         use `kubectl logs` to see what it writes"
    ))
}
