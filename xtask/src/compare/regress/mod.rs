//! PostgreSQL's own regression files, each once direct and once through a gate that allows everything, in a fresh
//! database each time, their whole outputs compared. Knows no message of the protocol.

mod differ;
mod known;
mod outputs;
mod schedule;
mod source;
mod stage;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::open_gate::Way;
use differ::Hunk;
use known::{Judged, Known};
use outputs::Outputs;
use schedule::File;
use stage::Stage;

/// How many hunks are shown of a file that differs where the list knows nothing of it.
const SHOWN_HUNKS_MAX: usize = 12;
/// How many lines of each side.
const SHOWN_LINES_MAX: usize = 6;

/// Those that take a moment and use what clients use: every kind of message, types, transactions, cursors, COPY.
const QUICK: &str = "advisory_lock arrays async bit boolean case char copy copy2 copydml copyselect date enum errors expressions \
    float8 horology interval json jsonb_jsonpath namespace numeric plancache portals prepare prepared_xacts psql regex select \
    select_distinct select_into strings subselect temp text timestamptz transactions truncate tsrf txid union uuid window \
    xmlmap";

/// What is compared.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Extent {
    /// These files; all where none is named.
    files: Vec<String>,
    /// Of those one part of several, counted from one.
    part: Option<(usize, usize)>,
    /// What was compared before with the same gate is not run again.
    resume: bool,
    /// After so many no other file is begun.
    minutes: Option<u64>,
}

impl Extent {
    pub(super) fn parse(arguments: &[String]) -> Result<Self> {
        let mut extent = Self::default();
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--resume" => extent.resume = true,
                "--quick" => extent.files.extend(QUICK.split_whitespace().map(str::to_owned)),
                "--minutes" => {
                    let minutes = words.next().context("`--minutes` wants a number")?;
                    extent.minutes = Some(minutes.parse().context("`--minutes` wants a number")?);
                }
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

    fn until(&self) -> Option<Instant> {
        Some(Instant::now() + Duration::from_secs(60 * self.minutes?))
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

/// Sees that PostgreSQL's files are here.
pub(super) fn fetch() -> Result<()> {
    source::folder().map(drop)
}

pub(super) fn run(extent: &Extent) -> Result<()> {
    let regress = source::folder()?;
    let files = extent.choose(schedule::files(&regress)?)?;
    let known = Known::committed().context("the list of known differences")?;
    let outputs = Outputs::open(extent)?;
    let left: Vec<&File> = files.iter().filter(|file| !outputs.has(&file.name)).collect();
    if left.len() < files.len() {
        println!(
            "{} of {} files were compared before, with the same gate",
            files.len() - left.len(),
            files.len()
        );
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    if !left.is_empty() {
        runtime.block_on(compare_all(&regress, &left, &known, &outputs, extent.until()))?;
    }
    conclude(&files, &known, &outputs, extent)
}

/// Runs what is left, for as long as there is time, and says of each file how it went.
async fn compare_all(
    regress: &Path,
    files: &[&File],
    known: &Known,
    outputs: &Outputs,
    until: Option<Instant>,
) -> Result<()> {
    let stage = Stage::open(regress).await?;
    for (at, file) in files.iter().enumerate() {
        if until.is_some_and(|until| Instant::now() >= until) {
            break;
        }
        let took = compare_one(&stage, file, outputs).await.with_context(|| file.name.clone())?;
        let hunks = outputs.hunks(&file.name)?;
        let told = verdict(&hunks, &known.judge(&file.name, &hunks));
        let [direct, gate] = took.map(|took| took.as_secs_f64());
        println!("{:>3}/{} {:<24}{told}  ({direct:.1} s, {gate:.1} s)", at + 1, files.len(), file.name);
    }
    std::fs::copy(stage.gate().log(), outputs.folder.join("gate.log"))?;
    Ok(())
}

async fn compare_one(stage: &Stage, file: &File, outputs: &Outputs) -> Result<[Duration; 2]> {
    let mut took = [Duration::ZERO; 2];
    for (way, took) in [Way::Direct, Way::Gate].into_iter().zip(&mut took) {
        stage.renew(&file.needs).await?;
        let begun = Instant::now();
        stage.run(way, &file.name, &outputs.of(&file.name, way)).await?;
        *took = begun.elapsed();
    }
    stage.gate().alive()?;
    outputs.note(&file.name)?;
    Ok(took)
}

/// The table at the end, and whether all is as the list says.
fn conclude(files: &[File], known: &Known, outputs: &Outputs, extent: &Extent) -> Result<()> {
    let (mut same, mut listed, mut other, mut left, mut said) = (0, 0, Vec::new(), 0, Vec::new());
    for file in files {
        if !outputs.has(&file.name) {
            left += 1;
            continue;
        }
        let hunks = outputs.hunks(&file.name)?;
        let judged = known.judge(&file.name, &hunks);
        if !judged.is_known() {
            println!("\n{}: {}", file.name, verdict(&hunks, &judged));
            show(&judged.further);
            other.push(file.name.as_str());
        } else if hunks.is_empty() {
            same += 1;
        } else {
            listed += 1;
        }
        said.extend(judged.said);
    }
    println!(
        "\n| files | |\n|---|---|\n| the same to the byte | {same} |\n| with known differences | {listed} |"
    );
    println!("| with other differences | {} |\n| not compared | {left} |", other.len());
    ensure!(other.is_empty(), "otherwise than the list of known differences says: {}", other.join(", "));
    ensure!(left == 0, "{left} files are left: run it again with --resume");
    if extent.is_whole() {
        let idle = known.idle(&said);
        ensure!(idle.is_empty(), "listed, and nothing differs by it any more: {}", idle.join("; "));
    }
    Ok(())
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
        for wrong in ["--part 3/2", "--part 0/2", "--part x", "--minutes", "--minutes x", "--all"] {
            assert!(Extent::parse(&words(wrong)).is_err(), "{wrong}");
        }
    }
}
