//! The CRI as the daemon's own commands use it: over the same socket as a kubelet.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use grpcio::{CallOption, ChannelBuilder, EnvBuilder, RpcStatusCode};

use crate::proto::{ImageServiceClient, RuntimeServiceClient};

/// Every answer comes from local state; one that takes longer means that something is wrong.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between calls to a daemon that is not there.
const AWAY_PAUSE: Duration = Duration::from_millis(200);
/// The kubelet's own limit.
const MAX_MESSAGE_BYTES: i32 = 16 << 20;

/// A call that failed, in words for a person.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(pub String);

/// Clients of both services on one socket.
pub struct Client {
    /// Sandboxes and containers.
    pub runtime: RuntimeServiceClient,
    /// Images.
    pub images: ImageServiceClient,
    socket: String,
}

impl Client {
    /// A client of the daemon on a socket. Connects with the first call.
    pub fn new(socket: &Path) -> Self {
        let environment = Arc::new(EnvBuilder::new().cq_count(1).name_prefix("client-").build());
        let socket = socket.display().to_string();
        let channel = ChannelBuilder::new(environment)
            .max_receive_message_len(MAX_MESSAGE_BYTES)
            .default_authority("localhost")
            .connect(&format!("unix:{socket}"));
        Self {
            runtime: RuntimeServiceClient::new(channel.clone()),
            images: ImageServiceClient::new(channel),
            socket,
        }
    }

    /// Makes a call of the runtime service.
    ///
    /// # Errors
    /// What the daemon refused with, or that it cannot be reached.
    pub fn runtime<T>(
        &self,
        call: impl FnOnce(&RuntimeServiceClient, CallOption) -> grpcio::Result<T>,
    ) -> Result<T, Error> {
        call(&self.runtime, options()).map_err(|error| self.explain(error))
    }

    /// Makes a call that may be made twice; while no daemon is there, or one that stops, again and again.
    /// A restart takes a second.
    ///
    /// # Errors
    /// As [`Client::runtime`], when no daemon has come back within [`PATIENCE`].
    pub fn runtime_through_restart<T>(
        &self,
        call: impl Fn(&RuntimeServiceClient, CallOption) -> grpcio::Result<T>,
    ) -> Result<T, Error> {
        let limit = Instant::now() + PATIENCE;
        loop {
            match call(&self.runtime, options()) {
                Err(grpcio::Error::RpcFailure(status))
                    if is_away(status.code()) && Instant::now() < limit =>
                {
                    std::thread::sleep(AWAY_PAUSE);
                }
                answer => return answer.map_err(|error| self.explain(error)),
            }
        }
    }

    /// Makes a call of the image service.
    ///
    /// # Errors
    /// What the daemon refused with, or that it cannot be reached.
    pub fn images<T>(
        &self,
        call: impl FnOnce(&ImageServiceClient, CallOption) -> grpcio::Result<T>,
    ) -> Result<T, Error> {
        call(&self.images, options()).map_err(|error| self.explain(error))
    }

    fn explain(&self, error: grpcio::Error) -> Error {
        let socket = &self.socket;
        Error(match error {
            grpcio::Error::RpcFailure(status) if status.code() == RpcStatusCode::UNAVAILABLE => {
                format!(
                    "no answer on {socket} ({}); is `interlink-cri serve` running, and may you \
                     use its socket?",
                    status.message()
                )
            }
            grpcio::Error::RpcFailure(status) => status.message().to_owned(),
            other => format!("{socket}: {other}"),
        })
    }
}

/// Whether an answer is that of no daemon: a connection that fails or breaks off, or a call that a daemon
/// took and gave up as it stopped.
fn is_away(code: RpcStatusCode) -> bool {
    matches!(code, RpcStatusCode::UNAVAILABLE | RpcStatusCode::CANCELLED)
}

fn options() -> CallOption {
    CallOption::default()
        .timeout(PATIENCE)
        .wait_for_ready(false)
}
