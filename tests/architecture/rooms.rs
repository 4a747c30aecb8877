//! Rooms: nothing imports upwards or sideways, walls hold, and only the place for plugins' quirks
//! names a plugin.

use std::{collections::BTreeMap, fs};

use crate::{
    map,
    source::{self, Crate, Import, Module, Segments},
};

/// The room that a module lies in; none for the crate's root.
fn room_of(path: &str) -> Option<&str> {
    path.split("::").next().filter(|room| !room.is_empty())
}

/// The paths into rooms that a module names, from the crate's root.
fn named(all: &Crate, path: &str, module: &Module) -> Vec<String> {
    let imports = module.imports.iter().map(|import| &import.path);
    let code = imports
        .chain(&module.paths)
        .filter_map(|written| all.absolute(path, written))
        .map(|absolute| absolute.join("::"));
    // Links in doc comments, and functions that attributes name.
    let texts = module
        .texts
        .iter()
        .flat_map(|text| text.split("crate::").skip(1));
    let texts = texts.map(|rest| {
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':');
        let found = &rest[..end.unwrap_or(rest.len())];
        found.trim_end_matches(':').to_owned()
    });
    code.chain(texts)
        .filter(|path| room_of(path).and_then(map::find).is_some())
        .collect()
}

/// What a crate names against the map.
fn violations(all: &Crate) -> Vec<String> {
    let mut broken = Vec::new();
    for (path, module) in &all.modules {
        let Some(room) = room_of(path) else { continue };
        for named in named(all, path, module) {
            let Some(to) = room_of(&named) else { continue };
            let wall = to == room || map::passes_wall(room, &named);
            if !map::is_allowed(room, to) || !wall {
                broken.push(format!("{}: `{room}` names {named}", module.file));
            }
        }
    }
    broken.sort();
    broken.dedup();
    broken
}

#[test]
fn every_room_is_on_the_map() {
    let all = Crate::read();
    let declared: Vec<_> = all.modules[""].children.iter().collect();
    let mut mapped: Vec<_> = map::ROOMS.iter().map(|room| room.name).collect();
    mapped.sort_unstable();
    assert_eq!(declared, mapped, "src/lib.rs, and the map");
}

#[test]
fn rooms_import_from_lower_floors_only() {
    let broken = violations(&Crate::read());
    assert!(
        broken.is_empty(),
        "against the map in tests/architecture/map.rs:\n{}",
        broken.join("\n")
    );
}

#[test]
fn violations_are_found() {
    let mut all = Crate::default();
    for (path, text) in [
        ("", "mod store; mod worker; mod plugin; mod interlink; mod cri;"),
        ("store", "use crate::{model, worker::{self as w, Dispatcher}}; fn f() { w::run() }"),
        ("plugin", "use crate::interlink::{wire::PodStatus, Client};"),
        ("cri", "fn f() { log::warn!(\"{}\", super::interlink::VERSION) }"),
        ("interlink", "#[serde(with = \"crate::store::time\")] fn f() {} /// [crate::cri]\nfn g() {}"),
        ("worker", "use crate::{store, plugin}; #[cfg(test)] mod tests { use crate::cli::x; } // crate::cri"),
    ] {
        all.add(path, path, text.parse().expect("tokens"));
    }
    assert_eq!(
        violations(&all),
        [
            "cri: `cri` names interlink::VERSION",
            "interlink: `interlink` names cri",
            "interlink: `interlink` names store::time",
            "plugin: `plugin` names interlink::Client",
            "store: `store` names worker",
            "store: `store` names worker::Dispatcher",
            "store: `store` names worker::run",
            "worker: `worker` names plugin",
        ]
    );
}

/// What modules of rooms that pods share name of disks.
fn disks(all: &Crate) -> Vec<String> {
    let mut found = Vec::new();
    for (path, module) in &all.modules {
        let is_shared = room_of(path).is_some_and(|room| map::SHARED_BY_PODS.contains(&room));
        let is_own = |(file, _): &(&str, &str)| module.file.ends_with(file);
        if !is_shared || map::OWN_PATHS.iter().any(is_own) {
            continue;
        }
        let imports = module.imports.iter().map(|import| import.path.clone());
        let paths = module.paths.iter().map(|path| in_full(module, path));
        let written = imports.chain(paths).map(|path| path.join("::"));
        let named = written.chain(named(all, path, module));
        found.extend(
            named
                .filter(|named| map::is_within(named, map::DISKS))
                .map(|named| format!("{}: {named}", module.file)),
        );
    }
    found.sort();
    found.dedup();
    found
}

#[test]
fn threads_that_pods_share_touch_no_disk_that_a_pod_names() {
    let found = disks(&Crate::read());
    assert!(
        found.is_empty(),
        "a mount that hangs would hold up all pods:\n{}",
        found.join("\n")
    );
}

#[test]
fn calls_to_disks_are_found() {
    let mut all = Crate::default();
    for (path, text) in [
        ("", "mod cri; mod worker; mod host; mod store;"),
        ("cri", "use std::fs; fn f() { fs::metadata(p) }"),
        (
            "worker",
            "use crate::host::{MountReader, PodMounts}; fn g() { crate::confined::root(p) }",
        ),
        ("store", "use std::fs::File;"),
    ] {
        all.add(path, path, text.parse().expect("tokens"));
    }
    assert_eq!(
        disks(&all),
        [
            "cri: std::fs",
            "cri: std::fs::metadata",
            "worker: confined::root",
            "worker: host::MountReader",
        ]
    );
}

/// A path with what an import put before it.
fn in_full(module: &Module, path: &[String]) -> Segments {
    let named = |import: &&Import| import.name.as_ref() == path.first();
    match module.imports.iter().find(named) {
        Some(import) => [&import.path, &path[1..]].concat(),
        None => path.to_vec(),
    }
}

/// The effects that modules of pure rooms name.
fn effects(all: &Crate) -> Vec<String> {
    let mut found = Vec::new();
    for (path, module) in &all.modules {
        if !room_of(path).is_some_and(|room| map::PURE.contains(&room)) {
            continue;
        }
        let imports = module.imports.iter().map(|import| import.path.clone());
        let paths = module.paths.iter().map(|path| in_full(module, path));
        for named in imports.chain(paths) {
            let named = named.join("::");
            if map::is_within(&named, map::EFFECTS) {
                found.push(format!("{}: {named}", module.file));
            }
        }
    }
    found
}

#[test]
fn pure_rooms_have_no_effects() {
    let found = effects(&Crate::read());
    assert!(found.is_empty(), "not pure:\n{}", found.join("\n"));
    let mut all = Crate::default();
    let text =
        "use std::{fmt, fs::{self, File}}; fn f() { fs::read(); Now::now(); std::thread::park() } \
                use std::time::Instant as Now;";
    for (path, text) in [("", "mod plan; mod host;"), ("plan", text), ("host", text)] {
        all.add(path, path, text.parse().expect("tokens"));
    }
    let expected = [
        "plan: std::fs",
        "plan: std::fs::File",
        "plan: std::fs::read",
        "plan: std::time::Instant::now",
        "plan: std::thread::park",
    ];
    assert_eq!(effects(&all), expected);
}

/// Only `profile` says what SLURM's plugin does; elsewhere decisions hold for every plugin.
#[test]
fn plugins_are_named_in_their_place_only() {
    let all = Crate::read();
    let mut naming = BTreeMap::<&str, Vec<&str>>::new();
    for (file, _) in all.files() {
        let room = file.split(['/', '.']).next().unwrap_or_default();
        let text = fs::read_to_string(source::root().join(file)).expect("reads");
        let is_named = text.to_lowercase().contains("slurm");
        if is_named && !map::KNOWS_PLUGINS.contains(&room) {
            naming.entry(room).or_default().push(file);
        }
    }
    let total: usize = naming.values().map(Vec::len).sum();
    println!("{total} files mention SLURM outside its place: {naming:#?}");
    naming.retain(|room, files| files.len() > map::left(map::SLURM_LEFT, room));
    assert!(
        naming.is_empty(),
        "more files mention SLURM than there were: {naming:#?}\nwhat is known of a plugin belongs \
         into {:?}",
        map::KNOWS_PLUGINS
    );
}
