//! PostgreSQL's own regression files, each once direct and once through a gate that allows everything, in a fresh
//! database each time, their whole outputs compared. Knows no message of the protocol.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use countersign_sim::scratch::Folder;

use super::differ::{Hunk, compare};
use super::known::{Judged, Known};
use super::schedule::{self, File};
use super::source;
use super::stage::{Stage, Way};

/// How many hunks are shown of a file that differs where the list knows nothing of it.
const SHOWN_HUNKS_MAX: usize = 12;
/// How many lines of each side.
const SHOWN_LINES_MAX: usize = 6;

/// What is compared.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Extent {
    /// These files; all where none is named.
    files: Vec<String>,
    /// Of those one part of several, counted from one.
    part: Option<(usize, usize)>,
    /// Where outputs stay for people to look at.
    keep: Option<PathBuf>,
}

impl Extent {
    pub(super) fn parse(arguments: &[String]) -> Result<Self> {
        let mut extent = Self::default();
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--keep" => extent.keep = Some(words.next().context("`--keep` wants a folder")?.into()),
                "--part" => extent.part = Some(part(words.next().context("`--part` wants N/M")?)?),
                flag if flag.starts_with("--") => bail!("unknown argument `{flag}`"),
                file => extent.files.push(file.to_owned()),
            }
        }
        Ok(extent)
    }

    fn choose(&self, all: Vec<File>) -> Result<Vec<File>> {
        for name in &self.files {
            ensure!(all.iter().any(|file| file.name == *name), "there is no regression file `{name}`");
        }
        let named = |file: &File| self.files.is_empty() || self.files.contains(&file.name);
        let chosen: Vec<File> = all.into_iter().filter(named).collect();
        let (number, parts) = self.part.unwrap_or((1, 1));
        let within = |at: &usize| at % parts == number - 1;
        Ok(chosen.into_iter().enumerate().filter(|(at, _)| within(at)).map(|(_, file)| file).collect())
    }

    fn is_whole(&self) -> bool {
        self.files.is_empty() && self.part.is_none()
    }
}

fn part(text: &str) -> Result<(usize, usize)> {
    let both = text.split_once('/').and_then(|(n, m)| Some((n.parse().ok()?, m.parse().ok()?)));
    match both {
        Some((number, parts)) if number >= 1 && number <= parts => Ok((number, parts)),
        _ => bail!("`{text}` is no part: expected N/M"),
    }
}

pub(super) fn run(extent: &Extent) -> Result<()> {
    let regress = source::folder()?;
    let files = extent.choose(schedule::files(&regress)?)?;
    let known = Known::committed().context("the list of known differences")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let stage = Stage::open(&regress, schedule::SETUP).await?;
        compare_all(&stage, &files, &known, extent).await
    })
}

async fn compare_all(stage: &Stage, files: &[File], known: &Known, extent: &Extent) -> Result<()> {
    let scratch = Folder::new("compare")?;
    let outputs = extent.keep.clone().unwrap_or_else(|| scratch.path().to_owned());
    std::fs::create_dir_all(&outputs)?;
    let (mut same, mut unknown, mut said) = (0, 0, Vec::new());
    for file in files {
        let begun = Instant::now();
        let hunks = compare_one(stage, file, &outputs).await.with_context(|| file.name.clone())?;
        let judged = known.judge(&file.name, &hunks);
        let told = verdict(&hunks, &judged);
        println!("{:<24}{told}  ({:.1} s)", file.name, begun.elapsed().as_secs_f64());
        same += usize::from(hunks.is_empty());
        if !judged.is_known() {
            unknown += 1;
            show(&judged.further);
        }
        said.extend(judged.said);
    }
    if extent.keep.is_some() {
        std::fs::copy(stage.gate_log(), outputs.join("gate.log"))?;
    }
    println!("{same} of {} files the same to the byte", files.len());
    ensure!(unknown == 0, "{unknown} files differ otherwise than the list of known differences says");
    if extent.is_whole() {
        let idle = known.idle(&said);
        ensure!(idle.is_empty(), "listed, and nothing differs by it any more: {}", idle.join("; "));
    }
    Ok(())
}

async fn compare_one(stage: &Stage, file: &File, outputs: &std::path::Path) -> Result<Vec<Hunk>> {
    let output = |way| outputs.join(format!("{}.{way}", file.name));
    let (direct, gate) = (output("direct"), output("gate"));
    for (way, path) in [(Way::Direct, &direct), (Way::Gate, &gate)] {
        stage.renew(&file.needs).await?;
        stage.run(way, &file.name, path).await?;
    }
    ensure!(stage.gate_lives(), "the gate has ended");
    compare(&direct, &gate)
}

fn verdict(hunks: &[Hunk], judged: &Judged) -> String {
    if hunks.is_empty() && judged.counted == 0 {
        return "same".to_owned();
    }
    let lines: usize = hunks.iter().map(Hunk::lines).sum();
    let known = if judged.is_known() { "all known" } else { "NOT as listed" };
    let (said, further, counted) = (judged.said.len(), judged.further.len(), judged.counted);
    format!(
        "{lines} lines differ: {said} hunks by what the gate says, {further} others of {counted} listed: {known}"
    )
}

fn show(hunks: &[Hunk]) {
    for hunk in hunks.iter().take(SHOWN_HUNKS_MAX) {
        println!("    line {}", hunk.at);
        for (mark, lines) in [('<', &hunk.left), ('>', &hunk.right)] {
            lines.iter().take(SHOWN_LINES_MAX).for_each(|line| println!("    {mark} {line}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn parts_cover_every_file_once() {
        let all: Vec<File> =
            words("a b c d e").into_iter().map(|name| File { name, needs: Vec::new() }).collect();
        let names = |arguments: &str| {
            let extent = Extent::parse(&words(arguments)).unwrap();
            let chosen = extent.choose(all.clone()).unwrap();
            chosen.into_iter().map(|file| file.name).collect::<Vec<_>>().join(" ")
        };
        assert_eq!((names("--part 1/2"), names("--part 2/2")), ("a c e".to_owned(), "b d".to_owned()));
        assert_eq!((names(""), names("b e")), ("a b c d e".to_owned(), "b e".to_owned()));
        assert!(Extent::parse(&words("z")).unwrap().choose(all.clone()).is_err());
        for wrong in ["--part 3/2", "--part 0/2", "--part x", "--keep", "--all"] {
            assert!(Extent::parse(&words(wrong)).is_err(), "{wrong}");
        }
    }
}
