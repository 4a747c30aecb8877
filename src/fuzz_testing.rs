//! Every input below `fuzz/seeds` is put through the property that its fuzz target checks.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use crate::{
    bounded, config, convert, cri, interlink, kubelet, logs, plan, profile, store, worker,
};

type Property = fn(&[u8]);

fn with_text(property: fn(&str)) -> impl Fn(&[u8]) {
    move |data| {
        if let Ok(text) = std::str::from_utf8(data) {
            property(text);
        }
    }
}

fn check(target: &str, data: &[u8]) -> bool {
    let property: Property = match target {
        "config" => |data| with_text(config::properties::any_file)(data),
        "cri_calls" => cri::properties::any_calls,
        "image_ref" => |data| with_text(convert::properties::image_ref)(data),
        "job" => convert::properties::any_job,
        "kubelet_pod" => kubelet::properties::any_pod,
        "log_file" => logs::properties::any_fetches,
        "objects" => bounded::properties::any_object,
        "quantity" => |data| with_text(convert::properties::quantity)(data),
        "records" => store::properties::any_records,
        "reply" => interlink::properties::any_reply,
        "resources" => convert::properties::resources,
        "resync" => plan::properties::resync,
        "sbatch_flags" => |data| with_text(profile::properties::any_flags)(data),
        "status_reply" => worker::properties::any_status,
        _ => return false,
    };
    property(data);
    true
}

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn names_in(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).expect("a directory");
    let name = |path: PathBuf| {
        path.file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned()
    };
    entries
        .map(|entry| name(entry.expect("an entry").path()))
        .collect()
}

#[test]
fn every_seed_keeps_its_promise() {
    let targets = names_in(&fuzz().join("fuzz_targets"));
    assert_eq!(
        names_in(&fuzz().join("seeds")),
        targets,
        "each target has seeds"
    );
    for target in targets {
        let mut count = 0;
        for entry in fs::read_dir(fuzz().join("seeds").join(&target)).expect("seeds") {
            let path = entry.expect("an entry").path();
            println!("{}", path.display());
            let data = fs::read(&path).expect("a readable seed");
            assert!(check(&target, &data), "{target} is not in the table above");
            count += 1;
        }
        assert!(count > 0, "{target} has seeds");
    }
}
