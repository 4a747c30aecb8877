//! The pages of the program and its libraries.

use std::{fs, ops::Range, sync::OnceLock};

/// Kinds of file systems that have their files on this machine (statfs(2)): those of ext, XFS, Btrfs, OverlayFS,
/// SquashFS, EROFS, tmpfs, ramfs and ZFS. What has gone from another machine could not be read again.
const LOCAL: [u32; 9] = [
    0xef53,
    0x5846_5342,
    0x9123_683e,
    0x794c_7630,
    0x7371_7368,
    0xe0f5_e1e2,
    0x0102_1994,
    0x8584_58f6,
    0x2fc1_2fc1,
];

static STAYS: OnceLock<Vec<Mapping>> = OnceLock::new();

/// Where a process has what a file has.
#[derive(Debug, PartialEq, Eq)]
struct Mapping {
    addresses: Range<usize>,
    /// The file; with ` (deleted)` behind it when it was removed or replaced.
    path: String,
}

/// Notes what is mapped of the program and its libraries for as long as the process is. To be called before any
/// thread begins: what a library loads later may go, or be written to, while it is looked at.
pub fn note_program() {
    let mut stays = mappings();
    stays.retain(|mapping| {
        let kind = rustix::fs::statfs(mapping.path.as_str()).map(|stat| stat.f_type as u32);
        kind.is_ok_and(|kind| LOCAL.contains(&kind))
    });
    // Said once, where the daemon begins.
    let _ = STAYS.set(stays);
}

/// Where what was noted is mapped, and has what its file has: no page of it was changed, nor can be, so that whoever
/// reads one that was unmapped finds the very same bytes.
pub fn unchanged_program() -> Vec<Range<usize>> {
    let stays = STAYS.get().map_or(&[][..], Vec::as_slice);
    // One whose file was replaced has another path now.
    let unchanged = mappings().into_iter().filter(|it| stays.contains(it));
    unchanged.map(|it| it.addresses).collect()
}

fn mappings() -> Vec<Mapping> {
    as_in_files(&fs::read_to_string("/proc/self/smaps").unwrap_or_default())
}

/// The mappings in which a process has what files have, unchanged and unchangeable. `smaps` is `/proc/PID/smaps`, see
/// proc_pid_smaps(5). What was written after all, as a loader writes addresses into tables and a debugger breakpoints
/// into code, shows as anonymous or swapped. Where nothing is resident there is nothing to let go; and QEMU's user
/// emulation, which writes its own `smaps`, tells nothing of what was written, but calls all of it not resident.
fn as_in_files(smaps: &str) -> Vec<Mapping> {
    let mut found = Vec::new();
    let mut mapping = None;
    for line in smaps.lines() {
        let mut words = line.split_ascii_whitespace();
        match (words.next(), words.next()) {
            (Some("Rss:"), Some("0")) => mapping = None,
            (Some("Anonymous:" | "Swap:"), Some(size)) if size != "0" => mapping = None,
            // The last line of each.
            (Some("VmFlags:"), _) => found.extend(mapping.take()),
            (Some(addresses), Some("r--p" | "r-xp")) => mapping = of_file(addresses, line),
            (Some(name), Some(_)) if !name.ends_with(':') => mapping = None,
            _ => {}
        }
    }
    found
}

fn of_file(addresses: &str, line: &str) -> Option<Mapping> {
    let (_, path) = line.split_once('/')?;
    let (start, end) = addresses.split_once('-')?;
    let address = |hex| usize::from_str_radix(hex, 16).ok();
    Some(Mapping {
        addresses: address(start)?..address(end)?,
        path: format!("/{path}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_as_in_its_file_is_let_go() {
        let mapping = |head: &str, path: &str, [rss, anonymous, swap]: [u32; 3]| {
            format!(
                "{head} 00000000 fe:00 7   {path}\nSize: 4 kB\nRss: {rss} kB\nAnonymous: {anonymous} kB\n\
                 Swap: {swap} kB\nVmFlags: rd mr\n"
            )
        };
        let (program, libc) = ("/usr/bin/a program", "/usr/lib/libc.so.6");
        let smaps = [
            mapping("1000-2000 r--p", program, [4, 0, 0]),
            mapping("2000-3000 r-xp", program, [4, 0, 0]),
            mapping("3000-4000 r-xp", program, [4, 4, 0]),
            mapping("4000-5000 r--p", program, [4, 0, 4]),
            mapping("5000-6000 rw-p", program, [4, 0, 0]),
            mapping("6000-7000 r--s", "/var/lib/shared", [4, 0, 0]),
            mapping("7000-8000 r--p", "", [4, 0, 0]),
            mapping("8000-9000 r-xp", "[vdso]", [4, 0, 0]),
            mapping("9000-a000 r-xp", libc, [4, 0, 0]),
            mapping("a000-b000 r--p", "/usr/lib/libm.so.6", [0, 0, 0]),
            "b000-c000 r-xp 00000000 fe:00 8   /usr/lib/cut.so\nSize: 4 kB\n".to_owned(),
        ];
        let found = as_in_files(&smaps.concat());
        let want = [
            (0x1000..0x2000, program),
            (0x2000..0x3000, program),
            (0x9000..0xa000, libc),
        ];
        let want = want.map(|(addresses, path)| Mapping {
            addresses,
            path: path.to_owned(),
        });
        assert_eq!(found, want);
        assert!(as_in_files("").is_empty());
    }
}
