//! A tenant who does what hurts others, where they let it: log directories, volumes and host paths on a mount
//! that never answers, containers that print without end, pods as large as they may be. Nobody promises it
//! anything; but what the others are promised holds beside it, and it leaves nothing behind.

use std::{fs, path::PathBuf, thread, time::Duration};

use fastrand::Rng;
use interlink_cri::proto::{ContainerConfig, Mount, PodSandboxConfig};

use crate::{
    books::Books,
    kubelet::Kubelet,
    support::{container, sandbox, Cri, Hung},
    world::World,
};

/// Settings with which it can be seen within seconds.
pub const SETTINGS: &str = "
[daemon]
disk_timeout = '200ms'
";
/// For `[logs]`: bounds that no other tenant comes to.
pub const LOG_SETTINGS: &str = "max_bytes_per_second = 131072\nmax_file_bytes = 1048576\n";
/// Its number among the clients.
const NUMBER: u64 = 0xbad;

pub struct Tenant<'a> {
    kubelet: Kubelet<'a>,
    world: &'a World,
    /// None where tests may not mount.
    hung: Option<Hung>,
    dead: PathBuf,
    pods: u64,
    rng: Rng,
}

impl<'a> Tenant<'a> {
    pub fn new(world: &'a World, books: &'a Books, mut rng: Rng) -> Self {
        let dead = world.logs().join("dead");
        fs::create_dir_all(&dead).expect("a directory");
        Self {
            kubelet: Kubelet::new(NUMBER, world, books, Rng::with_seed(rng.u64(..))),
            world,
            hung: Hung::over(&dead),
            dead,
            pods: 0,
            rng,
        }
    }

    /// One of its pods, and its end.
    pub fn one_pod(&mut self) {
        self.pods += 1;
        let name = format!("hostile-{}", self.pods);
        let mut pod = sandbox(&name);
        let uid = format!("{NUMBER:08x}-0000-4000-8000-{:012x}", self.pods);
        pod.metadata.mut_or_insert_default().uid.clone_from(&uid);
        pod.labels.insert("io.kubernetes.pod.uid".into(), uid);
        let logs = self.world.logs().join(&name);
        pod.log_directory = logs.display().to_string();
        let mut config = container("main", &["sleep", "3600"]);
        let below_the_dead = |name: &str| self.dead.join(name).display().to_string();
        let kind = self.rng.u32(if self.hung.is_some() { 0 } else { 2 }..4);
        match kind {
            0 => pod.log_directory = below_the_dead(&name),
            1 => config.mounts.push(Mount {
                container_path: "/data".to_owned(),
                host_path: below_the_dead(&name),
                ..Default::default()
            }),
            2 => {
                let script = "yes hostile | head -c 3000000; exec sleep 3600";
                config = container("main", &["sh", "-c", script]);
            }
            _ => {
                pod.annotations
                    .insert("big".to_owned(), "x".repeat(200 << 10));
                config
                    .annotations
                    .insert("big".to_owned(), "x".repeat(200 << 10));
            }
        }
        self.try_to_run(&pod, &config);
        self.kubelet.end(&pod);
        let _ = fs::remove_dir_all(logs);
    }

    /// Whatever becomes of it.
    fn try_to_run(&mut self, pod: &PodSandboxConfig, config: &ContainerConfig) {
        let cri: Cri = self.world.cri();
        let Ok(id) = cri.try_run(pod) else { return };
        // As often as a kubelet would in a while.
        for _ in 0..3 {
            let started = cri
                .try_create(&id, config)
                .and_then(|id| cri.try_start(&id));
            thread::sleep(Duration::from_millis(self.rng.u64(50..700)));
            if started.is_ok() {
                break;
            }
        }
    }
}
