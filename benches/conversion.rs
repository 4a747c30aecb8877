//! `make bench`: what it takes to make a large pod's job of what the kubelet sent and prepared: 10
//! containers, each of which mounts the pod's 20 volumes. Prints time and allocations.

use std::{
    fs,
    hint::black_box,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use criterion::{criterion_group, criterion_main, Criterion};
use interlink_cri::{
    config::Config,
    convert::{self, JobContainer, Settings},
    host::MountReader,
    model::{
        Container, ContainerId, Job, JobMembers, JobUid, Nanos, Pod, Sandbox, SandboxId, StringMap,
        Submission,
    },
    proto::{
        ContainerConfig, KeyValue, LinuxContainerConfig, LinuxContainerResources, Mount,
        PodSandboxConfig,
    },
};
use protobuf::MessageField;

const CONTAINERS: usize = 10;
const UID: &str = "0f6e1c1a-9a3b-4a53-8c36-2f6f7b1d6a10";

/// The pod's volumes, prepared as a kubelet does it.
fn prepare(root: &Path) -> Vec<PathBuf> {
    let kinds = [
        ("configmap", 8),
        ("secret", 6),
        ("projected", 2),
        ("empty-dir", 4),
    ];
    let kinds = kinds.iter();
    let names =
        kinds.flat_map(|(kind, count)| (0..*count).map(move |n| (kind, format!("{kind}-{n}"))));
    names
        .map(|(kind, name)| {
            let plugin = format!("kubernetes.io~{kind}");
            let volume = root
                .join("pods")
                .join(UID)
                .join("volumes")
                .join(plugin)
                .join(name);
            fs::create_dir_all(volume.join("..1")).expect("made");
            for file in ["a.conf", "b.conf", "c.conf"] {
                fs::write(volume.join("..1").join(file), "key = value\n".repeat(100))
                    .expect("written");
            }
            symlink("..1", volume.join("..data")).expect("linked");
            volume
        })
        .collect()
}

fn container(number: usize, volumes: &[PathBuf]) -> Container {
    let mount = |volume: &PathBuf| Mount {
        container_path: format!(
            "/mnt/{}",
            volume.file_name().expect("a name").to_string_lossy()
        ),
        host_path: volume.display().to_string(),
        readonly: true,
        ..Default::default()
    };
    let variable = |n: usize| KeyValue {
        key: format!("VARIABLE_{n}"),
        value: b"a value of some length".to_vec(),
        ..Default::default()
    };
    let config = ContainerConfig {
        command: vec!["run".to_owned()],
        envs: (0..30).map(variable).collect(),
        mounts: volumes.iter().map(mount).collect(),
        linux: MessageField::some(LinuxContainerConfig {
            resources: MessageField::some(LinuxContainerResources {
                cpu_quota: 200_000,
                cpu_period: 100_000,
                memory_limit_in_bytes: 4 << 30,
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    };
    Container {
        id: ContainerId::from(format!("c{number}").as_str()),
        sandbox_id: SandboxId::from("5a5a5a5a5a5a"),
        name: format!("main-{number}").into(),
        attempt: 0,
        image: "busybox:1.36".into(),
        image_id: "sha256:0".into(),
        labels: StringMap::default(),
        annotations: Default::default(),
        log_path: String::new(),
        created_at: Nanos(0),
        config: convert::encode_container_config(&config).expect("encoded"),
    }
}

fn pod(volumes: &[PathBuf]) -> (Pod, Job) {
    let config = PodSandboxConfig {
        hostname: "large".to_owned(),
        ..Default::default()
    };
    let mut pod = Pod::new(Sandbox {
        id: SandboxId::from("5a5a5a5a5a5a"),
        name: "large".to_owned(),
        namespace: "lab".into(),
        uid: UID.to_owned(),
        is_uid_taken: false,
        attempt: 0,
        labels: StringMap::default(),
        annotations: StringMap::default(),
        runtime_handler: Default::default(),
        log_directory: String::new(),
        created_at: Nanos(0),
        ip: None,
        config: convert::encode_sandbox_config(&config).expect("encoded"),
    });
    for number in 0..CONTAINERS {
        pod.add_container(container(number, volumes));
    }
    let uid = JobUid::derive(UID, &pod.sandbox.id, 0, 0);
    let job = Job {
        containers: pod
            .containers
            .iter()
            .map(|entry| entry.id().clone())
            .collect(),
        names: pod
            .containers
            .iter()
            .map(|entry| entry.container.name.clone())
            .collect(),
        submission: Submission::Submitting { failures: 0 },
        members: JobMembers::Unknown,
        ..Job::new(0, uid, Nanos(0))
    };
    (pod, job)
}

/// Decodes what the kubelet sent, and reads what it prepared.
fn read(pod: &Pod, job: &Job, settings: &Settings) -> Vec<JobContainer> {
    let mut reader = MountReader::for_job(&settings.kubelet_root, UID, settings.max_volume_bytes);
    let containers = convert::to_run(pod, job).map(|entry| {
        let config = convert::decode_container_config(&entry.container).expect("decoded");
        JobContainer {
            container: entry.container.clone(),
            found: reader.read(&config.mounts).expect("it is all there"),
            config,
        }
    });
    containers.collect()
}

fn conversion(bench: &mut Criterion) {
    let root = tempfile::tempdir().expect("a directory");
    let volumes = prepare(root.path());
    let mut config = Config::default();
    config.pods.kubelet_root = root.path().to_owned();
    let settings = Settings::new(&config).expect("the settings are good");
    let (pod, job) = pod(&volumes);
    let containers = read(&pod, &job, &settings);
    let convert =
        || convert::job_pod(&pod, &job, &containers, None, None, &settings).expect("converted");
    let made = convert();
    println!(
        "{CONTAINERS} containers, {} volumes, each mounted by all",
        volumes.len()
    );
    let count = |what: &str, work: &dyn Fn()| {
        let counted = allocation_counter::measure(work);
        println!(
            "{what:<24} {:>8} allocations {:>10} bytes, at most {} at once",
            counted.count_total, counted.bytes_total, counted.bytes_max
        );
    };
    count("read the volumes", &|| drop(read(&pod, &job, &settings)));
    count("convert", &|| drop(convert()));
    count("write as JSON", &|| drop(serde_json::to_vec(&made.pod)));

    let mut group = bench.benchmark_group("conversion");
    group.bench_function("read the volumes", |b| {
        b.iter(|| read(&pod, &job, &settings))
    });
    group.bench_function("convert", |b| b.iter(|| black_box(convert())));
    group.bench_function("write as JSON", |b| {
        b.iter(|| serde_json::to_vec(&made.pod))
    });
    group.finish();
}

criterion_group!(benches, conversion);
criterion_main!(benches);
