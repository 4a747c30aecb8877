//! Circles of files.
//!
//! A file *takes* from another when it names an item that the other defines, by `use` or by a path,
//! and however many re-exports lie between. So a `mod.rs` that only declares its children and
//! re-exports what they define takes nothing from them, unless its own code uses what it re-exports.
//! Files are in a circle when each can be reached from the other over what is taken. Methods that
//! are called on a value are not seen; neither is what is compiled for tests only.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    map,
    resolve::Target,
    source::{Crate, Module, Segments},
};

/// What files take: from, to, and the items.
#[derive(Default)]
pub struct Graph {
    edges: BTreeMap<String, BTreeMap<String, BTreeSet<String>>>,
}

impl Graph {
    pub fn of(all: &Crate) -> Self {
        let mut graph = Self::default();
        for (path, module) in &all.modules {
            for written in taken(all, path, module) {
                let Some(absolute) = all.absolute(path, &written) else {
                    continue;
                };
                let Some(Target::Item { module: from, item }) = all.resolve(&absolute) else {
                    continue;
                };
                let to = &all.modules[&from].file;
                if *to != module.file {
                    let items = graph.edges.entry(module.file.clone()).or_default();
                    items.entry(to.clone()).or_default().insert(item);
                }
            }
        }
        graph
    }

    fn next<'a>(&'a self, file: &str) -> impl Iterator<Item = &'a str> + 'a {
        let edges = self.edges.get(file).into_iter();
        edges.flat_map(|to| to.keys().map(String::as_str))
    }

    fn reachable<'a>(&'a self, from: &str) -> BTreeSet<&'a str> {
        let mut seen = BTreeSet::new();
        let mut open: Vec<&str> = self.next(from).collect();
        while let Some(file) = open.pop() {
            if seen.insert(file) {
                open.extend(self.next(file));
            }
        }
        seen
    }

    /// The circles: sets of files that can all be reached from each other.
    pub fn circles(&self) -> Vec<BTreeSet<&str>> {
        let reach: BTreeMap<&str, BTreeSet<&str>> = self
            .edges
            .keys()
            .map(|file| (file.as_str(), self.reachable(file)))
            .collect();
        let mut circles = BTreeSet::new();
        for (file, reached) in &reach {
            if reached.contains(file) {
                let is_mutual =
                    |other: &&str| reach.get(*other).is_some_and(|back| back.contains(file));
                circles.insert(reached.iter().copied().filter(is_mutual).collect());
            }
        }
        circles.into_iter().collect()
    }

    /// A circle with what makes it one.
    fn describe(&self, circle: &BTreeSet<&str>) -> String {
        let mut lines = Vec::new();
        for from in circle {
            for (to, items) in self.edges.get(*from).into_iter().flatten() {
                if circle.contains(to.as_str()) {
                    let items: Vec<_> = items.iter().map(String::as_str).collect();
                    lines.push(format!("  {from} takes {} from {to}", items.join(", ")));
                }
            }
        }
        lines.join("\n")
    }
}

/// The written paths of what a module takes.
fn taken(all: &Crate, path: &str, module: &Module) -> Vec<Segments> {
    let mut taken = module.paths.clone();
    for import in &module.imports {
        let is_used = |name: &String| module.words.contains(name);
        if !import.is_glob {
            // A re-export for others only is nothing that this file takes.
            if !import.is_public || import.name.as_ref().is_some_and(is_used) {
                taken.push(import.path.clone());
            }
            continue;
        }
        // Of `*`, what is used of the names that it brings.
        let target = all
            .absolute(path, &import.path)
            .and_then(|absolute| all.resolve(&absolute));
        let Some(Target::Module(from)) = target else {
            continue;
        };
        let from = &all.modules[&from];
        let re_exports = from
            .imports
            .iter()
            .filter_map(|import| import.name.as_ref());
        for name in from
            .items
            .iter()
            .chain(re_exports)
            .filter(|name| is_used(name))
        {
            let mut one = import.path.clone();
            one.push(name.clone());
            taken.push(one);
        }
    }
    taken
}

#[test]
fn no_circle_of_files_is_new() {
    let all = Crate::read();
    let graph = Graph::of(&all);
    let circles = graph.circles();
    let mut found = BTreeMap::<&str, (usize, Vec<String>)>::new();
    for circle in &circles {
        let first = circle.first().expect("not empty");
        let room = first.split(['/', '.']).next().unwrap_or_default();
        let (files, described) = found.entry(room).or_default();
        *files += circle.len();
        described.push(graph.describe(circle));
    }
    let total: usize = circles.iter().map(BTreeSet::len).sum();
    println!("{total} files in {} circles", circles.len());
    let mut new = Vec::new();
    for (room, (files, described)) in found {
        let left = map::left(map::CIRCLES_LEFT, room);
        let described = format!("{room}: {files} files\n{}", described.join("\n\n"));
        println!("{described}");
        if files > left {
            new.push(described);
        }
    }
    assert!(
        new.is_empty(),
        "more files in circles than there were:\n{}",
        new.join("\n")
    );
}

#[test]
fn circles_are_found() {
    let example = |files: &[(&str, &str)]| {
        let mut all = Crate::default();
        for (path, text) in files {
            all.add(path, path, text.parse().expect("tokens"));
        }
        let graph = Graph::of(&all);
        let circles = graph.circles();
        circles
            .iter()
            .map(|circle| circle.iter().copied().collect::<Vec<_>>().join(" "))
            .collect::<Vec<_>>()
    };
    let none: [&str; 0] = [];
    // Declaring and re-exporting is not taking.
    let children = [
        ("a::x", "use super::Y; pub struct X(Y);"),
        ("a::y", "pub struct Y;"),
    ];
    let with = |parent| [&[("", "mod a;"), ("a", parent)], &children[..]].concat();
    assert_eq!(
        example(&with("mod x; mod y; pub use x::X; pub use y::Y;")),
        none
    );
    // Using what is re-exported is, and so is an item beside the re-exports.
    let uses = "mod x; pub use x::X; mod y; pub use y::Y; pub struct Z; fn f(x: X) {}";
    assert_eq!(
        example(&with(uses)),
        none,
        "the children take nothing of it"
    );
    assert_eq!(
        example(&with("mod x; pub use x::X; pub struct Y; fn f(_: X) {}")),
        ["a a::x"]
    );
    assert_eq!(
        example(&with("mod x; mod y; pub struct Y; fn f() { x::g() }")),
        ["a a::x"]
    );
    // Over three files, through a module's name, a macro and `*`.
    let three = [
        ("", "mod a; mod b; mod c; mod d;"),
        ("a", "use crate::b; fn f() { println!(\"{}\", b::g()) }"),
        ("b", "pub fn g() { super::c::h() }"),
        ("c", "use crate::a::*; pub fn h() { f() }"),
        ("d", "use crate::a::f;"),
    ];
    assert_eq!(example(&three), ["a b c"]);
    // Tests may take from where they like.
    let tests = [
        ("", "mod a; mod b;"),
        (
            "a",
            "pub fn f() {} #[cfg(test)] mod tests { use crate::b::g; }",
        ),
        ("b", "use crate::a::f; pub fn g() {} // crate::a"),
    ];
    assert_eq!(example(&tests), none);
}
