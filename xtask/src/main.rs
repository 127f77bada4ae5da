//! One door to every chore: `cargo xtask CHORE`. Each chore is a file; this knows their names only.

mod bench;
mod chaos;
mod check;
mod compare;
mod demo;
mod fuzz;
mod holds;
mod kill9;
mod servers;
mod steps;
mod test;
mod tidy;

use std::process::ExitCode;

/// One chore.
struct Chore {
    name: &'static str,
    about: &'static str,
    run: fn(&[String]) -> anyhow::Result<()>,
}

const CHORES: &[Chore] = &[
    Chore {
        name: "check",
        about: "the quick gate: format, tidy, clippy, unit tests of the pure crates",
        run: check::run,
    },
    Chore { name: "tidy", about: "the rules of this code base that a program can see", run: tidy::run },
    Chore {
        name: "test",
        about: "every test, with the time of each suite (./test sets up and calls this)",
        run: test::run,
    },
    Chore {
        name: "servers",
        about: "the end-to-end tests against every PostgreSQL that is found here, or in the folders given",
        run: servers::run,
    },
    Chore {
        name: "demo",
        about: "the story (./demo sets up, builds and calls this); --auto plays it by itself",
        run: demo::run,
    },
    Chore {
        name: "kill9",
        about: "kills the gate at random moments under load and checks the log",
        run: kill9::run,
    },
    Chore {
        name: "fuzz",
        about: "every parser of foreign bytes under libFuzzer, a minute each",
        run: fuzz::run,
    },
    Chore {
        name: "chaos",
        about: "slow, silent and reset links and a failing server under load, again and again, and what must hold",
        run: chaos::run,
    },
    Chore {
        name: "holds",
        about: "ten thousand statements held at once: what each costs, and what they do to a reader",
        run: holds::run,
    },
    Chore {
        name: "bench",
        about: "`bench postgres`: direct, PgBouncer and Countersign side by side",
        run: bench::run,
    },
    Chore {
        name: "compare",
        about: "`compare regress`, `compare drivers`: PostgreSQL's and drivers' own tests, direct and through the gate",
        run: compare::run,
    },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let wanted = arguments.first().map(String::as_str).unwrap_or_default();
    let Some(chore) = CHORES.iter().find(|chore| chore.name == wanted) else {
        eprintln!("usage: cargo xtask CHORE\n");
        for Chore { name, about, .. } in CHORES {
            eprintln!("  {name:<8} {about}");
        }
        return ExitCode::from(2);
    };
    match (chore.run)(arguments.get(1..).unwrap_or_default()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{wanted}: {error:#}");
            ExitCode::FAILURE
        }
    }
}
