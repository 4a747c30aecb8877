//! What a container that has ended made of what it asked for.

use super::{record_config::shown_of_container, resources};
use crate::model::{Container, Used};

/// The shortest run whose share of CPU time says something, in milliseconds. Times of Kubernetes have whole
/// seconds (`Time` in apimachinery's meta/v1), so that of a shorter one would be off by more than a tenth.
const SHORTEST_RUN: u64 = 10_000;

/// Shares of what was asked for: 1 is all of it. None where the plugin did not say what was used, or the
/// container asked for nothing, or ran for less than ten seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Efficiency {
    /// CPU time, of the cores that were asked for, for as long as it ran.
    pub cpu: Option<f64>,
    /// Memory: the most that it had at once.
    pub memory: Option<f64>,
}

/// The efficiency of a container that used so much. What it asks for is its limit or, where it has none, its
/// request: whether a site gives more than that, nobody says.
pub fn efficiency(container: &Container, used: &Used) -> Efficiency {
    // Our own encoding of a message that was decoded from the wire.
    let config = shown_of_container(container);
    let (millicores, bytes) = resources::asked(&config.linux.resources);
    let ran = used.ran_millis.filter(|ran| *ran >= SHORTEST_RUN);
    let ran = u128::from(ran.unwrap_or(0));
    Efficiency {
        cpu: share(
            used.cpu_millis.map(|millis| u128::from(millis) * 1000),
            u128::from(millicores) * ran,
        ),
        memory: share(used.memory_bytes.map(u128::from), u128::from(bytes)),
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "figures for people: 53 bits are enough"
)]
fn share(used: Option<u128>, asked: u128) -> Option<f64> {
    let used = used.filter(|_| asked > 0)?;
    Some(used as f64 / asked as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        convert::{self, testing},
        proto::ContainerConfig,
    };

    #[test]
    fn shares_of_what_was_asked_for() {
        let of = |cores: i64, bytes: i64, used: Used| {
            let mut config = ContainerConfig::new();
            let resources = config
                .linux
                .mut_or_insert_default()
                .resources
                .mut_or_insert_default();
            (resources.cpu_quota, resources.cpu_period) = (cores * 100_000, 100_000);
            resources.memory_limit_in_bytes = bytes;
            let (pod, _) = testing::fixture(&["main"]);
            let mut container = (*pod.containers[0].container).clone();
            container.config = convert::encode_container_config(&config).expect("bytes");
            container.config.let_go();
            let Efficiency { cpu, memory } = efficiency(&container, &used);
            (cpu, memory)
        };
        let used = Used {
            cpu_millis: Some(60_000),
            memory_bytes: Some(256),
            ran_millis: Some(40_000),
        };
        assert_eq!(of(2, 1024, used), (Some(0.75), Some(0.25)));
        assert_eq!(of(1, 128, used), (Some(1.5), Some(2.0)), "more than asked");
        assert_eq!(of(0, 0, used), (None, None), "nothing asked for");
        let no_times = Used {
            ran_millis: None,
            ..used
        };
        assert_eq!(of(2, 1024, no_times), (None, Some(0.25)));
        for (ran, share) in [(0, None), (9_999, None), (10_000, Some(3.0))] {
            let short = Used {
                ran_millis: Some(ran),
                ..used
            };
            assert_eq!(of(2, 1024, short), (share, Some(0.25)), "{ran}");
        }
        assert_eq!(of(2, 1024, Used::default()), (None, None));
        let huge = Used {
            cpu_millis: Some(u64::MAX),
            memory_bytes: Some(u64::MAX),
            ran_millis: Some(u64::MAX),
        };
        assert!(of(1_000_000, i64::MAX, huge).0.is_some());
    }
}
