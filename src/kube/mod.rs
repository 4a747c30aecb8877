//! The API server as the kubelet's own credentials show it: reads pods, posts events about them, sets
//! one condition in their status, and what the node offers.
//!
//! [`Client`] makes the calls, blocking and with limits. The server is always verified, and no
//! secret gets into a message. Nothing here decides what a pod needs, and nothing depends on an
//! answer: an API server that is gone costs a daemon what it would have learned, and no more.

mod access;
mod api;
mod checked_name;
mod client;
mod error;
mod event;
mod event_limit;
pub mod kubeconfig;
mod lru;
mod recorder;
mod server;
mod source;
mod time;

#[cfg(test)]
mod tests;

pub use self::{
    api::Api,
    client::{Client, Limits},
    error::Error,
    event::{EventType, PodRef},
    kubeconfig::Kubeconfig,
    recorder::{Recorded, Recorder},
    server::Server,
    source::{PodSource, Pods},
    time::time,
};
