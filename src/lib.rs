//! interlink-cri: a Kubernetes container runtime whose containers run elsewhere.
//!
//! A kubelet speaks the Container Runtime Interface (CRI v1) to this daemon over a unix
//! socket; the daemon turns pod sandboxes and containers into *jobs*, hands them over HTTP to
//! an [interLink](https://github.com/interlink-hq/interLink) API server, and reports back what
//! its plugins (SLURM, HTCondor, Docker, ...) say became of them.
//!
//! # The map
//!
//! A file imports from its own room and from the floors below; rooms on one floor do not know
//! each other, and nothing imports upwards. `tests/architecture` holds the code to that.
//!
//! ```text
//! top  cli        commands and flags
//!      daemon     builds the rooms, ends the threads in order
//!   5  cri        the gRPC services: validate, change the store, answer; a file for each RPC
//!      worker     carries out what pods are owed: submits, cancels, polls, follows logs
//!      plugin     the local plugin and its HTTP server, behind a wall
//!      node_view  what a kubelet sees of its machine's size
//!      metrics    the figures, and the listener that Prometheus asks for them
//!   4  store      the only owner of state, in memory and on disk
//!      interlink  the HTTP client of the interLink API, and what follows from each error
//!      logs       CRI log files: format, confinement, rotation, each remote line once
//!      host       reads what the kubelet prepared on this node's disk
//!      kube       the HTTP client of the Kubernetes API server: pods, events, a condition, the node
//!      identity   whose jobs are, as the site has it now: its users, read again when their file changes
//!   3  convert    CRI messages to Kubernetes pods (pure)
//!      profile    what is known of each plugin: what it says, what it understands (pure)
//!   2  kubelet    what is known of a kubelet: its directory, what it makes of a pod (pure)
//!      plan       state machines, schedules, decisions (pure)
//!      audit      a line for each submission and cancellation, in a file of its own
//!      traces     OpenTelemetry spans of calls and jobs, and the way to their collector
//!   1  config     keys, defaults, checks, the sample
//!      net        certificates, keys and tokens in files that are read again when they change
//!      confined   ways through directories without a symlink on them
//!      disk       calls to file systems that may never answer: threads of their own, a deadline
//!      daemon_log  the daemon's own log: what its lines are about, and what they look like
//!   0  model      records, ids, time
//!      proto      the generated CRI
//!      threads    the one way to start a thread, and what a panic does
//!      backoff    how long to wait before the next try (pure)
//!      bounded    foreign texts read into large types, within a bound of memory (pure)
//!      json       JSON that another machine wrote, read piece by piece (pure)
//!      quantity   Kubernetes amounts, printed and read (pure)
//!      endpoint   where an HTTP server is: URLs, checked and taken apart
//!      owned      whether others can change what is at a path
//!      peer       whose socket is at the other end of a connection within this machine
//!      text       foreign texts made fit for a line, cut, told from DNS names (pure)
//!      telemetry  metrics, health, limited log lines
//!      memory     gives memory that is not needed back to the system
//!      service    what systemd hears of the daemon
//! ```
//!
//! Two edges are forbidden besides: `cri` sees neither `interlink` nor `kube`. That is the first
//! promise of the daemon, made visible: an answer to the kubelet cannot wait for a plugin, because
//! the room that answers has no way to call one. It changes the store, and the store wakes the
//! workers.
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![warn(clippy::unwrap_used, clippy::expect_used)]
#![cfg_attr(any(test, fuzzing), allow(clippy::unwrap_used, clippy::expect_used))]

pub mod audit;
pub mod backoff;
pub mod bounded;
pub mod cli;
pub mod config;
pub mod confined;
pub mod convert;
pub mod cri;
pub mod daemon;
pub mod daemon_log;
pub mod disk;
pub mod endpoint;
pub mod host;
pub mod identity;
pub mod interlink;
pub mod json;
pub mod kube;
pub mod kubelet;
pub mod logs;
pub mod memory;
pub mod metrics;
pub mod model;
pub mod net;
pub mod node_view;
pub mod owned;
pub mod peer;
pub mod plan;
pub mod plugin;
pub mod profile;
pub mod proto;
pub mod quantity;
pub mod service;
pub mod store;
pub mod telemetry;
pub mod text;
pub mod threads;
pub mod traces;
pub mod worker;

#[cfg(test)]
mod fuzz_testing;
#[cfg(test)]
mod http_testing;
#[cfg(test)]
mod memory_testing;
