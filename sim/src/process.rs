//! The `countersign` program, run as people run it. Knows its arguments only as its callers give them.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::running::{Keep, Output, Running};
use crate::scratch;

/// How long a command that is run to its end may take.
const RUN_WITHIN: Duration = Duration::from_secs(120);

/// What a program left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// The exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Finished {
    /// Itself, when it exited with 0.
    ///
    /// # Errors
    /// With all that it said, when it did not.
    pub fn success(self) -> Result<Self> {
        if self.code == Some(0) {
            return Ok(self);
        }
        bail!("exit {:?}\n{}{}", self.code, self.stdout, self.stderr)
    }
}

/// A way to call `countersign`: program, folder and environment.
#[derive(Clone, Debug)]
pub struct Countersign {
    program: PathBuf,
    folder: PathBuf,
    environment: Vec<(String, String)>,
}

impl Countersign {
    /// The program named by `COUNTERSIGN_BIN`, else the one built with profile `quick`, run in `folder`.
    ///
    /// # Errors
    /// When it has not been built.
    pub fn in_folder(folder: &Path) -> Result<Self> {
        let built = scratch::work_tree().join("target/quick/countersign");
        let program = scratch::environment("COUNTERSIGN_BIN").map_or(built, PathBuf::from);
        if !program.is_file() {
            bail!("`{}` is not there: cargo build --profile quick -p countersign", program.display());
        }
        Ok(Self::program(program, folder))
    }

    /// A given program, run in `folder`.
    #[must_use]
    pub fn program(program: PathBuf, folder: &Path) -> Self {
        Self { program, folder: folder.to_path_buf(), environment: Vec::new() }
    }

    /// Where the program is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.program
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs it to its end with an empty stdin.
    ///
    /// # Errors
    /// When it cannot be started or does not end in time; a failure of its own is in [`Finished`].
    pub async fn run(&self, arguments: &[&str]) -> Result<Finished> {
        self.run_with(arguments, "").await
    }

    /// Runs it to its end with the given stdin.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn run_with(&self, arguments: &[&str], stdin: &str) -> Result<Finished> {
        let mut command = tokio::process::Command::new(&self.program);
        command.args(arguments).current_dir(&self.folder);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        run(command, stdin, RUN_WITHIN).await
    }

    /// Starts it and lets it run, with stdin open.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, arguments: &[&str]) -> Result<Running> {
        let mut command = std::process::Command::new(&self.program);
        command.args(arguments).current_dir(&self.folder);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        Running::spawn(
            command,
            Keep { stdin: true, log: Some(self.folder.join("serve.log")), ..Keep::default() },
        )
    }

    /// Starts `serve` and waits for the line on stdout that contains `ready`; returns that line too.
    ///
    /// # Errors
    /// When it ends or the time is up before, with all that it said.
    pub async fn serve(
        &self,
        arguments: &[&str],
        ready: &str,
        within: Duration,
    ) -> Result<(Running, String)> {
        let running = self.start(arguments)?;
        let line = running.line(Output::Out, within, |line| line.contains(ready)).await?;
        Ok((running, line))
    }
}

/// Runs a command to its end, feeding it `stdin`.
///
/// # Errors
/// When it cannot be started or does not end in time; it is then killed.
pub async fn run(mut command: tokio::process::Command, stdin: &str, within: Duration) -> Result<Finished> {
    use tokio::io::AsyncWriteExt;
    let name = command.as_std().get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().with_context(|| format!("starting `{name}`"))?;
    let pipe = child.stdin.take();
    let fed = async {
        if let Some(mut pipe) = pipe {
            // A program that ends before it has read everything is judged by its exit code.
            let _ = pipe.write_all(stdin.as_bytes()).await;
        }
    };
    let both = async { tokio::join!(fed, child.wait_with_output()).1 };
    let Ok(done) = tokio::time::timeout(within, both).await else {
        bail!("`{name}` did not end within {within:?}");
    };
    let done = done?;
    Ok(Finished {
        code: done.status.code(),
        stdout: String::from_utf8_lossy(&done.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&done.stderr).into_owned(),
    })
}

/// Asks an HTTP path on 127.0.0.1 and gives the status and the body.
///
/// # Errors
/// When nothing answers in HTTP.
pub async fn http_get(port: u16, path: &str) -> Result<(u16, String)> {
    let reply = crate::http::call(port, "GET", path, None).await?;
    Ok((reply.status, String::from_utf8_lossy(&reply.body).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    fn shell() -> (scratch::Folder, Countersign) {
        let folder = scratch::Folder::new("process").unwrap();
        let program = Countersign::program(PathBuf::from("/bin/sh"), folder.path()).variable("WORD", "said");
        (folder, program)
    }

    #[tokio::test]
    async fn a_finished_program_tells_all_three() {
        let (_folder, program) = shell();
        let done = program.run_with(&["-c", "cat; echo $WORD >&2; exit 3"], "fed").await.unwrap();
        let expected = Finished { code: Some(3), stdout: "fed".to_owned(), stderr: "said\n".to_owned() };
        assert_eq!(done, expected);
        assert!(done.success().unwrap_err().to_string().contains("exit Some(3)"));
    }

    #[tokio::test]
    async fn a_server_is_ready_at_its_line_and_ends_as_it_is_told() {
        let (_folder, program) = shell();
        let script = "trap 'exit 7' TERM; echo listening on 1; read x";
        let (mut serving, line) = program.serve(&["-c", script], "listening", SOON).await.unwrap();
        assert_eq!(line, "listening on 1");
        serving.signal("TERM").unwrap();
        assert_eq!(serving.ended(SOON).await.unwrap().code(), Some(7));
        let early = program.serve(&["-c", "echo no room >&2; exit 1"], "listening", SOON).await.unwrap_err();
        assert!(format!("{early:#}").contains("no room"), "{early:#}");
    }
}
