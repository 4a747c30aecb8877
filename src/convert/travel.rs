//! Whether and how a mount travels with a job.
//!
//! Contents that came from the API server travel as such, an emptyDir becomes an emptyDir of the
//! job, a host path the same path over there. The kubelet's own mounts stay, for the other side
//! makes its own. What cannot travel is refused when its container is created, or left out, by
//! `pods.unsupported_volumes`.

use std::{path::Path, sync::Arc};

use super::{
    extended, mounts,
    prepared::{ContentKind, Files, PathKind, Prepared},
    Error, Settings, Warning,
};
use crate::{
    config::policy::{HostPaths, Unsupported},
    proto::{ContainerConfig, Mount, MountPropagation},
};

/// The service account admission controller gives its volumes this prefix.
const TOKEN_VOLUME: &str = "kube-api-access-";

/// What becomes of a mount.
pub enum Fate<'a> {
    /// It is part of the job, as a mount of a volume with this content.
    Travels(Content<'a>),
    /// The other side has its own.
    Stays,
    /// The container runs without it, whatever `pods.unsupported_volumes` says.
    LeftOut(&'static str),
    /// `pods.unsupported_volumes` decides.
    CannotTravel(String),
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
pub fn fate<'a>(mount: &Mount, found: &'a Prepared, settings: &Settings) -> Fate<'a> {
    match found {
        Prepared::KubeletOwn | Prepared::EtcHosts(_) => Fate::Stays,
        Prepared::Content {
            kind: ContentKind::Projected,
            volume,
            ..
        } if volume.starts_with(TOKEN_VOLUME) && !settings.service_account_tokens => Fate::LeftOut(
            "holds a service account token, which `pods.service_account_tokens` keeps here",
        ),
        _ => match demand_fault(mount) {
            Some(fault) => Fate::CannotTravel(fault.to_owned()),
            None => fate_by_kind(found, settings),
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

fn fate_by_kind<'a>(found: &'a Prepared, settings: &Settings) -> Fate<'a> {
    let is_shared = |path: &str| {
        let mut shared = settings.shared_paths.iter();
        shared.any(|shared| Path::new(path).starts_with(shared))
    };
    let reason = match found {
        Prepared::KubeletOwn | Prepared::EtcHosts(_) => return Fate::Stays,
        Prepared::EmptyDir {
            volume,
            inside,
            medium,
        } => {
            return Fate::Travels(Content::EmptyDir {
                volume,
                medium,
                inside,
            })
        }
        Prepared::Content {
            kind,
            volume,
            inside,
            is_file,
            files,
        } => {
            return Fate::Travels(Content::Files {
                kind: *kind,
                volume,
                inside,
                is_file: *is_file,
                files,
            })
        }
        Prepared::HostPath { path, kind } => {
            if settings.host_paths == HostPaths::Any || is_shared(path) {
                return Fate::Travels(Content::HostPath(path, *kind));
            }
            "is not on a shared file system; those are listed in `pods.shared_paths`".to_owned()
        }
        Prepared::Other {
            plugin, elsewhere, ..
        } => {
            if let Some(path) = elsewhere.iter().find(|path| is_shared(path)) {
                return Fate::Travels(Content::HostPath(path, PathKind::Directory));
            }
            let what = match plugin.as_str() {
                "csi" => "is a CSI volume".to_owned(),
                plugin => format!("is a volume of the plugin `{plugin}`"),
            };
            format!(
                "{what} and on no shared file system, so it cannot travel to a remote job; those \
                 are listed in `pods.shared_paths`"
            )
        }
        Prepared::Image(_) => "is an image volume, which cannot travel to a remote job".to_owned(),
    };
    Fate::CannotTravel(reason)
}

/// A volume as people know it.
fn title(found: &Prepared) -> String {
    match found {
        Prepared::EmptyDir { volume, .. }
        | Prepared::Content { volume, .. }
        | Prepared::Other { volume, .. } => format!("volume `{volume}`"),
        Prepared::HostPath { path, .. } => format!("host path `{path}`"),
        Prepared::Image(image) => format!("the volume with image `{image}`"),
        Prepared::KubeletOwn | Prepared::EtcHosts(_) => "the kubelet's own mount".to_owned(),
    }
}

/// Checks what of a new container's mounts needs no look at the node.
///
/// # Errors
/// A mount that makes no sense.
pub fn check_mounts(config: &ContainerConfig) -> Result<(), Error> {
    config.mounts.iter().try_for_each(mounts::check)
}

/// Checks a new container's mounts and block devices, and tells what it will run without. `found`
/// is what stands behind the mounts, in their order.
///
/// # Errors
/// A mount that cannot travel, if such ones are to be refused.
pub fn check(
    config: &ContainerConfig,
    found: &[Prepared],
    settings: &Settings,
) -> Result<Vec<Warning>, Error> {
    let mut warnings = Vec::new();
    for (mount, found) in config.mounts.iter().zip(found) {
        match fate(mount, found, settings) {
            Fate::Travels(_) | Fate::Stays => {}
            Fate::LeftOut(reason) => warnings.push(Warning::Volume {
                volume: title(found),
                reason: reason.to_owned(),
            }),
            Fate::CannotTravel(reason) => {
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
        warnings.push(match block_volume(&device.host_path) {
            Some(name) => left_out(
                format!("volume `{name}`"),
                "is a block device, which cannot travel to a remote job".to_owned(),
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

/// The name of the block volume that a device is: the kubelet gives such a device as a link
/// `volumeDevices/PLUGIN/NAME` in the pod's directory.
fn block_volume(host_path: &str) -> Option<&str> {
    let (_, below) = host_path.split_once("/volumeDevices/")?;
    below.split_once('/').map(|(_, name)| name)
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
    fn what_cannot_travel_is_refused_or_left_out() {
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
    fn what_lies_on_a_shared_file_system_travels_as_a_path() {
        let config = |path: &str| ContainerConfig {
            mounts: vec![mount(path)],
            ..Default::default()
        };
        let csi = config("pod:volumes/kubernetes.io~csi/pvc-1/mount");
        let mut settings = settings(Unsupported::Refuse);
        settings.host_paths = HostPaths::Shared;
        for (shared, config, travels) in [
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
            assert_eq!(got.is_ok(), travels, "{shared}: {got:?}");
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
