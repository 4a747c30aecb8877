//! What the kubelet's command line says that matters here.

use std::{
    ffi::{OsStr, OsString},
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::Error;
use crate::bounded;

/// Where a kubelet keeps its things, unless it is told otherwise.
const ROOT: &str = "/var/lib/kubelet";

/// Flags for a kubelet that makes no cgroups for pods, each with the values that say the same. One that makes
/// them puts all CPUs that it sees into the cpuset of `kubepods` (`getCgroupConfig` in
/// pkg/kubelet/cm/node_container_manager_linux.go), and ends when the kernel refuses CPUs that it does not
/// have (ERANGE, seen with 1.36.2 and cgroup v1). No pod runs on this machine, so none needs a cgroup.
const NO_POD_CGROUPS: [(&str, &str, &[&str]); 2] = [
    ("cgroups-per-qos", "false", &["false", "f", "0"]),
    ("enforce-node-allocatable", "", &["", "none"]),
];

/// A kubelet that is to be started: the program and its arguments.
#[derive(Clone, Debug)]
pub struct Kubelet {
    command: Vec<OsString>,
}

/// What of a KubeletConfiguration matters.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Settings {
    cpu_manager_policy: Option<String>,
    memory_manager_policy: Option<String>,
}

/// A policy, and who sets it.
type Policy = Option<(String, String)>;

impl Kubelet {
    /// From a command line.
    pub fn new(command: Vec<OsString>) -> Self {
        Self { command }
    }

    /// The program, and its arguments: those that were given, and those without which it would not run on
    /// CPUs that are not there. Flags count more than files (cmd/kubelet/app, `kubeletConfigFlagPrecedence`).
    pub fn command(&self) -> Option<(&OsStr, Vec<OsString>)> {
        let (program, arguments) = self.command.split_first()?;
        let missing = NO_POD_CGROUPS.iter().filter(|(flag, ..)| !self.has(flag));
        let added = missing.map(|(flag, value, _)| format!("--{flag}={value}").into());
        Some((program, arguments.iter().cloned().chain(added).collect()))
    }

    /// Whether a flag is given, with a value or without.
    fn has(&self, name: &str) -> bool {
        let mut texts = self.command.iter().skip(1).filter_map(|it| it.to_str());
        texts.any(|text| {
            let flag = text.strip_prefix("--").unwrap_or_default();
            flag.split('=').next() == Some(name)
        })
    }

    /// The directory below which it mounts volumes.
    pub fn root(&self) -> PathBuf {
        self.flag("root-dir").unwrap_or_else(|| ROOT.into()).into()
    }

    /// The value of a flag, written in one of the ways that pflag knows; the last one counts.
    fn flag(&self, name: &str) -> Option<OsString> {
        let mut found = None;
        let mut arguments = self.command.iter().skip(1);
        while let Some(argument) = arguments.next() {
            let Some(text) = argument.to_str() else {
                continue;
            };
            let Some(text) = text.strip_prefix("--") else {
                continue;
            };
            match text.split_once('=') {
                Some((key, value)) if key == name => found = Some(value.into()),
                None if text == name => found = arguments.next().cloned(),
                _ => {}
            }
        }
        found
    }

    /// Checks that it does not give CPUs or memory of this machine to pods, by number or by cgroup. Reads the
    /// files that its flags name.
    ///
    /// # Errors
    /// It does, or its configuration cannot be read.
    pub fn check(&self) -> Result<(), Error> {
        for (flag, _, allowed) in NO_POD_CGROUPS {
            // Without a value it is no value of ours: a switch that is on, or the next argument.
            let value = self.flag(flag).unwrap_or_default().to_ascii_lowercase();
            let is_written = self.has(flag);
            let allowed = allowed.iter().any(|one| value == OsStr::new(one));
            if is_written && !allowed {
                return Err(Error::PodCgroups { flag });
            }
        }
        let (mut cpu, mut memory): (Policy, Policy) = (None, None);
        for path in self.files()? {
            let settings = read(&path)?;
            let by = path.display().to_string();
            cpu = settings
                .cpu_manager_policy
                .map(|it| (it, by.clone()))
                .or(cpu);
            memory = settings.memory_manager_policy.map(|it| (it, by)).or(memory);
        }
        // Flags count more than files (pkg cmd/kubelet/app, kubeletConfigFlagPrecedence).
        for (flag, key, file) in [
            ("cpu-manager-policy", "cpuManagerPolicy", cpu),
            ("memory-manager-policy", "memoryManagerPolicy", memory),
        ] {
            let by_flag = self.flag(flag).map(|value| {
                let value = value.to_string_lossy().into_owned();
                (value, format!("--{flag}"))
            });
            let Some((value, by)) = by_flag.or(file) else {
                continue;
            };
            if value.eq_ignore_ascii_case("static") {
                return Err(Error::Pins {
                    policy: format!("{key}: {value}"),
                    by,
                });
            }
        }
        Ok(())
    }

    /// The files of its configuration, in the order in which they count.
    fn files(&self) -> Result<Vec<PathBuf>, Error> {
        let mut files: Vec<PathBuf> = self.flag("config").map(PathBuf::from).into_iter().collect();
        let Some(directory) = self.flag("config-dir").map(PathBuf::from) else {
            return Ok(files);
        };
        let entries = fs::read_dir(&directory).map_err(|error| unreadable(&directory, &error))?;
        let mut more = Vec::new();
        for entry in entries {
            let path = entry
                .map_err(|error| unreadable(&directory, &error))?
                .path();
            if path.extension() == Some(OsStr::new("conf")) {
                more.push(path);
            }
        }
        more.sort();
        files.extend(more);
        Ok(files)
    }
}

fn read(path: &Path) -> Result<Settings, Error> {
    let text = fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
    bounded::from_yaml_into(&text).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &dyn std::error::Error) -> Error {
    Error::Unreadable {
        path: path.to_owned(),
        why: crate::text::one_line(&error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kubelet(arguments: &[&str]) -> Kubelet {
        let program = std::iter::once("/usr/bin/kubelet");
        Kubelet::new(
            program
                .chain(arguments.iter().copied())
                .map(Into::into)
                .collect(),
        )
    }

    #[test]
    fn the_root_is_a_flag() {
        for (arguments, want) in [
            (vec![], "/var/lib/kubelet"),
            (vec!["--root-dir=/kub"], "/kub"),
            (vec!["--v", "2", "--root-dir", "/kub", "--x"], "/kub"),
            (vec!["--root-dir=/a", "--root-dir=/b"], "/b"),
        ] {
            assert_eq!(kubelet(&arguments).root(), Path::new(want), "{arguments:?}");
        }
    }

    #[test]
    fn it_makes_no_cgroups_for_pods() {
        let added = |arguments: &[&str]| {
            let kubelet = kubelet(arguments);
            let (_, all) = kubelet.command().expect("a command");
            let all = all.iter().map(|one| one.to_string_lossy().into_owned());
            all.skip(arguments.len()).collect::<Vec<_>>()
        };
        let both = ["--cgroups-per-qos=false", "--enforce-node-allocatable="];
        assert_eq!(added(&["--v=2"]), both);
        assert_eq!(added(&["--cgroups-per-qos=false"]), both[1..]);
        assert_eq!(added(&["--enforce-node-allocatable=none"]), both[..1]);
        for (arguments, is_refused) in [
            (vec!["--cgroups-per-qos=false"], false),
            (vec!["--cgroups-per-qos=true"], true),
            (vec!["--cgroups-per-qos"], true),
            (vec!["--enforce-node-allocatable", ""], false),
            (vec!["--enforce-node-allocatable=pods"], true),
            (vec!["--enforce-node-allocatable", "pods"], true),
        ] {
            let told = kubelet(&arguments).check();
            assert_eq!(told.is_err(), is_refused, "{arguments:?}: {told:?}");
        }
    }

    #[test]
    fn a_kubelet_that_pins_pods_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let write = |name: &str, text: &str| {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            fs::write(&path, text).expect("written");
            path.display().to_string()
        };
        let plain = write("plain", "kind: KubeletConfiguration\nmaxPods: 500\n");
        let pins = write("static", "cpuManagerPolicy: static\nport: 1\n");
        let more = write("d/10.conf", "cpuManagerPolicy: none\n");
        write("d/20.conf", "memoryManagerPolicy: Static\n");
        write("d/30.yaml", "cpuManagerPolicy: static\n");
        let directory = Path::new(&more).parent().expect("a parent").display();
        let (plain, pins) = (format!("--config={plain}"), format!("--config={pins}"));
        let more = format!("--config-dir={directory}");
        for (arguments, want) in [
            (vec![], ""),
            (vec!["--cpu-manager-policy=none"], ""),
            (
                vec!["--cpu-manager-policy", "static"],
                "--cpu-manager-policy",
            ),
            (
                vec!["--memory-manager-policy=Static"],
                "memoryManagerPolicy",
            ),
            (vec![&plain], ""),
            (vec![&pins], "cpuManagerPolicy: static"),
            (vec![&pins, "--cpu-manager-policy=none"], ""),
            (vec![&pins, &more], "20.conf"),
            (vec!["--config=/nowhere/at/all"], "/nowhere/at/all"),
        ] {
            let told = kubelet(&arguments).check();
            let told = told
                .err()
                .map(|error| error.to_string())
                .unwrap_or_default();
            assert!(told.contains(want), "{arguments:?}: {told}");
            assert_eq!(told.is_empty(), want.is_empty(), "{arguments:?}: {told}");
        }
    }
}
