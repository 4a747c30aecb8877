//! What is wrong on this machine.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use super::fault::Fault;
use crate::{config::Config, owned, peer};

/// What was found on this machine.
#[derive(Debug, Default)]
pub struct Findings {
    /// What keeps the daemon from starting.
    pub faults: Vec<Fault>,
    /// What it can live with.
    pub warnings: Vec<Fault>,
}

impl Findings {
    /// Notes a file that somebody else can change: with it, they say what the daemon does.
    pub fn others_can_change(&mut self, key: &'static str, file: &PathBuf) {
        if let Err(error) = owned::check(file) {
            self.faults.push(Fault::new(key, file, error.to_string()));
        }
    }
}

/// What is wrong on this machine: files that are not there, or that everybody may read.
pub fn check_machine(config: &Config) -> Findings {
    let mut findings = Findings::default();
    let (interlink, traces) = (&config.interlink, &config.traces);
    for (key, file, is_secret) in [
        ("interlink.token_file", &interlink.token_file, true),
        ("interlink.ca_file", &interlink.ca_file, false),
        (
            "interlink.client_cert_file",
            &interlink.client_cert_file,
            false,
        ),
        (
            "interlink.client_key_file",
            &interlink.client_key_file,
            true,
        ),
        ("traces.token_file", &traces.token_file, true),
        ("traces.ca_file", &traces.ca_file, false),
        ("traces.client_cert_file", &traces.client_cert_file, false),
        ("traces.client_key_file", &traces.client_key_file, true),
    ] {
        let Some(file) = file else { continue };
        match fs::File::open(file).and_then(|file| file.metadata()) {
            Err(error) => findings
                .faults
                .push(Fault::new(key, file, error.to_string())),
            Ok(_) if owned::check(file).is_err() => findings.others_can_change(key, file),
            Ok(meta) if is_secret && meta.permissions().mode() & 0o077 != 0 => {
                let why = "others may read this secret; chmod 600 it".to_owned();
                findings.warnings.push(Fault::new(key, file, why));
            }
            Ok(_) => {}
        }
    }
    for user in interlink.local_users.iter().filter(|user| *user != "*") {
        if peer::user_id(user).is_none() {
            let path = PathBuf::from(user);
            let why = "there is no such user on this machine".to_owned();
            findings
                .faults
                .push(Fault::new("interlink.local_users", &path, why));
        }
    }
    if let Some(file) = &config.kubernetes.kubeconfig {
        if let Err(error) = fs::File::open(file) {
            let (key, why) = ("kubernetes.kubeconfig", error.to_string());
            // A kubelet makes it when it joins the cluster, perhaps after our own start.
            findings.warnings.push(Fault::new(key, file, why));
        } else {
            findings.others_can_change("kubernetes.kubeconfig", file);
        }
    }
    let state = &config.daemon.state_dir;
    if state.exists() && !state.is_dir() {
        findings
            .faults
            .push(Fault::new("daemon.state_dir", state, "is not a directory"));
    }
    findings
}
