//! What becomes of a mount in a remote job.
//!
//! Contents that came from the API server are sent with the job, an emptyDir becomes an emptyDir of
//! the job, a host path the same path over there. The kubelet's own mounts are not sent, for the
//! other side makes its own. What cannot be part of a remote job is refused when its container is
//! created, or left out, by `pods.unsupported_volumes`.

use std::{path::Path, sync::Arc};

use super::{extended, mount_check, Error, Settings, Warning};
use crate::{
    config::policy::{HostPaths, Unsupported},
    kubelet::{directory, ContentKind, Files, FoundMount, PathKind},
    proto::{ContainerConfig, Mount, MountPropagation},
};

/// The service account admission controller gives its volumes this prefix.
const TOKEN_VOLUME: &str = "kube-api-access-";

/// What becomes of a mount.
pub enum MountPolicy<'a> {
    /// It is part of the job, as a mount of a volume with this content.
    Send(Content<'a>),
    /// The other side makes its own.
    NotNeeded,
    /// The container runs without it, whatever `pods.unsupported_volumes` says.
    LeaveOut(&'static str),
    /// It cannot be part of a remote job, for this reason; `pods.unsupported_volumes` decides.
    Unsupported(String),
}

/// What a volume of the job holds.
#[derive(Clone, Copy, Debug)]
pub enum Content<'a> {
    /// The pod's emptyDir of this name and medium.
    EmptyDir {
        /// The volume's name.
        volume: &'a str,
        /// `Memory`, for example, or empty.
        medium: &'a str,
        /// The path below it; empty for all of it.
        inside: &'a str,
    },
    /// This path over there.
    HostPath(&'a str, PathKind),
    /// Files that come along.
    Files {
        /// Of what kind.
        kind: ContentKind,
        /// The volume's name.
        volume: &'a str,
        /// The path below it; empty for all of it.
        inside: &'a str,
        /// Whether that is one file.
        is_file: bool,
        /// The files.
        files: &'a Arc<Files>,
    },
}

/// What becomes of a mount that was found to be this.
pub fn mount_policy<'a>(
    mount: &Mount,
    found: &'a FoundMount,
    settings: &Settings,
) -> MountPolicy<'a> {
    match found {
        FoundMount::KubeletOwn | FoundMount::EtcHosts(_) => MountPolicy::NotNeeded,
        FoundMount::Content {
            kind: ContentKind::Projected,
            volume,
            ..
        } if volume.starts_with(TOKEN_VOLUME) && !settings.service_account_tokens => {
            MountPolicy::LeaveOut(
                "holds a service account token, which `pods.service_account_tokens` keeps here",
            )
        }
        _ => match demand_fault(mount) {
            Some(fault) => MountPolicy::Unsupported(fault.to_owned()),
            None => policy_by_kind(found, settings),
        },
    }
}

/// What a mount asks for that holds on one node only.
fn demand_fault(mount: &Mount) -> Option<&'static str> {
    if mount_check::propagation(mount) == MountPropagation::PROPAGATION_BIDIRECTIONAL {
        Some("has bidirectional mount propagation, which ends at the edge of a node")
    } else if mount.recursive_read_only {
        Some("is recursively read-only, which nobody promises for a remote job")
    } else if !mount.uidMappings.is_empty() || !mount.gidMappings.is_empty() {
        Some("has the id mappings of a user namespace, which a remote job does not have")
    } else {
        None
    }
}

fn policy_by_kind<'a>(found: &'a FoundMount, settings: &Settings) -> MountPolicy<'a> {
    let is_shared = |path: &str| {
        let mut shared = settings.shared_paths.iter();
        shared.any(|shared| Path::new(path).starts_with(shared))
    };
    let reason = match found {
        FoundMount::KubeletOwn | FoundMount::EtcHosts(_) => return MountPolicy::NotNeeded,
        FoundMount::EmptyDir {
            volume,
            inside,
            medium,
        } => {
            return MountPolicy::Send(Content::EmptyDir {
                volume,
                medium,
                inside,
            })
        }
        FoundMount::Content {
            kind,
            volume,
            inside,
            is_file,
            files,
        } => {
            return MountPolicy::Send(Content::Files {
                kind: *kind,
                volume,
                inside,
                is_file: *is_file,
                files,
            })
        }
        FoundMount::HostPath { path, kind } => {
            if settings.host_paths == HostPaths::Any || is_shared(path) {
                return MountPolicy::Send(Content::HostPath(path, *kind));
            }
            "is not on a shared file system; those are listed in `pods.shared_paths`".to_owned()
        }
        FoundMount::Other {
            plugin, elsewhere, ..
        } => {
            if let Some(path) = elsewhere.iter().find(|path| is_shared(path)) {
                return MountPolicy::Send(Content::HostPath(path, PathKind::Directory));
            }
            let what = match plugin.as_str() {
                "csi" => "is a CSI volume".to_owned(),
                plugin => format!("is a volume of the plugin `{plugin}`"),
            };
            format!(
                "{what} and on no shared file system, so it cannot be part of a remote job; \
                 those are listed in `pods.shared_paths`"
            )
        }
        FoundMount::Image(_) => {
            "is an image volume, which cannot be part of a remote job".to_owned()
        }
    };
    MountPolicy::Unsupported(reason)
}

/// A volume as people know it.
fn title(found: &FoundMount) -> String {
    match found {
        FoundMount::EmptyDir { volume, .. }
        | FoundMount::Content { volume, .. }
        | FoundMount::Other { volume, .. } => format!("volume `{volume}`"),
        FoundMount::HostPath { path, .. } => format!("host path `{path}`"),
        FoundMount::Image(image) => format!("the volume with image `{image}`"),
        FoundMount::KubeletOwn | FoundMount::EtcHosts(_) => "the kubelet's own mount".to_owned(),
    }
}

/// Checks a new container's mounts and block devices, and tells what it will run without. `found`
/// is what stands behind the mounts, in their order.
///
/// # Errors
/// A mount that cannot be part of a remote job, if such ones are to be refused.
pub fn check(
    config: &ContainerConfig,
    found: &[FoundMount],
    settings: &Settings,
) -> Result<Vec<Warning>, Error> {
    let mut warnings = Vec::new();
    for (mount, found) in config.mounts.iter().zip(found) {
        match mount_policy(mount, found, settings) {
            MountPolicy::Send(_) | MountPolicy::NotNeeded => {}
            MountPolicy::LeaveOut(reason) => warnings.push(Warning::Volume {
                volume: title(found),
                reason: reason.to_owned(),
            }),
            MountPolicy::Unsupported(reason) => {
                warnings.push(left_out(title(found), reason, settings)?);
            }
        }
    }
    let counts = |device: &str| extended::stands_for_one(&settings.extended, device);
    for device in config
        .devices
        .iter()
        .filter(|device| !counts(&device.host_path))
    {
        warnings.push(match directory::block_volume(&device.host_path) {
            Some(name) => left_out(
                format!("volume `{name}`"),
                "is a block device, which cannot be part of a remote job".to_owned(),
                settings,
            )?,
            None => Warning::Device(device.host_path.clone()),
        });
    }
    let cdi = config
        .CDI_devices
        .iter()
        .filter(|device| !counts(&device.name));
    warnings.extend(cdi.map(|device| Warning::Device(device.name.clone())));
    Ok(warnings)
}

fn left_out(volume: String, reason: String, settings: &Settings) -> Result<Warning, Error> {
    match settings.unsupported_volumes {
        Unsupported::Refuse => Err(Error::UnsupportedVolume { volume, reason }),
        Unsupported::Skip => Ok(Warning::Volume { volume, reason }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Config,
        convert::testing::{behind, mount, UID},
        proto::{CDIDevice, Device, IDMapping, ImageSpec},
    };

    fn settings(unsupported_volumes: Unsupported) -> Settings {
        Settings {
            unsupported_volumes,
            ..Settings::new(&Config::default()).unwrap()
        }
    }

    fn checked(config: &ContainerConfig, settings: &Settings) -> Result<Vec<Warning>, Error> {
        let found: Vec<_> = config.mounts.iter().map(behind).collect();
        check(config, &found, settings)
    }

    #[test]
    fn what_cannot_be_part_of_a_job_is_refused_or_left_out() {
        let with = |f: fn(&mut Mount)| {
            let mut mount = mount("/shared");
            f(&mut mount);
            mount
        };
        for (mount, volume, reason) in [
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
            let config = ContainerConfig {
                mounts: vec![mount],
                ..Default::default()
            };
            let refused = checked(&config, &settings(Unsupported::Refuse)).unwrap_err();
            assert!(refused.is_precondition(), "{refused}");
            let text = refused.to_string();
            assert!(text.starts_with(volume) && text.contains(reason), "{text}");
            let skipped = checked(&config, &settings(Unsupported::Skip)).unwrap();
            let text = skipped[0].to_string();
            assert!(text.starts_with(volume) && text.contains(reason), "{text}");
        }
    }

    #[test]
    fn what_lies_on_a_shared_file_system_is_sent_as_a_path() {
        let config = |path: &str| ContainerConfig {
            mounts: vec![mount(path)],
            ..Default::default()
        };
        let csi = config("pod:volumes/kubernetes.io~csi/pvc-1/mount");
        let mut settings = settings(Unsupported::Refuse);
        settings.host_paths = HostPaths::Shared;
        for (shared, config, is_sent) in [
            ("/shared", &csi, true),
            ("/shared/pvc-1", &csi, true),
            ("/shared/pvc", &csi, false),
            ("/home", &csi, false),
            ("/home", &config("/home/ann"), true),
            ("/home", &config("/home"), true),
            ("/home", &config("/homes"), false),
            ("/home", &config("/etc"), false),
        ] {
            settings.shared_paths = vec![shared.into()];
            let got = checked(config, &settings);
            assert_eq!(got.is_ok(), is_sent, "{shared}: {got:?}");
        }
    }

    #[test]
    fn a_service_account_token_stays_here_on_demand() {
        let config = ContainerConfig {
            mounts: vec![
                mount("pod:volumes/kubernetes.io~projected/kube-api-access-7xk2p"),
                mount("pod:volumes/kubernetes.io~projected/mine"),
                mount("pod:etc-hosts"),
                mount("pod:containers/main/5ad1c3f0"),
            ],
            ..Default::default()
        };
        let mut settings = settings(Unsupported::Refuse);
        assert!(checked(&config, &settings).unwrap().is_empty());
        settings.service_account_tokens = false;
        let warnings = checked(&config, &settings).unwrap();
        assert_eq!(warnings.len(), 1);
        let text = warnings[0].to_string();
        assert!(text.contains("service account token"), "{text}");
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
                name: "example.com/net=0".to_owned(),
                ..Default::default()
            }],
            ..Default::default()
        };
        let refuse = settings(Unsupported::Refuse);
        assert_eq!(
            checked(&config, &refuse).unwrap(),
            [
                Warning::Device("/dev/fuse".to_owned()),
                Warning::Device("example.com/net=0".to_owned())
            ]
        );
        let block = format!("/var/lib/kubelet/pods/{UID}/volumeDevices/kubernetes.io~csi/raw");
        config.devices.push(device(&block));
        let error = checked(&config, &refuse).unwrap_err().to_string();
        assert!(
            error.starts_with("volume `raw` is a block device"),
            "{error}"
        );
    }
}
