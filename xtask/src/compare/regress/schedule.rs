//! Which regression files there are, in PostgreSQL's own order, and what each needs before it. Knows no gate.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// What every file needs; part of the database that all are copied from.
pub(super) const SETUP: &str = "test_setup";

/// What a file needs besides, as the schedule says in its comments and the files in their first lines.
const NEEDS: &[(&str, &[&str])] = &[
    ("aggregates", &["create_aggregate"]),
    ("amutils", &["geometry_setup", "create_index", "create_index_spgist", "hash_index", "brin"]),
    ("geometry", &["geometry_setup"]),
    ("horology", &["date", "time", "timetz", "timestamp", "timestamptz", "interval"]),
    ("join", &["create_misc"]),
    ("multirangetypes", &["rangetypes"]),
    ("psql", &["create_am"]),
    ("sanity_check", &["create_misc"]),
    ("select_parallel", &["create_misc"]),
    ("select_views", &["create_view"]),
    ("with", &["create_misc"]),
];
/// The geometric types, which `geometry` joins with each other.
const GEOMETRY: &[&str] = &["point", "lseg", "line", "box", "path", "polygon", "circle"];
/// Files that most later ones expect to have run.
pub(super) const INDEXED: &str = "create_index";
/// From this one on.
const FIRST_INDEXED: &str = "create_aggregate";

/// A file to compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct File {
    /// Its name, without `.sql`.
    pub(super) name: String,
    /// What runs before it, directly.
    pub(super) needs: Vec<String>,
}

/// Every file of the schedule but the setup.
pub(super) fn files(regress: &Path) -> Result<Vec<File>> {
    let path = regress.join("parallel_schedule");
    let text = fs::read_to_string(&path).with_context(|| format!("reading `{}`", path.display()))?;
    let files = parse(&text);
    ensure!(!files.is_empty(), "`{}` names no test", path.display());
    Ok(files)
}

fn parse(schedule: &str) -> Vec<File> {
    let names =
        schedule.lines().filter_map(|line| line.strip_prefix("test:")).flat_map(str::split_whitespace);
    let mut indexed = false;
    let mut files = Vec::new();
    for name in names.filter(|name| *name != SETUP) {
        indexed |= name == FIRST_INDEXED;
        files.push(File { name: name.to_owned(), needs: needs(name, indexed) });
    }
    files
}

fn needs(name: &str, indexed: bool) -> Vec<String> {
    let listed = NEEDS.iter().find(|(file, _)| *file == name).map_or(&[] as &[&str], |(_, needs)| needs);
    let first: &[&str] = if indexed { &[INDEXED] } else { &[] };
    let spelled = |need: &&'static str| match *need {
        "geometry_setup" => GEOMETRY.to_vec(),
        need => vec![need],
    };
    let mut needs: Vec<String> = Vec::new();
    for need in first.iter().chain(listed).flat_map(spelled) {
        if !needs.iter().any(|known| known == need) {
            needs.push(need.to_owned());
        }
    }
    needs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_comes_after_what_it_needs() {
        let text = "# test: no\ntest: test_setup\ntest: boolean geometry\ntest: create_aggregate\ntest: aggregates\n";
        let files = parse(text);
        let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["boolean", "geometry", "create_aggregate", "aggregates"]);
        let needs = |at: usize| files.get(at).unwrap().needs.join(" ");
        assert_eq!(needs(0), "");
        assert_eq!(needs(1), GEOMETRY.join(" "));
        assert_eq!(needs(2), "create_index");
        assert_eq!(needs(3), "create_index create_aggregate");
    }
}
