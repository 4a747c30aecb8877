//! What the daemon knows of its own doing. Rooms write here and read here; this room knows none
//! of them.

mod chain;
mod counters;
pub mod definitions;
mod health;
mod limited;
mod metrics;

pub use self::{
    chain::chain,
    counters::{Counter, Counters},
    health::{Health, NodeOffer, Reach, RecognisedPlugin},
    limited::{Limited, LimitedByText},
    metrics::{Metrics, Phase, PoolMetrics},
};
