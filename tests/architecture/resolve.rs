//! Where a path leads: to a module, or to an item in a file, through re-exports.

use crate::source::{join, Crate, Import, Segments};

/// Longer chains of re-exports are not followed.
const LONGEST: usize = 8;

/// The end of a path.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    Module(String),
    /// An item, and the module that defines it.
    Item {
        module: String,
        item: String,
    },
}

impl Crate {
    /// A written path from the crate's root; nothing for paths into other crates.
    pub fn absolute(&self, module: &str, path: &[String]) -> Option<Segments> {
        self.absolute_within(module, path, LONGEST)
    }

    fn absolute_within(&self, module: &str, path: &[String], left: usize) -> Option<Segments> {
        let here = || {
            let parts = module.split("::").filter(|part| !part.is_empty());
            parts.map(str::to_owned).collect::<Segments>()
        };
        let (first, rest) = path.split_first()?;
        let mut from = match first.as_str() {
            "crate" => Segments::new(),
            "self" => here(),
            "super" => {
                let mut parent = here();
                parent.pop()?;
                if rest.first().is_some_and(|word| word == "super") {
                    return self.absolute_within(&parent.join("::"), rest, left);
                }
                parent
            }
            name => {
                let scope = self.modules.get(module)?;
                if scope.children.contains(name) {
                    let mut child = here();
                    child.push(name.to_owned());
                    child
                } else {
                    let named = |import: &&Import| import.name.as_deref() == Some(name);
                    let import = scope.imports.iter().find(named)?;
                    // `use name::...` of another crate names itself.
                    if left == 0 || import.path[0] == name {
                        return None;
                    }
                    self.absolute_within(module, &import.path, left - 1)?
                }
            }
        };
        from.extend(rest.iter().cloned());
        Some(from)
    }

    /// Where an absolute path leads.
    pub fn resolve(&self, path: &[String]) -> Option<Target> {
        self.resolve_within(path, LONGEST)
    }

    fn resolve_within(&self, path: &[String], left: usize) -> Option<Target> {
        let mut module = String::new();
        for (index, segment) in path.iter().enumerate() {
            let child = join(&module, segment);
            if self.modules.contains_key(&child) {
                module = child;
                continue;
            }
            return self.item(&module, segment, &path[index + 1..], left);
        }
        Some(Target::Module(module))
    }

    fn item(&self, module: &str, name: &str, rest: &[String], left: usize) -> Option<Target> {
        let scope = self.modules.get(module)?;
        let here = Some(Target::Item {
            module: module.to_owned(),
            item: name.to_owned(),
        });
        if left == 0 || scope.items.contains(name) {
            return here;
        }
        for import in &scope.imports {
            if !import.is_glob && import.name.as_deref() != Some(name) {
                continue;
            }
            let Some(mut path) = self.absolute(module, &import.path) else {
                continue;
            };
            if import.is_glob {
                path.push(name.to_owned());
            }
            path.extend(rest.iter().cloned());
            match self.resolve_within(&path, left - 1) {
                // A `*` that does not bring the name.
                Some(Target::Item { module, item })
                    if import.is_glob && !self.modules[&module].items.contains(&item) => {}
                Some(target) => return Some(target),
                None => {}
            }
        }
        here
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Crate {
        let mut all = Crate::default();
        for (file, path, text) in [
            ("lib.rs", "", "mod a; mod b;"),
            (
                "a/mod.rs",
                "a",
                "mod x; pub use x::Thing; use crate::b; mod y { pub fn f() {} }",
            ),
            ("a/x.rs", "a::x", "pub struct Thing; use super::y::f as g;"),
            ("b.rs", "b", "pub use crate::a::*; pub fn own() {}"),
        ] {
            all.add(file, path, text.parse().expect("tokens"));
        }
        all
    }

    fn end(from: &str, path: &str) -> String {
        let all = example();
        let path: Segments = path.split("::").map(str::to_owned).collect();
        let target = all
            .absolute(from, &path)
            .and_then(|path| all.resolve(&path));
        match target {
            Some(Target::Module(module)) => format!("module {module}"),
            Some(Target::Item { module, item }) => format!("{item} in {module}"),
            None => "elsewhere".to_owned(),
        }
    }

    #[test]
    fn paths_lead_through_children_imports_and_re_exports() {
        for (from, path, expected) in [
            ("a", "x::Thing", "Thing in a::x"),
            ("a::x", "super::Thing", "Thing in a::x"),
            ("a::x", "super::super::b::own", "own in b"),
            ("a::x", "g", "f in a::y"),
            ("a", "b::own", "own in b"),
            ("b", "crate::a::y", "module a::y"),
            ("", "b::Thing", "Thing in a::x"),
            ("b", "std::fs::read", "elsewhere"),
        ] {
            assert_eq!(end(from, path), expected, "{path} from `{from}`");
        }
    }
}
