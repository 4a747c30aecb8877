//! The mounts of this node, from `/proc/self/mountinfo` (proc(5)): which part of a volume a
//! subPath is, and what else a directory is called.

use std::{
    ffi::OsString,
    os::unix::ffi::OsStringExt as _,
    path::{Path, PathBuf},
};

/// All mounts, in the order in which they were made.
#[derive(Debug, Default)]
pub struct MountTable(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    /// `major:minor` of the file system.
    device: String,
    /// The directory of the file system that is mounted...
    root: PathBuf,
    /// ...and where that is mounted.
    point: PathBuf,
    /// `ext4`, `tmpfs`, `nfs4`...
    kind: String,
    /// The file system's own options.
    options: String,
    /// Whether what is mounted below it is mounted in its copies as well.
    is_shared: bool,
}

/// File systems that no other machine and no process has a part in, so that they answer.
const LOCAL: &[&str] = &[
    "bcachefs",
    "btrfs",
    "cgroup2",
    "devtmpfs",
    "erofs",
    "ext2",
    "ext3",
    "ext4",
    "f2fs",
    "hugetlbfs",
    "iso9660",
    "overlay",
    "proc",
    "ramfs",
    "rootfs",
    "squashfs",
    "sysfs",
    "tmpfs",
    "vfat",
    "xfs",
    "zfs",
];

/// Where a file lies within its file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    device: String,
    path: PathBuf,
}

impl MountTable {
    /// The mounts that this process sees.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub fn read() -> std::io::Result<Self> {
        std::fs::read("/proc/self/mountinfo").map(|text| Self::parse(&text))
    }

    /// Reads a table; lines that make no sense are left out.
    pub fn parse(text: &[u8]) -> Self {
        Self(
            text.split(|byte| *byte == b'\n')
                .filter_map(entry)
                .collect(),
        )
    }

    /// Whether something is mounted exactly here.
    pub fn is_mount_point(&self, path: &Path) -> bool {
        self.0.iter().any(|entry| entry.point == path)
    }

    /// Whether a mount below a path shows in other mount namespaces that were made from this one.
    pub fn is_shared(&self, path: &Path) -> bool {
        self.covering(path).is_some_and(|entry| entry.is_shared)
    }

    /// Whether a path lies on a file system of this machine alone.
    pub fn is_local(&self, path: &Path) -> bool {
        self.covering(path)
            .is_some_and(|entry| LOCAL.contains(&entry.kind.as_str()))
    }

    /// Where a path lies within its file system.
    pub fn location(&self, path: &Path) -> Option<Location> {
        let entry = self.covering(path)?;
        let below = path.strip_prefix(&entry.point).ok()?;
        Some(Location {
            device: entry.device.clone(),
            path: without_deleted(joined(&entry.root, below)),
        })
    }

    /// The type and the options of the file system that is mounted exactly here.
    pub fn file_system(&self, point: &Path) -> Option<(&str, &str)> {
        let mut mounts = self.0.iter().rev();
        let entry = mounts.find(|entry| entry.point == point)?;
        Some((&entry.kind, &entry.options))
    }

    /// What a file is called on this node: one path for each mount that shows it.
    pub fn names(&self, location: &Location) -> Vec<PathBuf> {
        let shows = |entry: &&Entry| entry.device == location.device;
        let mounts = self.0.iter().filter(shows);
        let mut names: Vec<_> = mounts
            .filter_map(|entry| {
                let below = location.path.strip_prefix(&entry.root).ok()?;
                let name = joined(&entry.point, below);
                // Unless another mount hides it.
                (self.location(&name)? == *location).then_some(name)
            })
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// The mount that a path lies in: the innermost, and of those at one point the last.
    fn covering(&self, path: &Path) -> Option<&Entry> {
        let around = self.0.iter().filter(|entry| path.starts_with(&entry.point));
        around.max_by_key(|entry| entry.point.components().count())
    }
}

impl Location {
    /// The path from another location down to this one, within a file system.
    pub fn below(&self, other: &Self) -> Option<&Path> {
        if self.device != other.device {
            return None;
        }
        self.path.strip_prefix(&other.path).ok()
    }
}

/// Joined to nothing, a path would gain a slash at its end.
fn joined(path: &Path, below: &Path) -> PathBuf {
    match below.as_os_str().is_empty() {
        true => path.to_owned(),
        false => path.join(below),
    }
}

/// The kernel marks a mounted file that is gone from its directory: `/..2024/key//deleted`.
fn without_deleted(path: PathBuf) -> PathBuf {
    let bytes = path.as_os_str().as_encoded_bytes();
    match bytes.strip_suffix(b"//deleted") {
        Some(path) => OsString::from_vec(path.to_vec()).into(),
        None => path,
    }
}

/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`
fn entry(line: &[u8]) -> Option<Entry> {
    let mut fields = line.split(|byte| *byte == b' ');
    let mut next = || fields.next();
    let (_, _) = (next()?, next()?);
    let device = String::from_utf8(next()?.to_vec()).ok()?;
    let (root, point) = (unescaped(next()?), unescaped(next()?));
    // Options of the mount, and any number of optional fields up to a dash.
    let mut is_shared = false;
    loop {
        match next()? {
            b"-" => break,
            field => is_shared |= field.starts_with(b"shared:"),
        }
    }
    let kind = String::from_utf8_lossy(next()?).into_owned();
    let options = next().and(next()).unwrap_or_default();
    Some(Entry {
        device,
        root,
        point,
        kind,
        options: String::from_utf8_lossy(options).into_owned(),
        is_shared,
    })
}

/// Space, tab, newline and backslash stand as three octal digits after a backslash.
fn unescaped(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, more)) = rest.split_first() {
        let digits = more.get(..3).filter(|_| *first == b'\\');
        let code = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => {
                bytes.push(code);
                rest = &more[3..];
            }
            None => {
                bytes.push(*first);
                rest = more;
            }
        }
    }
    OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:40 / /lustre rw - lustre mds@tcp:/lustre rw
31 22 0:41 /vol /home rw shared:9 - nfs4 nas:/vol rw
40 22 0:50 / /kub/pods/U/volumes/kubernetes.io~secret/key rw shared:2 - tmpfs tmpfs rw,size=1024k
41 22 0:50 /..2024_06/tls.key /kub/pods/U/volume-subpaths/key/main/0 rw shared:2 - tmpfs tmpfs rw
42 22 8:1 /kub/pods/U/volumes/kubernetes.io~empty-dir/s/a\\040b /kub/pods/U/volume-subpaths/s/main/1 rw - ext4 /dev/sda1 rw
43 22 0:50 /..2024_05/old//deleted /kub/pods/U/volume-subpaths/key/main/2 rw shared:2 - tmpfs tmpfs rw
44 22 0:40 /data/set /kub/pods/U/volumes/kubernetes.io~local-volume/pv rw - lustre mds@tcp:/lustre rw
45 22 0:41 /vol/ann /kub/pods/U/volumes/kubernetes.io~nfs/home rw - nfs4 nas:/vol rw
46 22 8:1 /srv /lustre/hidden rw - ext4 /dev/sda1 rw
nonsense
47 22
";

    fn table() -> MountTable {
        MountTable::parse(TABLE.as_bytes())
    }

    fn inside(volume: &str, bind: &str) -> Option<String> {
        let (table, root) = (table(), Path::new("/kub/pods/U"));
        let volume = table.location(&root.join("volumes").join(volume))?;
        let bind = table.location(&root.join("volume-subpaths").join(bind))?;
        let below = bind.below(&volume)?.to_str()?;
        Some(below.to_owned())
    }

    #[test]
    fn a_sub_path_is_a_part_of_its_volume() {
        for (volume, bind, want) in [
            (
                "kubernetes.io~secret/key",
                "key/main/0",
                "..2024_06/tls.key",
            ),
            ("kubernetes.io~secret/key", "key/main/2", "..2024_05/old"),
            ("kubernetes.io~empty-dir/s", "s/main/1", "a b"),
        ] {
            assert_eq!(inside(volume, bind).as_deref(), Some(want), "{bind}");
        }
        // Another file system, another directory.
        assert_eq!(inside("kubernetes.io~secret/key", "s/main/1"), None);
        assert_eq!(inside("kubernetes.io~empty-dir/other", "s/main/1"), None);
    }

    #[test]
    fn the_innermost_mount_tells_whether_mounts_are_shared() {
        let table = table();
        for (path, want) in [
            ("/var/lib/kubelet", true),
            ("/home/ann", true),
            ("/lustre/data", false),
            ("/lustre/hidden", false),
        ] {
            assert_eq!(table.is_shared(Path::new(path)), want, "{path}");
        }
    }

    #[test]
    fn file_systems_of_the_network_are_not_local() {
        let table = table();
        for (path, want) in [
            ("/srv/data", true),
            ("/kub/pods/U/volumes/kubernetes.io~secret/key", true),
            ("/home/ann", false),
            ("/lustre/data", false),
            ("/lustre/hidden/x", true),
        ] {
            assert_eq!(table.is_local(Path::new(path)), want, "{path}");
        }
    }

    #[test]
    fn a_file_has_several_names() {
        let table = table();
        let names = |path: &str| {
            let location = table.location(Path::new(path)).unwrap();
            let names = table.names(&location);
            names
                .iter()
                .map(|name| name.display().to_string())
                .collect::<Vec<_>>()
        };
        let volumes = "/kub/pods/U/volumes";
        for (path, want) in [
            (
                "kubernetes.io~local-volume/pv/x",
                vec!["/lustre/data/set/x".to_owned()],
            ),
            ("kubernetes.io~nfs/home", vec!["/home/ann".to_owned()]),
            ("kubernetes.io~secret/key", vec![]),
        ] {
            let own = format!("{volumes}/{path}");
            let mut got = names(&own);
            got.retain(|name| *name != own);
            assert_eq!(got, want, "{path}");
        }
        // What another mount hides has no such name.
        assert_eq!(names("/srv"), ["/lustre/hidden", "/srv"]);
        let hidden = Location {
            device: "0:40".to_owned(),
            path: "/hidden/x".into(),
        };
        assert!(table.names(&hidden).is_empty());
    }

    #[test]
    fn mount_points_and_their_file_systems() {
        let table = table();
        let secret = Path::new("/kub/pods/U/volumes/kubernetes.io~secret/key");
        assert!(table.is_mount_point(secret));
        assert_eq!(table.file_system(secret), Some(("tmpfs", "rw,size=1024k")));
        assert!(!table.is_mount_point(Path::new("/kub")));
        assert_eq!(table.file_system(Path::new("/kub")), None);
        assert_eq!(MountTable::default().location(Path::new("/")), None);
    }

    #[test]
    fn this_machine_s_table_is_read() {
        let table = MountTable::read().unwrap();
        assert!(table.location(Path::new("/proc/self")).is_some());
        assert!(table.is_mount_point(Path::new("/proc")));
    }

    #[test]
    fn escapes() {
        for (field, want) in [
            ("/a\\040b", "/a b"),
            ("/a\\134", "/a\\"),
            ("\\04", "\\04"),
            ("\\999", "\\999"),
        ] {
            assert_eq!(unescaped(field.as_bytes()), Path::new(want));
        }
    }
}
