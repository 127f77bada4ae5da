//! The story as a table of scenes, in the order in which they are told. What happens in each stands beside.

mod changes;
mod export;
mod log;
mod reads;
mod reveal;

use std::pin::Pin;

use anyhow::Result;
use countersign_sim::running::Running;

use super::Story;
use super::agent::{self, Held};
use super::person::{Ended, Wish};
use countersign_sim::configured::AGENT;

/// A scene in play.
type Playing<'a> = Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

/// One scene.
pub struct Scene {
    /// Its title.
    pub title: &'static str,
    /// What it is about, before it plays.
    pub about: &'static str,
    /// Plays it.
    pub play: for<'a> fn(&'a mut Story) -> Playing<'a>,
}

/// The story.
pub const SCENES: &[Scene] = &[
    Scene {
        title: "Harmless reads pass",
        about: "An agent, etl-agent, works on the shop's database through psql. It connects to Countersign instead of \
                the server, with a token of its own that is good for some hours; the server's password it never sees.",
        play: |story| Box::pin(reads::harmless(story)),
    },
    Scene {
        title: "Personal data comes back masked",
        about: "The catalogue labels columns that hold personal or payment data. The agent may read them a few rows \
                at a time, and sees what is left of them: a token for names, a part of an address, nothing of a phone \
                number or a card.",
        play: |story| Box::pin(reads::masked(story)),
    },
    Scene {
        title: "An export waits for a person",
        about: "Now the agent wants all customers. That is held on the live connection: psql waits, and says where \
                and by which code it can be approved. Mara Lindqvist owns the agent, so she may not; you may.",
        play: |story| Box::pin(export::first(story)),
    },
    Scene {
        title: "An approval is for once",
        about: "The agent sends the same COPY again.",
        play: |story| Box::pin(export::again(story)),
    },
    Scene {
        title: "Seeing in clear is another action",
        about: "No approval so far showed an address. The agent can ask for one in clear, and has to say so.",
        play: |story| Box::pin(reveal::one(story)),
    },
    Scene {
        title: "A person says no, and why",
        about: "The agent forgets a WHERE.",
        play: |story| Box::pin(changes::refused(story)),
    },
    Scene {
        title: "The agent's own tables are its own",
        about: "The catalogue says that the feature tables belong to this agent: writing there needs nobody.",
        play: |story| Box::pin(changes::own(story)),
    },
    Scene {
        title: "No more than was approved",
        about: "What is approved has a bound, counted before you see it. Here the shop changes while you decide: \
                others return orders too, so that the statement would touch more rows than you were shown.",
        play: |story| Box::pin(changes::over_bound(story)),
    },
    Scene {
        title: "The log can be checked",
        about: "All of this is in a Merkle log in a public format: each intent before its effect, each decision under \
                its person's own signature. `countersign verify` trusts none of it and recomputes everything.",
        play: |story| Box::pin(log::verified(story)),
    },
];

impl Story {
    /// Shows what the agent types.
    fn typed(&self, sql: &str) {
        sql.lines().for_each(|line| self.voice.typed(&format!("{AGENT}=>"), line));
    }

    /// Shows what the agent types, starts it, and waits until the agent is told that it is held.
    async fn ask(&self, sql: &str) -> Result<(Running, Held)> {
        self.typed(sql);
        let psql = self.stage.agent.start(sql)?;
        let held = Held::seen_by(&psql).await?;
        self.voice.shown(&agent::said(&psql));
        self.voice.checked(&format!("held as {}, with a link and a code", held.id), true)?;
        Ok((psql, held))
    }

    /// Has it decided. `None` where the player decided otherwise than the scene is about.
    async fn decided(&self, psql: Running, held: &Held, wish: Wish) -> Result<Option<Ended>> {
        let ended = self.person.answer(&self.stage, &self.voice, held, psql, wish).await?;
        let refused_by_person = ended.stderr.iter().any(|line| line.contains("a person refused"));
        let as_told = refused_by_person == matches!(wish, Wish::Deny(_));
        if self.person.is_player() && !as_told {
            self.voice.tell("You decided otherwise than this scene has it, and so it went:");
            self.voice.shown(&ended.refusal());
            return Ok(None);
        }
        Ok(Some(ended))
    }
}
