//! Which mounts travel with a job, and as what.
//!
//! An emptyDir becomes an emptyDir of the job, a host path the same path over there. The kubelet's
//! own mounts stay, for the other side makes its own. Everything else cannot travel: the container
//! is refused when it is created, or runs without, by `pods.unsupported_volumes`. Service account
//! tokens are the exception: every ordinary pod has one, so they are left out whatever the setting
//! says.

use k8s_openapi::api::core::v1::{EmptyDirVolumeSource, HostPathVolumeSource, Volume, VolumeMount};

use super::{
    mounts::{self, Source, VolumeKind},
    names::{dns_label, short_hash, slug},
    Error, Settings, Warning,
};
use crate::{
    config::schema::Unsupported,
    proto::{ContainerConfig, Mount, MountPropagation},
};

/// The service account admission controller gives its volumes this prefix.
const TOKEN_VOLUME: &str = "kube-api-access-";

/// What becomes of a mount.
enum Fate<'a> {
    /// It is part of the job, as a mount of this volume.
    Travels(Content<'a>),
    /// The other side has its own.
    Stays,
    /// The container runs without it, whatever the settings say.
    LeftOut(&'static str),
    /// The settings decide.
    CannotTravel(String),
}

/// What a volume of the job holds. Mounts with equal contents share a volume.
enum Content<'a> {
    /// The pod's emptyDir of this name.
    EmptyDir(&'a str),
    /// This path over there.
    HostPath(&'a str),
}

fn fate<'a>(mount: &Mount, source: Source<'a>) -> Fate<'a> {
    match source {
        Source::KubeletOwn => Fate::Stays,
        Source::Volume {
            kind: VolumeKind::Projected,
            name,
            ..
        } if name.starts_with(TOKEN_VOLUME) => {
            Fate::LeftOut("holds a service account token, which is not shipped")
        }
        _ => match demand_fault(mount) {
            Some(fault) => Fate::CannotTravel(fault.to_owned()),
            None => fate_by_kind(source),
        },
    }
}

/// What a mount asks for that holds on one node only.
fn demand_fault(mount: &Mount) -> Option<&'static str> {
    if mounts::propagation(mount) == MountPropagation::PROPAGATION_BIDIRECTIONAL {
        Some("has bidirectional mount propagation, which ends at the edge of a node")
    } else if mount.recursive_read_only {
        Some("is recursively read-only, which nobody promises for a remote job")
    } else if !mount.uidMappings.is_empty() || !mount.gidMappings.is_empty() {
        Some("has the id mappings of a user namespace, which a remote job does not have")
    } else {
        None
    }
}

fn fate_by_kind(source: Source<'_>) -> Fate<'_> {
    let what = match source {
        Source::KubeletOwn => return Fate::Stays,
        Source::HostPath(path) => return Fate::Travels(Content::HostPath(path)),
        Source::Image(_) => "is an image volume".to_owned(),
        Source::SubPath { .. } => "is mounted by subPath".to_owned(),
        Source::Volume { kind, name, .. } => match kind {
            VolumeKind::EmptyDir => return Fate::Travels(Content::EmptyDir(name)),
            VolumeKind::ConfigMap => "is a ConfigMap".to_owned(),
            VolumeKind::Secret => "is a Secret".to_owned(),
            VolumeKind::Projected => "is a projected volume".to_owned(),
            VolumeKind::DownwardApi => "is a downward API volume".to_owned(),
            VolumeKind::Plugin("csi") => "is a CSI volume".to_owned(),
            VolumeKind::Plugin(plugin) => format!("is a volume of the plugin `{plugin}`"),
        },
    };
    Fate::CannotTravel(format!("{what}, which cannot travel to a remote job"))
}

/// A volume as people know it.
fn title(source: Source<'_>) -> String {
    match source {
        Source::Volume { name, .. } | Source::SubPath { volume: name, .. } => {
            format!("volume `{name}`")
        }
        Source::HostPath(path) => format!("host path `{path}`"),
        Source::Image(image) => format!("the volume with image `{image}`"),
        Source::KubeletOwn => "the kubelet's own mount".to_owned(),
    }
}

/// Checks a new container's mounts and block devices, and tells what it will run without.
///
/// # Errors
/// A mount that makes no sense, and one that cannot travel, if such ones are to be refused.
pub fn check(
    config: &ContainerConfig,
    pod_uid: &str,
    settings: &Settings,
) -> Result<Vec<Warning>, Error> {
    let mut warnings = Vec::new();
    for mount in &config.mounts {
        mounts::check(mount)?;
        let source = mounts::source(mount, pod_uid, &settings.kubelet_root);
        match fate(mount, source) {
            Fate::Travels(_) | Fate::Stays => {}
            Fate::LeftOut(reason) => warnings.push(Warning::Volume {
                volume: title(source),
                reason: reason.to_owned(),
            }),
            Fate::CannotTravel(reason) => {
                warnings.push(left_out(title(source), reason, settings)?);
            }
        }
    }
    for device in &config.devices {
        warnings.push(match block_volume(&device.host_path) {
            Some(name) => left_out(
                format!("volume `{name}`"),
                "is a block device, which cannot travel to a remote job".to_owned(),
                settings,
            )?,
            None => Warning::Device(device.host_path.clone()),
        });
    }
    let cdi = config.CDI_devices.iter();
    warnings.extend(cdi.map(|device| Warning::Device(device.name.clone())));
    Ok(warnings)
}

fn left_out(volume: String, reason: String, settings: &Settings) -> Result<Warning, Error> {
    match settings.unsupported_volumes {
        Unsupported::Refuse => Err(Error::UnsupportedVolume { volume, reason }),
        Unsupported::Skip => Ok(Warning::Volume { volume, reason }),
    }
}

/// The name of the block volume that a device is: the kubelet gives such a device as a link
/// `volumeDevices/PLUGIN/NAME` in the pod's directory.
fn block_volume(host_path: &str) -> Option<&str> {
    let (_, below) = host_path.split_once("/volumeDevices/")?;
    below.split_once('/').map(|(_, name)| name)
}

/// The volumes of one job, as its containers ask for them one by one.
pub struct JobVolumes<'a> {
    pod_uid: &'a str,
    settings: &'a Settings,
    volumes: Vec<Volume>,
}

impl<'a> JobVolumes<'a> {
    /// No volumes yet.
    pub fn new(pod_uid: &'a str, settings: &'a Settings) -> Self {
        Self {
            pod_uid,
            settings,
            volumes: Vec::new(),
        }
    }

    /// A container's mounts, with the volumes that they need. What cannot travel is left out: the
    /// container was accepted, so its job is not refused for a setting that changed since.
    pub fn mounts(&mut self, mounts: &[Mount]) -> Vec<VolumeMount> {
        mounts.iter().filter_map(|m| self.mount(m)).collect()
    }

    fn mount(&mut self, mount: &Mount) -> Option<VolumeMount> {
        let source = mounts::source(mount, self.pod_uid, &self.settings.kubelet_root);
        let Fate::Travels(content) = fate(mount, source) else {
            return None;
        };
        let sub_path = match source {
            Source::Volume { inside, .. } if !inside.is_empty() => Some(inside.to_owned()),
            _ => None,
        };
        let follows = MountPropagation::PROPAGATION_HOST_TO_CONTAINER;
        Some(VolumeMount {
            name: self.volume(content),
            mount_path: mount.container_path.clone(),
            read_only: mount.readonly.then_some(true),
            mount_propagation: (mounts::propagation(mount) == follows)
                .then(|| "HostToContainer".to_owned()),
            sub_path,
            ..VolumeMount::default()
        })
    }

    /// The name of the volume with this content, made if it is new.
    fn volume(&mut self, content: Content<'_>) -> String {
        let (mut volume, wanted) = match content {
            Content::EmptyDir(name) => (empty_dir(), dns_label(name)),
            Content::HostPath(path) => (host_path(path), host_path_name(path)),
        };
        // An emptyDir is known by its name, a host path by its path; an emptyDir that has the name
        // of a host path is a freak, but not to be mixed up with it.
        volume.name.clone_from(&wanted);
        let mut number = 1;
        loop {
            match self.volumes.iter().find(|known| known.name == volume.name) {
                Some(known) if *known == volume => return volume.name,
                Some(_) => {
                    number += 1;
                    volume.name = dns_label(&format!("{wanted}-{number}"));
                }
                None => {
                    let name = volume.name.clone();
                    self.volumes.push(volume);
                    return name;
                }
            }
        }
    }

    /// The volumes in the order of their first use.
    pub fn into_volumes(self) -> Vec<Volume> {
        self.volumes
    }
}

fn empty_dir() -> Volume {
    Volume {
        empty_dir: Some(EmptyDirVolumeSource::default()),
        ..Volume::default()
    }
}

fn host_path(path: &str) -> Volume {
    Volume {
        host_path: Some(HostPathVolumeSource {
            path: without_trailing_slash(path).to_owned(),
            // No check of what is there: whether it exists is for the other side to see.
            type_: None,
        }),
        ..Volume::default()
    }
}

/// The CRI does not say what the pod calls the volume, so a name is made that stays the same.
fn host_path_name(path: &str) -> String {
    let path = without_trailing_slash(path);
    format!("host-{}-{}", slug(path, 40), short_hash(path))
}

fn without_trailing_slash(path: &str) -> &str {
    match path.trim_end_matches('/') {
        "" => "/",
        trimmed => trimmed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Config,
        proto::{CDIDevice, Device, IDMapping, ImageSpec},
    };

    const UID: &str = "0f6e1c1a-9a3b-4a53-8c36-2f6f7b1d6a10";

    fn settings(unsupported_volumes: Unsupported) -> Settings {
        Settings {
            unsupported_volumes,
            ..Settings::new(&Config::default()).unwrap()
        }
    }

    fn mount(below: &str) -> Mount {
        let host_path = match below.strip_prefix("pod:") {
            Some(below) => format!("/var/lib/kubelet/pods/{UID}/{below}"),
            None => below.to_owned(),
        };
        Mount {
            container_path: "/data".to_owned(),
            host_path,
            ..Default::default()
        }
    }

    fn config(mounts: Vec<Mount>) -> ContainerConfig {
        ContainerConfig {
            mounts,
            ..Default::default()
        }
    }

    #[test]
    fn what_cannot_travel_is_refused_or_left_out() {
        let with = |f: fn(&mut Mount)| {
            let mut mount = mount("/shared");
            f(&mut mount);
            mount
        };
        for (mount, volume, reason) in [
            (
                mount("pod:volumes/kubernetes.io~configmap/conf"),
                "volume `conf`",
                "is a ConfigMap, which",
            ),
            (
                mount("pod:volumes/kubernetes.io~secret/key"),
                "volume `key`",
                "is a Secret, which",
            ),
            (
                mount("pod:volumes/kubernetes.io~projected/all"),
                "volume `all`",
                "is a projected volume",
            ),
            (
                mount("pod:volumes/kubernetes.io~downward-api/info"),
                "volume `info`",
                "is a downward API",
            ),
            (
                mount("pod:volumes/kubernetes.io~csi/data/mount"),
                "volume `data`",
                "is a CSI volume",
            ),
            (
                mount("pod:volumes/kubernetes.io~nfs/home"),
                "volume `home`",
                "of the plugin `nfs`",
            ),
            (
                mount("pod:volume-subpaths/conf/main/0"),
                "volume `conf`",
                "is mounted by subPath",
            ),
            (
                with(|m| m.propagation = MountPropagation::PROPAGATION_BIDIRECTIONAL.into()),
                "host path `/shared`",
                "has bidirectional",
            ),
            (
                with(|m| (m.recursive_read_only, m.readonly) = (true, true)),
                "host path `/shared`",
                "is recursively read-only",
            ),
            (
                with(|m| m.uidMappings = vec![IDMapping::default()]),
                "host path `/shared`",
                "has the id mappings",
            ),
            (
                with(|m| {
                    m.host_path = String::new();
                    m.image = Some(ImageSpec {
                        image: "sha256:1".into(),
                        ..Default::default()
                    })
                    .into();
                }),
                "the volume with image `sha256:1`",
                "is an image volume",
            ),
        ] {
            let config = config(vec![mount]);
            let refused = check(&config, UID, &settings(Unsupported::Refuse)).unwrap_err();
            assert!(refused.is_precondition(), "{refused}");
            let text = refused.to_string();
            assert!(text.starts_with(volume) && text.contains(reason), "{text}");
            let skipped = check(&config, UID, &settings(Unsupported::Skip)).unwrap();
            let text = skipped[0].to_string();
            assert!(text.starts_with(volume) && text.contains(reason), "{text}");
            let settings = settings(Unsupported::Refuse);
            let mut job = JobVolumes::new(UID, &settings);
            assert!(job.mounts(&config.mounts).is_empty(), "{text}");
            assert!(job.into_volumes().is_empty(), "{text}");
        }
    }

    #[test]
    fn an_ordinary_pod_is_not_refused_for_its_token() {
        let config = config(vec![
            mount("pod:volumes/kubernetes.io~projected/kube-api-access-7xk2p"),
            mount("pod:etc-hosts"),
            mount("pod:containers/main/5ad1c3f0"),
        ]);
        let settings = settings(Unsupported::Refuse);
        let warnings = check(&config, UID, &settings).unwrap();
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].to_string().contains("service account token"));
        assert!(JobVolumes::new(UID, &settings)
            .mounts(&config.mounts)
            .is_empty());
    }

    #[test]
    fn devices_stay_here_and_block_volumes_count_as_volumes() {
        let device = |host_path: &str| Device {
            host_path: host_path.to_owned(),
            ..Default::default()
        };
        let mut config = ContainerConfig {
            devices: vec![device("/dev/fuse")],
            CDI_devices: vec![CDIDevice {
                name: "nvidia.com/gpu=0".to_owned(),
                ..Default::default()
            }],
            ..Default::default()
        };
        let refuse = settings(Unsupported::Refuse);
        assert_eq!(
            check(&config, UID, &refuse).unwrap(),
            [
                Warning::Device("/dev/fuse".to_owned()),
                Warning::Device("nvidia.com/gpu=0".to_owned())
            ]
        );
        let block = format!("/var/lib/kubelet/pods/{UID}/volumeDevices/kubernetes.io~csi/raw");
        config.devices.push(device(&block));
        let error = check(&config, UID, &refuse).unwrap_err().to_string();
        assert!(
            error.starts_with("volume `raw` is a block device"),
            "{error}"
        );
    }

    #[test]
    fn containers_of_a_job_share_volumes() {
        let settings = settings(Unsupported::Refuse);
        let mut job = JobVolumes::new(UID, &settings);
        let scratch = mount("pod:volumes/kubernetes.io~empty-dir/scratch");
        let first = job.mounts(&[
            Mount {
                readonly: true,
                ..scratch.clone()
            },
            mount("/home/ann/data/"),
            Mount {
                propagation: MountPropagation::PROPAGATION_HOST_TO_CONTAINER.into(),
                ..mount("/")
            },
        ]);
        let second = job.mounts(&[
            mount("/home/ann/data"),
            scratch,
            mount("pod:volumes/kubernetes.io~empty-dir/scratch/a/b"),
        ]);
        let shown = |mounts: &[VolumeMount]| -> Vec<String> {
            mounts
                .iter()
                .map(|m| {
                    let read_only = m.read_only.unwrap_or_default();
                    let sub_path = m.sub_path.as_deref().unwrap_or("-");
                    format!("{} {read_only} {sub_path}", m.name)
                })
                .collect()
        };
        let data = host_path_name("/home/ann/data");
        assert!(data.starts_with("host-home-ann-data-"), "{data}");
        let root = host_path_name("/");
        assert_eq!(
            shown(&first),
            [
                "scratch true -",
                &format!("{data} false -"),
                &format!("{root} false -")
            ]
        );
        assert_eq!(
            first[2].mount_propagation.as_deref(),
            Some("HostToContainer")
        );
        assert_eq!(
            shown(&second),
            [
                &format!("{data} false -"),
                "scratch false -",
                "scratch false a/b"
            ]
        );
        let volumes = job.into_volumes();
        let names: Vec<_> = volumes.iter().map(|v| v.name.as_str()).collect();
        assert_eq!(names, ["scratch", &data, &root]);
        let path = volumes[1].host_path.as_ref().map(|h| h.path.as_str());
        assert_eq!(path, Some("/home/ann/data"));
    }

    #[test]
    fn volumes_of_one_name_are_told_apart() {
        let settings = settings(Unsupported::Refuse);
        let mut job = JobVolumes::new(UID, &settings);
        let taken = host_path_name("/data");
        let mounts = job.mounts(&[
            mount("/data"),
            mount(&format!("pod:volumes/kubernetes.io~empty-dir/{taken}")),
            mount(&format!("pod:volumes/kubernetes.io~empty-dir/{taken}")),
        ]);
        assert_eq!(mounts[0].name, taken);
        assert_eq!(mounts[1].name, format!("{taken}-2"));
        assert_eq!(mounts[2].name, mounts[1].name);
        assert_eq!(job.into_volumes().len(), 2);
    }
}
