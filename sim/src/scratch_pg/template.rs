//! Where PostgreSQL is installed, who may run it, and the initialised folder that servers are copied from.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{SUPERUSER, run_to_end};
use crate::scratch;

/// The user that a server runs as: PostgreSQL refuses root.
#[derive(Clone, Debug)]
pub struct Unprivileged {
    uid: u32,
    /// User and group to switch to; none when this process is unprivileged already.
    pub(super) switch: Option<(u32, u32)>,
}

impl Unprivileged {
    /// This user, or for root `postgres`, else `nobody`.
    ///
    /// # Errors
    /// When this is root and neither user exists.
    pub fn find() -> Result<Self> {
        let uid = fs::metadata("/proc/self").context("reading /proc/self")?.uid();
        if uid != 0 {
            return Ok(Self { uid, switch: None });
        }
        let users = fs::read_to_string("/etc/passwd").context("reading /etc/passwd")?;
        let Some((uid, gid)) = ["postgres", "nobody"].iter().find_map(|name| user_in(&users, name)) else {
            bail!(
                "PostgreSQL refuses to run as root, and there is no user `postgres` or `nobody` to run it as"
            );
        };
        Ok(Self { uid, switch: Some((uid, gid)) })
    }
}

fn user_in(users: &str, name: &str) -> Option<(u32, u32)> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next() != Some(name) {
            return None;
        }
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        (uid != 0).then_some((uid, gid))
    })
}

/// An installed PostgreSQL.
#[derive(Debug)]
pub struct Installation {
    folder: PathBuf,
    version: String,
}

impl Installation {
    /// The newest under `/usr/lib/postgresql`, else what PATH has; `COUNTERSIGN_PG_BIN` overrides both.
    ///
    /// # Errors
    /// When there is none.
    pub fn find() -> Result<Self> {
        let Some(postgres) = find_postgres() else {
            bail!("no PostgreSQL server found under /usr/lib/postgresql or in PATH: install `postgresql`");
        };
        // A program in PATH may be a link to where its siblings are.
        let postgres = fs::canonicalize(postgres)?;
        let folder = postgres.parent().context("a program without a folder")?.to_path_buf();
        let told = Command::new(&postgres).arg("--version").output().context("asking for the version")?;
        let told = String::from_utf8_lossy(&told.stdout).into_owned();
        let version: String =
            told.split_whitespace().nth(2).unwrap_or("unknown").chars().filter(|c| *c != '/').collect();
        Ok(Self { folder, version })
    }

    /// One of its programs.
    ///
    /// # Errors
    /// When it is not there.
    pub fn program(&self, name: &str) -> Result<PathBuf> {
        // A server from a package may come without `psql` and `pgbench`: the distribution's speak with any.
        let folders: Vec<PathBuf> =
            std::iter::once(self.folder.clone()).chain(of_the_distribution()).collect();
        scratch::find_program(name, &folders)
            .with_context(|| format!("`{name}` of PostgreSQL {} is not installed", self.version))
    }

    /// The initialised folder for this user and version, made when it is not there yet.
    ///
    /// # Errors
    /// When `initdb` fails or somebody else's folder stands in the way.
    pub fn template(&self, user: &Unprivileged) -> Result<Template> {
        let path = scratch::base().join(format!("cs-pg-template-{}-{}", user.uid, self.version));
        if !path.exists() {
            self.initialise(user, &path)?;
        }
        let owner = fs::symlink_metadata(&path)?;
        if !owner.is_dir() || owner.uid() != user.uid {
            bail!("`{}` is not a folder of user {}: remove it", path.display(), user.uid);
        }
        let password =
            fs::read_to_string(path.join("password")).context("reading the template's password")?;
        Ok(Template { path, user: user.clone(), password: password.trim().to_owned() })
    }

    /// Builds beside the final place and renames, so that racing processes never see half a template.
    fn initialise(&self, user: &Unprivileged, path: &Path) -> Result<()> {
        let building = scratch::new_folder("initdb")?;
        let password = building.join("password");
        scratch::write_private(&password, &scratch::random_word(16)?)?;
        user.own(&building)?;
        user.own(&password)?;
        let mut initdb = Command::new(self.program("initdb")?);
        initdb.args([
            "--no-sync",
            "--encoding=UTF8",
            "--locale=C",
            "--auth=scram-sha-256",
            "--username",
            SUPERUSER,
        ]);
        initdb.arg("--pwfile").arg(&password).arg("-D").arg(building.join("data")).current_dir(&building);
        user.run(&mut initdb);
        let made = run_to_end(initdb);
        if made.is_ok() && fs::rename(&building, path).is_ok() {
            return Ok(());
        }
        // Either it failed, or another process was quicker; that one's is as good.
        fs::remove_dir_all(&building)?;
        made
    }
}

fn find_postgres() -> Option<PathBuf> {
    if let Some(folder) = scratch::environment("COUNTERSIGN_PG_BIN") {
        return scratch::find_program("postgres", &[PathBuf::from(folder)]);
    }
    scratch::find_program("postgres", &of_the_distribution())
}

/// The distribution's folders of programs, the newest version first.
fn of_the_distribution() -> Vec<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    versions.sort();
    versions.into_iter().rev().map(|(_, folder)| folder).collect()
}

/// An initialised folder.
#[derive(Debug)]
pub struct Template {
    path: PathBuf,
    user: Unprivileged,
    pub(super) password: String,
}

impl Template {
    /// A new folder for one server, owned by the unprivileged user.
    ///
    /// # Errors
    /// When it cannot be copied.
    pub fn copy(&self) -> Result<PathBuf> {
        let folder = scratch::new_folder("pg")?;
        let mut copy = Command::new("cp");
        copy.args(["-a", "--reflink=auto"]).arg(self.path.join("data")).arg(folder.join("data"));
        run_to_end(copy)?;
        self.user.own(&folder)?;
        Ok(folder)
    }
}

#[cfg(test)]
mod tests {
    use super::user_in;

    #[test]
    fn root_is_never_the_unprivileged_user() {
        let users = "root:x:0:0::/root:/bin/sh\npostgres:x:0:0::/:/bin/sh\nnobody:x:65534:65533::/:/bin/sh\n";
        assert_eq!(user_in(users, "postgres"), None);
        assert_eq!(user_in(users, "nobody"), Some((65534, 65533)));
    }
}
