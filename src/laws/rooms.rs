//! The rooms of the Rust core: who may import whom (`docs/architecture.md`), read from every path in the sources.
//!
//! A room imports from rooms above it only; files of one folder form no circle; `unsafe` and rayon stay in their rooms. Tests
//! inside the sources are exempt.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// From the top down. `matrix` and `group` stand above `lattice`, because programs of loops multiply matrices.
const ROOMS: [&[&str]; 17] = [
    &["error", "interrupt", "memory"],
    &["number"],
    &["random"],
    &["matrix"],
    &["group"],
    &["lattice"],
    &["field"],
    &["concept"],
    &["gauge", "scalar", "spins"],
    &["nn", "solver", "dirac", "action", "map"],
    &["lcnn"],
    &["sampler", "observable", "io"],
    &["model"],
    &["any"],
    &["py"],
    &["lib"],
    &["laws"],
];

/// Rooms of one row, in the order in which they may import each other.
fn level(room: &str) -> Option<(usize, usize)> {
    ROOMS.iter().enumerate().find_map(|(row, rooms)| Some((row, rooms.iter().position(|name| *name == room)?)))
}

type Module = Vec<String>;

/// One file: its module, its text without comments and tests, and which names it hands on from its children.
struct Source {
    file: PathBuf,
    module: Module,
    text: String,
}

/// A path that a file names, from the crate's root, with its line.
struct Named {
    line: usize,
    path: Vec<String>,
    handed_on: bool,
}

struct Tree {
    sources: Vec<Source>,
    modules: BTreeMap<Module, usize>,
    names: Vec<Vec<Named>>,
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            found.push(path);
        }
    }
}

fn module_of(file: &Path) -> Module {
    let mut module: Module = file.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if module.last().is_some_and(|name| name == "mod") {
        module.pop();
    }
    module
}

/// The text with comments and `#[cfg(test)]` items blanked, line by line; and the child modules that are tests.
fn without_tests(text: &str) -> (String, Vec<String>) {
    let (mut kept, mut tests, mut lines) = (String::new(), Vec::new(), text.lines());
    while let Some(line) = lines.next() {
        let code = line.split("//").next().unwrap_or("");
        if code.trim() != "#[cfg(test)]" {
            kept.push_str(code);
            kept.push('\n');
            continue;
        }
        let end = format!("{}}}", &code[..code.len() - code.trim_start().len()]);
        kept.push('\n');
        let Some(item) = lines.next() else { break };
        kept.push('\n');
        if let Some(name) = item.trim().strip_prefix("mod ").and_then(|rest| rest.strip_suffix(';')) {
            tests.push(name.to_string());
        }
        if item.trim_end().ends_with(';') || item.trim_end().ends_with('}') {
            continue;
        }
        for line in lines.by_ref() {
            kept.push('\n');
            if line == end {
                break;
            }
        }
    }
    (kept, tests)
}

fn word(text: &str) -> &str {
    &text[..text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len())]
}

/// The leaves of a use tree `a::{b, c::{self, d as e}}`.
fn leaves(tree: &str, prefix: &[String], found: &mut Vec<Vec<String>>) {
    let tree = tree.trim();
    let (mut path, mut rest) = (prefix.to_vec(), tree);
    loop {
        if let Some(inside) = rest.strip_prefix('{') {
            let (mut depth, mut start) = (0, 0);
            let inside = inside.strip_suffix('}').unwrap_or(inside);
            for (n, c) in inside.char_indices().chain([(inside.len(), ',')]) {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    ',' if depth == 0 => {
                        if !inside[start..n].trim().is_empty() {
                            leaves(&inside[start..n], &path, found);
                        }
                        start = n + 1;
                    }
                    _ => {}
                }
            }
            return;
        }
        let name = if rest.starts_with('*') { "*" } else { word(rest) };
        if name != "self" || path.is_empty() {
            path.push(name.to_string());
        }
        match rest[name.len()..].trim_start().strip_prefix("::") {
            Some(after) if !name.is_empty() => rest = after.trim_start(),
            _ => return found.push(path),
        }
    }
}

/// `crate`, `super` and `self` at the head of a path taken away; nothing for paths of other crates.
fn absolute(module: &Module, path: &[String], children: &BTreeSet<String>) -> Option<Vec<String>> {
    let (mut base, mut rest) = match path[0].as_str() {
        "crate" => (Vec::new(), &path[1..]),
        "self" => (module.clone(), &path[1..]),
        "super" => (module.clone(), path),
        child if children.contains(child) => (module.clone(), path),
        _ => return None,
    };
    while rest.first().is_some_and(|name| name == "super") {
        base.pop();
        rest = &rest[1..];
    }
    base.extend_from_slice(rest);
    Some(base)
}

impl Tree {
    fn read(folder: &Path) -> Self {
        let (mut found, mut sources, mut tests) = (Vec::new(), Vec::new(), BTreeSet::new());
        files(folder, &mut found);
        for path in found {
            let file = path.strip_prefix(folder).unwrap().to_path_buf();
            let module = if file == Path::new("lib.rs") { Module::new() } else { module_of(&file) };
            let (text, children) = without_tests(&fs::read_to_string(&path).unwrap());
            tests.extend(children.into_iter().map(|child| [module.clone(), vec![child]].concat()));
            sources.push(Source { file, module, text });
        }
        let under_test = |module: &Module| (1..=module.len()).any(|n| tests.contains(&module[..n]));
        sources.retain(|source| !under_test(&source.module));
        let modules: BTreeMap<_, _> = sources.iter().enumerate().map(|(n, s)| (s.module.clone(), n)).collect();
        let mut tree = Self { sources, modules, names: Vec::new() };
        tree.names = tree.sources.iter().map(|source| tree.named(source)).collect();
        tree
    }

    fn children(&self, module: &Module) -> BTreeSet<String> {
        let below = |other: &&Module| other.len() == module.len() + 1 && other.starts_with(module);
        self.modules.keys().filter(below).filter_map(|child| child.last().cloned()).collect()
    }

    /// Every path of `use` items and every path inside the code that starts at `crate`, `super`, `self` or a child.
    fn named(&self, source: &Source) -> Vec<Named> {
        let children = self.children(&source.module);
        let (mut names, mut aliases, mut at, mut skip) = (Vec::new(), Vec::new(), 0, 0);
        for (n, _) in source.text.match_indices('\n').chain([(source.text.len(), "")]) {
            let (start, line) = (at, &source.text[at..n]);
            at = n + 1;
            if start < skip {
                continue;
            }
            let number = source.text[..start].matches('\n').count() + 1;
            let item = line.trim_start();
            let visible = item.strip_prefix("pub").map(|rest| match rest.strip_prefix('(') {
                Some(scope) => scope.split_once(')').map_or("", |(_, rest)| rest),
                None => rest,
            });
            if let Some(tree) = visible.unwrap_or(item).trim_start().strip_prefix("use ") {
                let from = start + line.len() - tree.len();
                let end = source.text[from..].find(';').map_or(source.text.len(), |n| from + n);
                skip = end;
                let mut found = Vec::new();
                leaves(&source.text[from..end], &[], &mut found);
                for path in found.iter().filter_map(|path| absolute(&source.module, path, &children)) {
                    aliases.push(path.clone());
                    names.push(Named { line: number, path, handed_on: visible.is_some() });
                }
                continue;
            }
            self.inline(source, &children, &aliases, line, number, &mut names);
        }
        names
    }

    fn inline(
        &self,
        source: &Source,
        children: &BTreeSet<String>,
        aliases: &[Vec<String>],
        line: &str,
        number: usize,
        names: &mut Vec<Named>,
    ) {
        let mut from = 0;
        while let Some(n) = line[from..].find("::").map(|n| n + from) {
            let head = line[..n].rfind(|c: char| !(c.is_alphanumeric() || c == '_')).map_or(0, |n| n + 1);
            let mut path = vec![line[head..n].to_string()];
            from = n;
            while let Some(rest) = line[from..].strip_prefix("::").filter(|rest| !word(rest).is_empty()) {
                path.push(word(rest).to_string());
                from += 2 + word(rest).len();
            }
            from = from.max(n + 2);
            // `lattice::Program` after `use crate::lattice;` names the file behind it
            let module =
                aliases.iter().find(|alias| alias.last() == Some(&path[0]) && self.modules.contains_key(*alias));
            let path = match module {
                Some(alias) => Some([alias.clone(), path[1..].to_vec()].concat()),
                None if path[0].is_empty() => None,
                None => absolute(&source.module, &path, children),
            };
            names.extend(path.map(|path| Named { line: number, path, handed_on: false }));
        }
    }

    /// The file that defines what a path names: re-exports are followed.
    fn target(&self, path: &[String], depth: usize) -> Option<usize> {
        let length = (0..=path.len()).rev().find(|&n| self.modules.contains_key(&path[..n]))?;
        let at = self.modules[&path[..length]];
        let Some(name) = path.get(length).filter(|_| depth < 8) else { return Some(at) };
        let onward = self.names.get(at)?.iter().filter(|named| named.handed_on);
        let mut globs = Vec::new();
        for named in onward {
            if named.path.last() == Some(name) {
                return self.target(&named.path, depth + 1);
            }
            if named.path.last().is_some_and(|last| last == "*") {
                globs.push(self.target(&named.path[..named.path.len() - 1], depth + 1)?);
            }
        }
        let defines = |source: usize| {
            let kinds = ["fn", "struct", "enum", "trait", "const", "static", "type", "macro_rules!"];
            kinds.iter().any(|kind| self.sources[source].text.contains(&format!("{kind} {name}")))
        };
        Some(globs.into_iter().find(|&source| !defines(at) && defines(source)).unwrap_or(at))
    }

    fn room(&self, source: usize) -> &str {
        self.sources[source].module.first().map_or("lib", String::as_str)
    }

    /// A sentence for each import that the table forbids, and for each circle of files.
    fn violations(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut graph: Vec<BTreeMap<usize, usize>> = vec![BTreeMap::new(); self.sources.len()];
        for (n, source) in self.sources.iter().enumerate() {
            let room = self.room(n);
            if level(room).is_none() {
                found.push(format!("{}: the room {room} is not in the table", source.file.display()));
            }
            for named in &self.names[n] {
                let Some(target) = self.target(&named.path, 0).filter(|&target| target != n) else { continue };
                let other = named.path.first().map_or("lib", String::as_str);
                if level(other).is_some() && room != "lib" && level(other) > level(room) {
                    let (file, path) = (source.file.display(), named.path.join("::"));
                    found
                        .push(format!("{file}:{}: {room} stands above {other} and must not import {path}", named.line));
                }
                if !named.handed_on && self.room(target) == room {
                    graph[n].entry(target).or_insert(named.line);
                }
            }
        }
        let mut done = BTreeSet::new();
        for n in 0..self.sources.len() {
            self.circles(n, &graph, &mut done, &mut Vec::new(), &mut found);
        }
        found
    }

    fn circles(
        &self,
        n: usize,
        graph: &[BTreeMap<usize, usize>],
        done: &mut BTreeSet<usize>,
        open: &mut Vec<usize>,
        found: &mut Vec<String>,
    ) {
        if done.contains(&n) {
            return;
        }
        open.push(n);
        for (&target, line) in &graph[n] {
            if let Some(start) = open.iter().position(|&file| file == target) {
                let files: Vec<_> =
                    open[start..].iter().chain([&target]).map(|&n| self.sources[n].file.display()).collect();
                let circle: Vec<_> = files.iter().map(ToString::to_string).collect();
                let file = self.sources[n].file.display();
                found.push(format!("{file}:{line} closes the circle {}", circle.join(" -> ")));
            } else {
                self.circles(target, graph, done, open, found);
            }
        }
        open.pop();
        done.insert(n);
    }

    /// File and line of each word that stands outside the files where it is allowed.
    fn outside(&self, name: &str, allowed: impl Fn(&Path) -> bool) -> Vec<String> {
        let whole = |line: &str| line.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|part| part == name);
        let lines = |source: &Source| -> Vec<String> {
            let lines = source.text.lines().enumerate().filter(|(_, line)| whole(line));
            lines.map(|(n, _)| format!("{}:{}: {name}", source.file.display(), n + 1)).collect()
        };
        self.sources.iter().filter(|source| !allowed(&source.file)).flat_map(lines).collect()
    }
}

fn ours() -> Tree {
    Tree::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
}

#[test]
fn rooms_import_only_from_rooms_above_them() {
    let tree = ours();
    assert!(tree.sources.len() > 80, "the sources were not found");
    let found = tree.violations();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn unsafe_code_stands_in_the_room_of_numbers() {
    let found = ours().outside("unsafe", |file| file.starts_with("number"));
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn one_file_names_rayon() {
    let found = ours().outside("rayon", |file| file == Path::new("field/threads.rs"));
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

const GOOD: [(&str, &str); 8] = [
    ("lib.rs", "pub mod field;\npub mod gauge;\npub mod lattice;\npub mod sampler;\n"),
    ("lattice/mod.rs", "//! Lattices.\nmod lattice;\npub mod path;\npub use lattice::Lattice;\n"),
    ("lattice/lattice.rs", "pub struct Lattice;\n"),
    ("lattice/path.rs", "use crate::lattice::Lattice;\npub struct Path;\n"),
    (
        "gauge.rs",
        "use crate::lattice::{\n    Lattice,\n    path::Path,\n};\n\n#[cfg(test)]\nmod tests {\n    use crate::sampler::Hmc;\n}\n",
    ),
    ("sampler/mod.rs", "pub mod hmc;\nmod level;\npub use hmc::Hmc;\npub use level::*;\n"),
    ("sampler/hmc.rs", "use super::Level;\nuse crate::gauge;\npub struct Hmc;\n"),
    ("sampler/level.rs", "/// See `crate::py::x`.\npub struct Level;\n"),
];

fn broken(name: &str, changes: &[(&str, &str)]) -> Tree {
    let folder = std::env::temp_dir().join(format!("plaq-rooms-{}-{name}", std::process::id()));
    for (file, text) in GOOD.iter().chain(changes) {
        let path = folder.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let tree = Tree::read(&folder);
    fs::remove_dir_all(folder).unwrap();
    tree
}

#[test]
fn a_good_tree_is_left_alone() {
    assert_eq!(broken("good", &[]).violations(), Vec::<String>::new());
}

#[test]
fn faults_are_found_with_file_and_line() {
    let upward = "lattice stands above sampler";
    let faults = [
        ("lattice/path.rs", "pub struct Path;\nuse crate::sampler::Hmc;\n", "lattice/path.rs:2: ", upward),
        ("lattice/path.rs", "pub struct Path;\nuse crate::{\n    sampler::{Hmc},\n};\n", "lattice/path.rs:2: ", upward),
        ("lattice/path.rs", "pub struct Path;\nuse super::super::sampler;\n", "lattice/path.rs:2: ", upward),
        ("lattice/path.rs", "pub struct Path;\nfn f() {\n    crate::sampler::f();\n}\n", "lattice/path.rs:3: ", upward),
        ("lattice/path.rs", "pub struct Path;\nfn f(x: &crate::sampler::Hmc) {}\n", "lattice/path.rs:2: ", upward),
        (
            "lattice/path.rs",
            "pub struct Path;\nfn f() {\n    use crate::sampler::Hmc as H;\n}\n",
            "lattice/path.rs:3: ",
            upward,
        ),
        ("gauge.rs", "use crate::spins::X;\n", "gauge.rs:1: ", "gauge stands above spins"),
        ("sampler/level.rs", "use super::Hmc;\npub struct Level;\n", "sampler/", "closes the circle"),
        (
            "sampler/level.rs",
            "use super::*;\nuse crate::sampler;\npub struct Level(sampler::Hmc);\n",
            "sampler/",
            "circle",
        ),
        ("sampler/level.rs", "pub struct Level(super::hmc::Hmc);\n", "sampler/", "sampler/hmc.rs -> sampler/level.rs"),
        ("lattice/lattice.rs", "pub struct Lattice;\nuse super::path;\nfn f() { path::f() }\n", "lattice/", "circle"),
        ("util.rs", "", "util.rs", "the room util is not in the table"),
    ];
    for (n, (file, text, place, message)) in faults.into_iter().enumerate() {
        let also = [("spins.rs", "pub struct X;\n"), (file, text)];
        let found = broken(&n.to_string(), &also).violations();
        assert!(found.iter().any(|line| line.contains(place) && line.contains(message)), "{file}: {text}: {found:?}");
    }
    let tree = broken("words", &[("gauge.rs", "// unsafe\nfn f() {\n    unsafe { g() }\n    rayon::join(f, f);\n}\n")]);
    assert_eq!(tree.outside("unsafe", |file| file.starts_with("number")), ["gauge.rs:3: unsafe"]);
    assert_eq!(tree.outside("rayon", |_| false), ["gauge.rs:4: rayon"]);
}
