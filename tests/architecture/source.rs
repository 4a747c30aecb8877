//! Reads the crate's modules: what each declares, defines, imports and names. Code that is only
//! compiled for tests or for fuzzing is left out.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

/// Words before the name of an item.
const ITEMS: [&str; 9] = [
    "fn", "struct", "enum", "union", "trait", "type", "const", "static", "macro",
];

/// A path as it is written: `["super", "client", "Client"]`.
pub type Segments = Vec<String>;

/// One leaf of a `use` declaration.
#[derive(Clone, Debug, PartialEq)]
pub struct Import {
    pub path: Segments,
    /// The name that it has here; none for `*` and `_`.
    pub name: Option<String>,
    pub is_glob: bool,
    pub is_public: bool,
}

/// A module: a file, or a `mod name { ... }` inside one.
#[derive(Default, Debug)]
pub struct Module {
    /// Below `src`, as in `plan/owed.rs`.
    pub file: String,
    pub children: BTreeSet<String>,
    pub items: BTreeSet<String>,
    pub imports: Vec<Import>,
    /// Paths of two and more segments, outside `use`.
    pub paths: Vec<Segments>,
    /// Identifiers that begin a path or stand alone, outside `use`.
    pub words: BTreeSet<String>,
    /// What doc comments and attributes say.
    pub texts: Vec<String>,
}

/// The modules of the crate by their path: `""` is the root, `plan::owed` another.
#[derive(Default)]
pub struct Crate {
    pub modules: BTreeMap<String, Module>,
}

pub fn join(module: &str, name: &str) -> String {
    if module.is_empty() {
        name.to_owned()
    } else {
        format!("{module}::{name}")
    }
}

/// The directory of the sources.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

impl Crate {
    /// Reads `src/lib.rs` and all that is declared from there.
    pub fn read() -> Self {
        let mut all = Self::default();
        all.read_file(&root(), "lib.rs", "");
        all
    }

    fn read_file(&mut self, root: &Path, file: &str, path: &str) {
        let text = fs::read_to_string(root.join(file)).expect("a readable file");
        let tokens: TokenStream = text
            .parse()
            .unwrap_or_else(|error| panic!("{file}: {error}"));
        self.add(file, path, tokens);
        let declared = self.modules[path].children.clone();
        for name in declared {
            let child = join(path, &name);
            if self.modules.contains_key(&child) {
                continue; // It is inside this file.
            }
            let base = child.replace("::", "/");
            let places = [format!("{base}.rs"), format!("{base}/mod.rs")];
            let place = places.iter().find(|place| root.join(place).is_file());
            let place = place.unwrap_or_else(|| panic!("no file for `mod {name}` in {file}"));
            self.read_file(root, place, &child);
        }
    }

    /// Adds a module from its tokens, and the modules inside it.
    pub fn add(&mut self, file: &str, path: &str, tokens: TokenStream) {
        let mut inner = Vec::new();
        let mut module = Module {
            file: file.to_owned(),
            ..Module::default()
        };
        scan(&mut module, tokens, true, &mut inner);
        self.modules.insert(path.to_owned(), module);
        for (name, tokens) in inner {
            self.add(file, &join(path, &name), tokens);
        }
    }

    /// The files, each with its modules.
    pub fn files(&self) -> BTreeMap<&str, Vec<&Module>> {
        let mut files = BTreeMap::<_, Vec<_>>::new();
        for module in self.modules.values() {
            files.entry(module.file.as_str()).or_default().push(module);
        }
        files
    }
}

fn ident(token: Option<&TokenTree>) -> Option<String> {
    match token {
        Some(TokenTree::Ident(ident)) => Some(ident.to_string()),
        _ => None,
    }
}

fn is_punct(token: Option<&TokenTree>, wanted: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == wanted)
}

/// Whether `::` begins here.
fn is_separator(tokens: &[TokenTree], at: usize) -> bool {
    matches!(tokens.get(at), Some(TokenTree::Punct(punct))
        if punct.as_char() == ':' && punct.spacing() == Spacing::Joint)
        && is_punct(tokens.get(at + 1), ':')
}

/// Notes what a run of tokens says. `is_outside`: whether items here belong to the module.
fn scan(
    module: &mut Module,
    tokens: TokenStream,
    is_outside: bool,
    inner: &mut Vec<(String, TokenStream)>,
) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut at = 0;
    while at < tokens.len() {
        at = match &tokens[at] {
            TokenTree::Punct(punct) if punct.as_char() == '#' => attribute(module, &tokens, at),
            TokenTree::Group(group) => {
                let is_visibility = group.delimiter() == Delimiter::Parenthesis
                    && ident(group.stream().into_iter().next().as_ref())
                        .is_some_and(|word| word == "in")
                    && at > 0
                    && ident(tokens.get(at - 1)).is_some_and(|word| word == "pub");
                if !is_visibility {
                    scan(module, group.stream(), false, inner);
                }
                at + 1
            }
            TokenTree::Ident(_) => word(module, &tokens, at, is_outside, inner),
            _ => at + 1,
        };
    }
}

/// Reads an attribute, and skips what it keeps out of the daemon; gives where to go on.
fn attribute(module: &mut Module, tokens: &[TokenTree], at: usize) -> usize {
    let inward = usize::from(is_punct(tokens.get(at + 1), '!'));
    let Some(TokenTree::Group(group)) = tokens.get(at + 1 + inward) else {
        return at + 1;
    };
    let next = at + 2 + inward;
    let content: Vec<TokenTree> = group.stream().into_iter().collect();
    let name = ident(content.first()).unwrap_or_default();
    let text = group.stream().to_string();
    let conditions: Vec<&str> = text.split(|c: char| !c.is_alphanumeric()).collect();
    let is_for_tests = conditions.contains(&"test") || conditions.contains(&"fuzzing");
    if name == "cfg" && is_for_tests && !conditions.contains(&"not") {
        return end_of_item(tokens, next);
    }
    if name != "cfg_attr" {
        module.texts.push(text);
    }
    next
}

/// Where the item that begins here ends, its other attributes included.
pub fn end_of_item(tokens: &[TokenTree], mut at: usize) -> usize {
    let is_use = tokens[at..]
        .iter()
        .take(3)
        .any(|token| matches!(token, TokenTree::Ident(ident) if ident == "use"));
    while let Some(token) = tokens.get(at) {
        at += 1;
        match token {
            TokenTree::Punct(punct) if punct.as_char() == ';' => break,
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace && !is_use => break,
            _ => {}
        }
    }
    at
}

/// Reads what begins with an identifier; gives where to go on.
fn word(
    module: &mut Module,
    tokens: &[TokenTree],
    at: usize,
    is_outside: bool,
    inner: &mut Vec<(String, TokenStream)>,
) -> usize {
    let first = ident(tokens.get(at)).unwrap_or_default();
    let next = ident(tokens.get(at + 1));
    let is_global = at >= 2 && is_separator(tokens, at - 2);
    let is_member = at >= 1 && is_punct(tokens.get(at - 1), '.');
    match (first.as_str(), next) {
        ("use", _) if !is_punct(tokens.get(at + 1), '<') => {
            return import(module, tokens, at);
        }
        ("mod", Some(name)) if is_outside => {
            module.children.insert(name.clone());
            if let Some(TokenTree::Group(group)) = tokens.get(at + 2) {
                inner.push((name, group.stream()));
            }
            return at + 3;
        }
        (item, Some(name)) if is_outside && ITEMS.contains(&item) && name != "fn" => {
            module.items.insert(name);
            return at + 2;
        }
        ("macro_rules", None) if is_outside => {
            module.items.extend(ident(tokens.get(at + 2)));
            return at + 3;
        }
        _ => {}
    }
    if is_global || is_member {
        return at + 1;
    }
    module.words.insert(first.clone());
    let mut path = vec![first];
    let mut end = at + 1;
    while is_separator(tokens, end) {
        let Some(segment) = ident(tokens.get(end + 2)) else {
            break;
        };
        path.push(segment);
        end += 3;
    }
    if path.len() > 1 {
        module.paths.push(path);
    }
    end
}

/// Reads a `use` declaration; gives where to go on.
fn import(module: &mut Module, tokens: &[TokenTree], at: usize) -> usize {
    let length = tokens[at..]
        .iter()
        .position(|token| is_punct(Some(token), ';'))
        .expect("a `use` ends with `;`");
    let before = |steps: usize| at.checked_sub(steps).and_then(|index| tokens.get(index));
    let is_pub = |token| ident(token).is_some_and(|word| word == "pub");
    let is_public =
        is_pub(before(1)) || (matches!(before(1), Some(TokenTree::Group(_))) && is_pub(before(2)));
    let tree = &tokens[at + 1..at + length];
    leaves(tree, &[], is_public, &mut module.imports);
    at + length + 1
}

/// Takes a tree of imports apart.
fn leaves(tree: &[TokenTree], prefix: &[String], is_public: bool, found: &mut Vec<Import>) {
    for branch in tree.split(|token| is_punct(Some(token), ',')) {
        let mut path = prefix.to_vec();
        let (mut name, mut is_glob, mut is_leaf) = (None, false, true);
        let mut at = 0;
        while at < branch.len() {
            match &branch[at] {
                TokenTree::Ident(word) if word == "as" => {
                    name = ident(branch.get(at + 1));
                    at += 1;
                }
                TokenTree::Ident(word) if word == "self" && !path.is_empty() => {}
                TokenTree::Ident(word) => path.push(word.to_string()),
                TokenTree::Punct(punct) if punct.as_char() == '*' => is_glob = true,
                TokenTree::Group(group) => {
                    let inside: Vec<_> = group.stream().into_iter().collect();
                    leaves(&inside, &path, is_public, found);
                    is_leaf = false;
                }
                _ => {}
            }
            at += 1;
        }
        if is_leaf && !path.is_empty() {
            let own = name.unwrap_or_else(|| path[path.len() - 1].clone());
            found.push(Import {
                path,
                name: (!is_glob && own != "_").then_some(own),
                is_glob,
                is_public,
            });
        }
    }
}
