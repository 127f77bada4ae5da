//! A child process whose lines can be waited for, and which does not outlive whoever started it.
//!
//! Each child gets a *leash*: a small shell that waits on a pipe held by us. When the pipe closes, because
//! the child was dropped or because this process died in whatever way, it ends the child's process group
//! and removes its folders. It refuses to know what the child is.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use tokio::sync::watch;

/// How a child is kept.
#[derive(Debug, Default)]
pub struct Keep {
    /// Every line of stderr is also written here.
    pub log: Option<PathBuf>,
    /// Removed once the child is gone.
    pub folders: Vec<PathBuf>,
    /// The signal that ends it kindly (`QUIT`, `TERM`); `KILL` follows within [`KIND_TENTHS_MAX`].
    pub signal: Option<&'static str>,
    /// Whether its stdin stays open, for [`Running::write`]; else it is empty.
    pub stdin: bool,
}

/// For how many tenths of a second a child may take to end kindly.
const KIND_TENTHS_MAX: u32 = 50;

/// For how long an ended child's other output is waited for.
const LAST_WORDS_WITHIN: Duration = Duration::from_secs(1);

/// Which of a child's outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// A running child.
#[derive(Debug)]
pub struct Running {
    name: String,
    pid: u32,
    out: Lines,
    err: Lines,
    ended: watch::Receiver<Option<ExitStatus>>,
    stdin: Option<ChildStdin>,
    leash: Option<Leash>,
}

impl Running {
    /// Starts `command` in a process group of its own.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn spawn(mut command: Command, keep: Keep) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.stdin(if keep.stdin { Stdio::piped() } else { Stdio::null() });
        let log = keep.log.as_deref().map(create_log).transpose()?;
        let mut child = command.spawn().with_context(|| format!("starting `{name}`"))?;
        let pid = child.id();
        let leash = Leash::tie(pid, keep.signal.unwrap_or("TERM"), &keep.folders)?;
        let stdin = child.stdin.take();
        let out = Lines::collect(child.stdout.take(), None);
        let err = Lines::collect(child.stderr.take(), log);
        let ended = wait_in_thread(child);
        Ok(Self { name, pid, out, err, ended, stdin, leash: Some(leash) })
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// How much memory of its own the process holds, in bytes (`VmRSS`); none once it has ended.
    #[must_use]
    pub fn resident_bytes(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().trim_end_matches("kB").trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
    }

    /// How many files and sockets it has open; none once it has ended.
    #[must_use]
    pub fn open_files(&self) -> Option<usize> {
        Some(std::fs::read_dir(format!("/proc/{}/fd", self.pid)).ok()?.count())
    }

    /// The lines of an output so far.
    #[must_use]
    pub fn lines(&self, output: Output) -> Vec<String> {
        self.stream(output).all()
    }

    /// Waits for the first line, from the first one ever on, that `wanted` accepts.
    ///
    /// # Errors
    /// When the output ends or the time is up before; the error shows all that the child said.
    pub async fn line(
        &self,
        output: Output,
        within: Duration,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<String> {
        let found = tokio::time::timeout(within, self.stream(output).first(wanted)).await;
        match found {
            Ok(Some(line)) => Ok(line),
            Ok(None) => {
                // Why it ended is most often said on the other output, which may come a moment later.
                let both = async { tokio::join!(self.out.complete(), self.err.complete()) };
                let _ = tokio::time::timeout(LAST_WORDS_WITHIN, both).await;
                bail!("`{}` ended before it said what was waited for\n{}", self.name, self.said());
            }
            Err(_) => bail!("`{}` did not say it within {within:?}\n{}", self.name, self.said()),
        }
    }

    /// Waits for the end; the outputs are then complete.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn ended(&mut self, within: Duration) -> Result<ExitStatus> {
        let mut ended = self.ended.clone();
        let waiting = async {
            let status =
                *ended.wait_for(Option::is_some).await.map_err(|_| anyhow!("nobody waits for it"))?;
            self.out.complete().await;
            self.err.complete().await;
            status.context("no exit status")
        };
        match tokio::time::timeout(within, waiting).await {
            Ok(status) => status,
            Err(_) => bail!("`{}` did not end within {within:?}\n{}", self.name, self.said()),
        }
    }

    /// Whether it has not ended yet.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.ended.borrow().is_none()
    }

    /// Writes to its stdin (kept open by [`Keep::stdin`]).
    ///
    /// # Errors
    /// When stdin is closed.
    pub fn write(&mut self, text: &str) -> Result<()> {
        let stdin = self.stdin.as_mut().with_context(|| format!("stdin of `{}` is closed", self.name))?;
        stdin.write_all(text.as_bytes())?;
        stdin.flush()?;
        Ok(())
    }

    /// Closes its stdin.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Sends a signal by name (`TERM`, `INT`, `KILL`, `STOP`, `CONT`) to the child alone.
    ///
    /// # Errors
    /// When it is gone already.
    pub fn signal(&self, name: &str) -> Result<()> {
        if !self.is_alive() {
            bail!("`{}` has ended already", self.name);
        }
        let mut send = Command::new("/bin/sh");
        send.args(["-c", "kill -s \"$1\" \"$2\"", "sh", name]).arg(self.pid.to_string());
        finish(&mut send, &format!("kill -s {name}"))
    }

    /// What it said so far, for error messages.
    #[must_use]
    pub fn said(&self) -> String {
        let mut said = self.out.all();
        said.extend(self.err.all());
        said.join("\n")
    }

    fn stream(&self, output: Output) -> &Lines {
        match output {
            Output::Out => &self.out,
            Output::Err => &self.err,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stdin = None;
        if let Some(leash) = self.leash.take() {
            leash.pull(!self.is_alive());
        }
    }
}

fn create_log(path: &Path) -> Result<File> {
    File::create(path).with_context(|| format!("creating `{}`", path.display()))
}

fn finish(command: &mut Command, what: &str) -> Result<()> {
    let status = command.stderr(Stdio::null()).status().with_context(|| format!("running `{what}`"))?;
    if status.success() { Ok(()) } else { bail!("`{what}` failed with {status}") }
}

/// The thread owns the child, so it is always reaped, also when no runtime is running any more.
fn wait_in_thread(mut child: Child) -> watch::Receiver<Option<ExitStatus>> {
    let (tell, ended) = watch::channel(None);
    std::thread::spawn(move || {
        if let Ok(status) = child.wait() {
            tell.send_replace(Some(status));
        }
    });
    ended
}

// === impl Lines ===

/// The lines of one output; read by a thread, so a busy runtime never stops the child.
#[derive(Clone, Debug)]
struct Lines {
    kept: Arc<Mutex<Vec<String>>>,
    progress: watch::Receiver<Progress>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    lines: usize,
    complete: bool,
}

impl Lines {
    fn collect(from: Option<impl Read + Send + 'static>, mut log: Option<File>) -> Self {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let (tell, progress) = watch::channel(Progress::default());
        let filled = Arc::clone(&kept);
        std::thread::spawn(move || {
            let mut reader = from.map(BufReader::new);
            let mut raw = Vec::new();
            while let Some(Ok(1..)) = reader.as_mut().map(|reader| reader.read_until(b'\n', &mut raw)) {
                if let Some(log) = log.as_mut() {
                    // A log that cannot be written must not stop the child; the lines are kept anyway.
                    let _ = log.write_all(&raw);
                }
                let line = String::from_utf8_lossy(&raw).trim_end_matches(['\n', '\r']).to_owned();
                raw.clear();
                let lines = {
                    let mut filled = filled.lock().unwrap_or_else(PoisonError::into_inner);
                    filled.push(line);
                    filled.len()
                };
                tell.send_replace(Progress { lines, complete: false });
            }
            tell.send_modify(|progress| progress.complete = true);
        });
        Self { kept, progress }
    }

    fn all(&self) -> Vec<String> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn first(&self, wanted: impl Fn(&str) -> bool) -> Option<String> {
        let mut progress = self.progress.clone();
        let mut seen = 0;
        loop {
            let now = *progress.borrow_and_update();
            let found = {
                let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.iter().skip(seen).find(|line| wanted(line)).cloned()
            };
            if found.is_some() {
                return found;
            }
            seen = now.lines;
            if now.complete || progress.changed().await.is_err() {
                return None;
            }
        }
    }

    async fn complete(&self) {
        // An error means that the reader is gone, which is as complete as it gets.
        let _ = self.progress.clone().wait_for(|progress| progress.complete).await;
    }
}

// === impl Leash ===

/// Ends a process group and removes folders when its pipe closes.
#[derive(Debug)]
pub(crate) struct Leash {
    shell: Child,
}

const LEASH: &str = r#"
trap '' INT TERM HUP
pid=$1 signal=$2 tenths=$3; shift 3
read -r word
if [ "$word" != ended ]; then
  kill -s "$signal" "$pid" 2>/dev/null
  # One that has ended but that nobody has asked about yet is as good as gone.
  while kill -s 0 "$pid" 2>/dev/null && ! grep -q '^State:.Z' "/proc/$pid/status" 2>/dev/null && [ "$tenths" -gt 0 ]; do sleep 0.1; tenths=$((tenths - 1)); done
  kill -s KILL "-$pid" 2>/dev/null
fi
for folder in "$@"; do rm -rf -- "$folder"; done
"#;

impl Leash {
    pub(crate) fn tie(pid: u32, signal: &str, folders: &[PathBuf]) -> Result<Self> {
        let shell = Command::new("/bin/sh")
            .args(["-c", LEASH, "leash", &pid.to_string(), signal, &KIND_TENTHS_MAX.to_string()])
            .args(folders)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("starting /bin/sh")?;
        Ok(Self { shell })
    }

    /// `ended` spares the process id, which may belong to a stranger by now.
    pub(crate) fn pull(mut self, ended: bool) {
        if let Some(mut pipe) = self.shell.stdin.take()
            && ended
        {
            // When the shell is gone there is nobody to tell.
            let _ = pipe.write_all(b"ended\n");
        }
        // Waiting makes the drop complete: no process and no folder is left when it returns.
        let _ = self.shell.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn lines_can_be_waited_for_as_they_come() {
        let keep = Keep { stdin: true, ..Keep::default() };
        let mut child = Running::spawn(shell("echo one; read x; echo got $x >&2"), keep).unwrap();
        assert_eq!(child.line(Output::Out, SOON, |line| line == "one").await.unwrap(), "one");
        child.write("two\n").unwrap();
        assert_eq!(child.line(Output::Err, SOON, |line| line.contains("two")).await.unwrap(), "got two");
        assert!(child.ended(SOON).await.unwrap().success());
        assert!(child.line(Output::Out, SOON, |line| line == "never").await.is_err());
    }

    #[tokio::test]
    async fn a_dropped_child_and_its_folder_are_gone_when_the_drop_returns() {
        let folder = crate::scratch::new_folder("leash").unwrap();
        let keep = Keep { folders: vec![folder.clone()], ..Keep::default() };
        let child = Running::spawn(shell("echo up; exec sleep 600"), keep).unwrap();
        child.line(Output::Out, SOON, |line| line == "up").await.unwrap();
        let mut ended = child.ended.clone();
        drop(child);
        assert!(!folder.exists());
        assert!(ended.wait_for(Option::is_some).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn a_child_that_ignores_the_kind_signal_is_killed() {
        let mut child = Running::spawn(shell("echo up; exec sleep 600"), Keep::default()).unwrap();
        child.line(Output::Out, SOON, |line| line == "up").await.unwrap();
        assert!(child.resident_bytes().unwrap() > 0);
        child.signal("KILL").unwrap();
        assert!(!child.ended(SOON).await.unwrap().success());
        assert!(child.signal("TERM").is_err());
    }
}
