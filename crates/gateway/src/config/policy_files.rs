//! From what `[policy]` names to a list of files: a file, a folder, or `folder/*.ext`. Refuses a name that leads
//! nowhere: a policy that is forgotten must not be missed.

use std::path::{Path, PathBuf};

/// Every file that these names lead to, in the order of their names.
///
/// # Errors
/// In words, for the key in question.
pub fn expand(folder: &Path, names: &[String], extension: &str) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    for name in names {
        let (place, wanted) = match name.rsplit_once('/') {
            Some((place, last)) if last.starts_with('*') => {
                (folder.join(place), last.trim_start_matches('*').to_owned())
            }
            _ if name.starts_with('*') => (folder.to_owned(), name.trim_start_matches('*').to_owned()),
            _ => (folder.join(name), format!(".{extension}")),
        };
        if wanted.contains('*') || name.rsplit_once('/').is_some_and(|(place, _)| place.contains('*')) {
            return Err(format!("expected at most one `*`, at the start of the last part, found `{name}`"));
        }
        if place.is_file() {
            files.push(place);
            continue;
        }
        let found = in_folder(&place, &wanted)
            .map_err(|error| format!("cannot read `{}`: {error}", place.display()))?;
        if found.is_empty() {
            return Err(format!("expected files `*{wanted}` in `{}`, found none", place.display()));
        }
        files.extend(found);
    }
    Ok(files)
}

/// The files of a folder whose names end so.
fn in_folder(folder: &Path, ending: &str) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if path.is_file() && name.ends_with(ending) && !name.starts_with('.') {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
