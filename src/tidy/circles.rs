//! Which files of a room import each other in a circle. A file that imports only what lies below it can be read and changed on
//! its own.

use std::collections::{BTreeMap, BTreeSet};

use super::scan::Source;

/// Files of the room in that folder whose imports lead back to themselves, tests not counted.
pub(super) fn circles(files: &[Source], folder: &str) -> Vec<String> {
    let named = files.iter().filter_map(|file| Some((file.path.strip_prefix(folder)?.strip_suffix(".rs")?, file)));
    let own: BTreeMap<&str, &Source> =
        named.filter(|(name, _)| !name.contains('/') && !name.ends_with("tests")).collect();
    let imports: BTreeMap<&str, BTreeSet<&str>> = own.keys().map(|name| (*name, imported(name, &own))).collect();
    let leads_back = |name: &str| {
        let (mut reached, mut left) = (BTreeSet::new(), vec![name]);
        while let Some(next) = left.pop() {
            left.extend(imports[next].iter().filter(|further| reached.insert(**further)));
        }
        reached.contains(name)
    };
    own.keys().filter(|name| leads_back(name)).map(|name| (*name).to_owned()).collect()
}

fn imported<'a>(name: &str, own: &BTreeMap<&'a str, &'a Source>) -> BTreeSet<&'a str> {
    let file = own[name];
    let is_imported = |other: &&&str| {
        // The room's own file names the others without `super`; from the others, `super` means the room's own file unless a sibling
        // is named.
        let root = if name == "mod" { **other } else { "super" };
        file.paths(root).iter().filter(|(at, _)| !file.is_test(*at)).any(|(_, path)| {
            let first = path.split("::").next().unwrap_or_default();
            name == "mod" || first == **other || (**other == "mod" && !own.contains_key(first))
        })
    };
    own.keys().filter(|other| **other != name).filter(is_imported).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(room: &[(&str, &str)], expected: &[&str]) {
        let files: Vec<_> = room.iter().map(|(name, text)| Source::new(&format!("src/a/{name}.rs"), text)).collect();
        assert_eq!(circles(&files, "src/a/"), expected, "{room:?}");
    }

    #[test]
    fn are_found_however_long() {
        check(&[("mod", "use b::B;"), ("b", "use super::c::C;"), ("c", "struct C;")], &[]);
        check(&[("b", "use super::c::C;"), ("c", "use super::{b::B, d};"), ("d", "")], &["b", "c"]);
        check(&[("b", "use super::c;"), ("c", "use super::d;"), ("d", "fn f() { super::b::f() }")], &["b", "c", "d"]);
        check(&[("mod", "struct Room; use b::B;"), ("b", "use super::Room;")], &["b", "mod"]);
        check(&[("mod", "struct Room; mod b;"), ("b", "use super::Room;")], &[]);
        check(&[("mod", "use b::B;"), ("b", "#[cfg(test)]\nmod tests { use super::super::Room; }")], &[]);
    }
}
