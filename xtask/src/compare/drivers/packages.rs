//! The drivers and their tests, by pinned version and hash, through pip as this machine has it configured. Names no
//! host and runs no test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use countersign_sim::scratch::work_tree;

use super::Driver;
use crate::steps::{read, run, step};

const INSTALLED: &str = include_str!("requirements.txt");
const TESTS: &str = include_str!("tests.txt");

/// What was fetched.
pub(super) struct Packages {
    folder: PathBuf,
}

impl Packages {
    /// Installs the drivers into an environment of their own and unpacks their tests, where that is not done yet.
    pub(super) fn fetch() -> Result<Self> {
        let packages = Self { folder: work_tree().join("target/compare/drivers") };
        let done = packages.folder.join("fetched");
        let wanted = format!("{INSTALLED}{TESTS}");
        if fs::read_to_string(&done).is_ok_and(|fetched| fetched == wanted) {
            return Ok(packages);
        }
        if packages.folder.exists() {
            fs::remove_dir_all(&packages.folder)?;
        }
        fs::create_dir_all(&packages.folder)?;
        step("fetch the drivers and their tests", || packages.install())?;
        fs::write(done, wanted)?;
        Ok(packages)
    }

    fn install(&self) -> Result<()> {
        let mut make = Command::new("python3");
        make.args(["-m", "venv"]).arg(self.folder.join("python"));
        run(make)?;
        let installed = self.list("requirements.txt", INSTALLED)?;
        self.pip(&["install", "--require-hashes", "--requirement", &installed])?;
        let tests = self.list("tests.txt", TESTS)?;
        let names: Vec<&str> = TESTS.lines().filter_map(|line| Some(line.split_once("==")?.0)).collect();
        // Named one by one: of `:all:` pip would build even what it builds them with.
        let sources = ["download", "--no-deps", "--no-binary", &names.join(",")];
        let into = self.folder.display().to_string();
        let rest = ["--require-hashes", "--dest", &into, "--requirement", &tests];
        self.pip(&[sources.as_slice(), rest.as_slice()].concat()).context(
            "pip asks a source package for its name before it keeps it: psycopg2's wants `pg_config` (libpq-dev)",
        )
    }

    fn list(&self, name: &str, text: &str) -> Result<String> {
        let path = self.folder.join(name);
        fs::write(&path, text)?;
        Ok(path.display().to_string())
    }

    fn pip(&self, arguments: &[&str]) -> Result<()> {
        let mut pip = Command::new(self.python());
        pip.args(["-m", "pip", "--quiet", "--disable-pip-version-check"]).args(arguments);
        run(pip)
    }

    /// The environment's Python.
    pub(super) fn python(&self) -> PathBuf {
        self.folder.join("python/bin/python")
    }

    /// A folder with nothing but the driver's tests in it: beside its sources they would import those.
    pub(super) fn tests(&self, driver: &Driver) -> Result<PathBuf> {
        let folder = self.folder.join(driver.name);
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        let archive = self.archive(driver)?;
        let mut list = Command::new("tar");
        list.arg("--list").arg("--file").arg(&archive);
        let listed = read(list)?;
        let root = listed.split('/').next().context("an archive with a folder in it")?;
        let mut unpack = Command::new("tar");
        unpack.arg("--extract").arg("--file").arg(&archive).arg("--directory").arg(&folder);
        unpack.arg("--strip-components=1").arg(format!("{root}/{}", driver.tests));
        run(unpack)?;
        Ok(folder)
    }

    /// A fresh folder for what a driver's runs leave behind.
    pub(super) fn outcomes(&self, driver: &Driver) -> Result<PathBuf> {
        let folder = self.folder.join(format!("{}-outcomes", driver.name));
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    fn archive(&self, driver: &Driver) -> Result<PathBuf> {
        let begins = format!("{}-", driver.name.replace('-', "_"));
        let is = |path: &Path| {
            let name = path.file_name().map(|name| name.to_string_lossy());
            name.is_some_and(|name| name.starts_with(&begins) && name.ends_with(".tar.gz"))
        };
        let found = fs::read_dir(&self.folder)?.filter_map(|entry| Some(entry.ok()?.path()));
        match found.into_iter().find(|path| is(path)) {
            Some(archive) => Ok(archive),
            None => bail!("pip fetched no source package of {}", driver.name),
        }
    }
}
