//! `cargo xtask demo [--auto] [--ssh] [--screens DIR]`: the story of the product, on real parts, each claim checked
//! as it is told. Knows the order of things; the scenes know what happens in them.

mod agent;
mod config;
mod key;
mod person;
mod play;
mod scenes;
mod screens;
mod seat;
mod stage;
mod voice;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use tokio::signal::unix::{SignalKind, signal};

use person::Person;
use stage::Stage;
use voice::Voice;

/// How the story is played.
#[derive(Debug, Default)]
struct Options {
    /// Plays the person too.
    auto: bool,
    /// Decisions are signed with an SSH key in the terminal.
    ssh: bool,
    /// Where pictures of the pages go.
    screens: Option<PathBuf>,
}

/// Everything that a scene needs.
struct Story {
    voice: Voice,
    person: Person,
    stage: Stage,
}

/// Runs the chore.
pub fn run(arguments: &[String]) -> Result<()> {
    let options = options(arguments)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        tokio::select! {
            told = tell(&options) => told,
            stopped = stopped() => {
                stopped?;
                println!("\nStopping, and putting everything away.");
                Ok(())
            }
        }
    })
}

fn options(arguments: &[String]) -> Result<Options> {
    let mut options = Options::default();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--auto" => options.auto = true,
            "--ssh" => options.ssh = true,
            "--screens" => options.screens = Some(PathBuf::from(rest.next().context("--screens DIR")?)),
            other => bail!("unknown argument `{other}`: ./demo [--auto] [--ssh] [--screens DIR]"),
        }
    }
    if options.screens.is_some() && (!options.auto || options.ssh) {
        bail!(
            "--screens takes pictures in the browser that --auto drives: give it with --auto and without --ssh"
        );
    }
    Ok(options)
}

/// Ctrl-C, a terminal that is closed, a kind kill: all end the story, and dropping it puts everything away.
async fn stopped() -> Result<()> {
    let (mut int, mut term, mut hup) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?);
    tokio::select! { _ = int.recv() => {}, _ = term.recv() => {}, _ = hup.recv() => {} }
    Ok(())
}

async fn tell(options: &Options) -> Result<()> {
    let voice = Voice::for_stdout();
    let begun = Instant::now();
    voice.title(
        "Countersign",
        "Agents work through it. What is not harmless waits for a person, runs once, and is on the record.",
    );
    voice.heading("The stage");
    let stage = Stage::open(&voice).await?;
    let person = Person::take_a_seat(options, &voice).await?;
    let mut story = Story { voice, person, stage };
    for (at, scene) in scenes::SCENES.iter().enumerate() {
        story.voice.heading(&format!("{}. {}", at + 1, scene.title));
        story.voice.tell(scene.about);
        (scene.play)(&mut story).await.with_context(|| format!("scene {}, \"{}\"", at + 1, scene.title))?;
    }
    story.person.leave().await?;
    if options.auto {
        story.voice.heading("The end");
        story.voice.tell(&format!("Told and checked in {:.0} s.", begun.elapsed().as_secs_f64()));
        return Ok(());
    }
    play::stay(&story).await
}
