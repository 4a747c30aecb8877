//! Mounts that make no sense, wherever they lead.

use super::Error;
use crate::proto::{Mount, MountPropagation};

/// Checks what does not depend on the kind of volume.
///
/// # Errors
/// [`Error::Mount`] for a path that is not absolute or leads upwards, and for a demand that
/// contradicts itself.
pub fn check(mount: &Mount) -> Result<(), Error> {
    let fault = if let Some(fault) = path_fault(&mount.container_path) {
        format!("the path in the container {fault}")
    } else if let Some(fault) = host_path_fault(mount) {
        format!("the host path `{}` {fault}", mount.host_path)
    } else if mount.recursive_read_only && (!mount.readonly || propagation(mount) != PRIVATE) {
        "a recursively read-only mount must be read-only and of private propagation".to_owned()
    } else {
        return Ok(());
    };
    Err(Error::Mount {
        container_path: mount.container_path.clone(),
        fault,
    })
}

fn host_path_fault(mount: &Mount) -> Option<&'static str> {
    match mount.image.as_ref() {
        None => path_fault(&mount.host_path),
        // "HostPath is set to empty for image mounts", says the API.
        Some(_) if mount.host_path.is_empty() => None,
        Some(_) => Some("does not go with an image"),
    }
}

fn path_fault(path: &str) -> Option<&'static str> {
    if path.is_empty() {
        Some("is empty")
    } else if !path.starts_with('/') {
        Some("is not absolute")
    } else if path.split('/').any(|part| part == "..") {
        Some("contains `..`")
    } else if path.contains('\0') {
        Some("contains a NUL byte")
    } else {
        None
    }
}

const PRIVATE: MountPropagation = MountPropagation::PROPAGATION_PRIVATE;

/// How mounts made later show through. A value of a newer API counts as private.
pub fn propagation(mount: &Mount) -> MountPropagation {
    mount.propagation.enum_value_or(PRIVATE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{convert::testing::mount, proto::ImageSpec};

    #[test]
    fn images_need_no_path() {
        let mount = Mount {
            container_path: "/model".to_owned(),
            image: Some(ImageSpec::default()).into(),
            ..Default::default()
        };
        assert!(check(&mount).is_ok());
    }

    #[test]
    fn mounts_that_make_no_sense() {
        let good = mount("/data");
        assert!(check(&good).is_ok());
        for (name, bad) in [
            (
                "no host path",
                Mount {
                    host_path: String::new(),
                    ..good.clone()
                },
            ),
            (
                "relative host path",
                Mount {
                    host_path: "data".into(),
                    ..good.clone()
                },
            ),
            (
                "upwards",
                Mount {
                    host_path: "/data/../etc".into(),
                    ..good.clone()
                },
            ),
            (
                "NUL",
                Mount {
                    host_path: "/da\0ta".into(),
                    ..good.clone()
                },
            ),
            (
                "nowhere",
                Mount {
                    container_path: String::new(),
                    ..good.clone()
                },
            ),
            (
                "relative",
                Mount {
                    container_path: "data".into(),
                    ..good.clone()
                },
            ),
            (
                "read-only below, writable above",
                Mount {
                    recursive_read_only: true,
                    ..good.clone()
                },
            ),
            (
                "recursive and shared",
                Mount {
                    recursive_read_only: true,
                    readonly: true,
                    propagation: MountPropagation::PROPAGATION_HOST_TO_CONTAINER.into(),
                    ..good.clone()
                },
            ),
            (
                "image and path",
                Mount {
                    image: Some(ImageSpec::default()).into(),
                    ..good.clone()
                },
            ),
        ] {
            let got = check(&bad);
            assert!(matches!(got, Err(Error::Mount { .. })), "{name}: {got:?}");
        }
    }
}
