//! PostgreSQL's own regression files, of the version that is installed: from the distribution's source package, by way
//! of apt as this machine has it configured. Names no host.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use countersign_sim::scratch::work_tree;
use countersign_sim::scratch_pg;

use crate::steps::{read, run, step};

/// Where apt says what it reads, and where a line or a stanza says that it is one of binary packages.
const APT_SOURCES: &str = "/etc/apt";

/// The folder `src/test/regress`, fetched into `.scratch/` where it is not there yet.
pub(super) fn folder() -> Result<PathBuf> {
    let told = read({
        let mut ask = Command::new(scratch_pg::program("postgres")?);
        ask.arg("--version");
        ask
    })?;
    let version = Version::parse(&told).with_context(|| format!("no version in `{}`", told.trim()))?;
    let scratch = work_tree().join(".scratch");
    let folder = scratch.join(format!("postgresql-{}/src/test/regress", version.server));
    if !folder.join("sql/test_setup.sql").is_file() {
        fs::create_dir_all(&scratch)?;
        step("fetch PostgreSQL's regression files", || fetch(&scratch, &version)).with_context(|| {
            format!(
                "PostgreSQL {}'s source could not be had from apt: unpack its release into `{}`",
                version.server,
                scratch.join(format!("postgresql-{}", version.server)).display()
            )
        })?;
        ensure!(
            folder.join("sql/test_setup.sql").is_file(),
            "the source package holds no `{}`: expected PostgreSQL 15 or newer",
            folder.display()
        );
    }
    Ok(folder)
}

/// What is installed.
#[derive(Debug, PartialEq, Eq)]
struct Version {
    /// PostgreSQL's own number.
    server: String,
    /// The package's.
    package: Option<String>,
}

impl Version {
    /// Reads `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
    fn parse(told: &str) -> Option<Self> {
        let mut words = told.split_whitespace().skip(2);
        let server = words.next()?.to_owned();
        let package = words.last().and_then(|word| word.strip_suffix(')')).map(str::to_owned);
        Some(Self { server, package })
    }

    fn major(&self) -> &str {
        self.server.split('.').next().unwrap_or(&self.server)
    }
}

fn fetch(scratch: &Path, version: &Version) -> Result<()> {
    let Some(package) = &version.package else {
        bail!("the installed PostgreSQL {} is of no distribution's package", version.server);
    };
    let apt = scratch.join("apt");
    for folder in ["parts", "lists/partial", "archives/partial"] {
        fs::create_dir_all(apt.join(folder))?;
    }
    source_entries(Path::new(APT_SOURCES), &apt.join("parts"))?;
    // Lists and archives of its own: nothing of the machine's apt is changed.
    let options = [
        "Dir::Etc::sourcelist=/dev/null".to_owned(),
        format!("Dir::Etc::sourceparts={}", apt.join("parts").display()),
        format!("Dir::State::lists={}", apt.join("lists").display()),
        format!("Dir::Cache={}", apt.display()),
        "APT::Sandbox::User=root".to_owned(),
    ];
    let call = |arguments: &[&str]| {
        let mut call = Command::new("apt-get");
        call.args(options.iter().flat_map(|option| ["-o", option])).arg("--quiet").args(arguments);
        call.current_dir(&apt);
        run(call)
    };
    call(&["update"])?;
    let name = format!("postgresql-{}={package}", version.major());
    call(&["source", "--download-only", "--tar-only", &name])?;
    let archive = fs::read_dir(&apt)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.to_string_lossy().contains(&format!("_{}.orig.tar.", version.server)))
        .context("apt-get fetched no `.orig.tar`")?;
    let mut unpack = Command::new("tar");
    unpack.arg("--extract").arg("--file").arg(archive).arg("--directory").arg(scratch);
    unpack.args(["--wildcards", "*/src/test/regress/*"]);
    run(unpack)
}

/// Writes apt's own sources as sources of source packages.
fn source_entries(configured: &Path, into: &Path) -> Result<()> {
    let parts = fs::read_dir(configured.join("sources.list.d")).into_iter().flatten().flatten();
    let files = parts.map(|entry| entry.path()).chain([configured.join("sources.list")]);
    for file in files {
        let is_read = file.extension().is_some_and(|end| end == "list" || end == "sources");
        let (true, Ok(text), Some(name)) = (is_read, fs::read_to_string(&file), file.file_name()) else {
            continue;
        };
        fs::write(into.join(name), as_sources(&text))?;
    }
    Ok(())
}

fn as_sources(text: &str) -> String {
    let line = |line: &str| match line.strip_prefix("deb ").or_else(|| line.strip_prefix("deb\t")) {
        Some(rest) => format!("deb-src {rest}\n"),
        None if line.starts_with("Types:") => "Types: deb-src\n".to_owned(),
        None if line.starts_with("deb-src") => "\n".to_owned(),
        None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_that_of_the_server_and_of_its_package() {
        let told = "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n";
        let version = Version::parse(told).unwrap();
        assert_eq!(version.server, "15.18");
        assert_eq!(version.package.as_deref(), Some("15.18-0+deb12u1"));
        assert_eq!(version.major(), "15");
        assert_eq!(Version::parse("postgres (PostgreSQL) 18.1").unwrap().package, None);
        assert_eq!(Version::parse("postgres"), None);
    }

    #[test]
    fn binary_sources_become_source_sources() {
        let old = "# mirror\ndeb [signed-by=/k] file:/srv x main\ndeb-src file:/srv x main\n";
        assert_eq!(as_sources(old), "# mirror\ndeb-src [signed-by=/k] file:/srv x main\n\n");
        assert_eq!(as_sources("Types: deb deb-src\nURIs: file:/srv\n"), "Types: deb-src\nURIs: file:/srv\n");
    }
}
