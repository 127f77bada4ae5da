//! How the story speaks: plain lines, colours only where somebody looks. Knows nothing of what it tells.

use std::io::{IsTerminal, Write};
use std::time::Instant;

use anyhow::{Result, bail};

/// The widest line of prose.
const WIDTH: usize = 100;
/// How much of a long output is shown.
const SHOWN_LINES_MAX: usize = 24;
/// The longest line of an output that is shown.
const SHOWN_CHARS_MAX: usize = 170;

/// A voice on stdout.
#[derive(Clone, Copy, Debug)]
pub struct Voice {
    colours: bool,
}

/// What a line is, as far as its colour goes.
#[derive(Clone, Copy)]
enum Tint {
    Strong,
    Soft,
    Good,
    Mind,
}

impl Voice {
    /// Colours where stdout is a terminal, and none where it is read by a program.
    pub fn for_stdout() -> Self {
        Self { colours: std::io::stdout().is_terminal() }
    }

    /// The title of all.
    pub fn title(self, name: &str, about: &str) {
        say(&format!("\n{}", self.tinted(Tint::Strong, name)));
        self.tell(about);
    }

    /// The title of a scene.
    pub fn heading(self, title: &str) {
        say(&format!("\n{}", self.tinted(Tint::Strong, title)));
    }

    /// Prose.
    pub fn tell(self, text: &str) {
        wrapped(text, WIDTH).iter().for_each(|line| say(&format!("   {line}")));
    }

    /// What somebody types.
    pub fn typed(self, who: &str, text: &str) {
        say(&format!("   {} {text}", self.tinted(Tint::Strong, who)));
    }

    /// What a program answers.
    pub fn shown(self, lines: &[String]) {
        let lines: Vec<&String> = lines.iter().filter(|line| !line.trim().is_empty()).collect();
        for line in lines.iter().take(SHOWN_LINES_MAX) {
            let cut: String = line.chars().take(SHOWN_CHARS_MAX).collect();
            say(&self.tinted(Tint::Soft, &format!("     {cut}")));
        }
        if lines.len() > SHOWN_LINES_MAX {
            say(&self.tinted(Tint::Soft, &format!("     … and {} more lines", lines.len() - SHOWN_LINES_MAX)));
        }
    }

    /// What the reader must see: a link, a code, a command.
    pub fn offered(self, what: &str, text: &str) {
        say(&format!("     {what:<22} {}", self.tinted(Tint::Mind, text)));
    }

    /// Tells a claim that was checked; one that does not hold ends the story.
    pub fn checked(self, claim: &str, holds: bool) -> Result<()> {
        if !holds {
            bail!("this was to be shown, and does not hold: {claim}");
        }
        say(&format!("   {} {claim}", self.tinted(Tint::Good, "✓")));
        Ok(())
    }

    /// Says what takes a while, and how long it took.
    pub async fn work<T>(self, what: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
        let begun = Instant::now();
        write(&format!("   {what} … "));
        let done = work.await;
        match &done {
            Ok(_) => say(&self.tinted(Tint::Soft, &format!("{:.1} s", begun.elapsed().as_secs_f64()))),
            Err(_) => say("failed"),
        }
        done
    }

    fn tinted(self, tint: Tint, text: &str) -> String {
        if !self.colours {
            return text.to_owned();
        }
        let code = match tint {
            Tint::Strong => "1",
            Tint::Soft => "2",
            Tint::Good => "32",
            Tint::Mind => "36",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

fn say(line: &str) {
    write(&format!("{line}\n"));
}

/// A reader that has gone away is no reason to stop half way: the story ends where it ends.
fn write(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let Some(last) = lines.last_mut() else { break };
        if !last.is_empty() && last.chars().count() + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
            continue;
        }
        if !last.is_empty() {
            last.push(' ');
        }
        last.push_str(word);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_that_does_not_hold_ends_the_story() {
        let voice = Voice { colours: false };
        assert!(voice.checked("it holds", true).is_ok());
        assert!(voice.checked("it does not", false).unwrap_err().to_string().contains("it does not"));
    }

    #[test]
    fn prose_is_wrapped_at_words() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("longer-than-wide", 3), ["longer-than-wide"]);
    }
}
