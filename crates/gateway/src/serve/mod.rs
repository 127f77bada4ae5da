//! `serve`: puts the house together, listens, and takes it apart in good order. Decides nothing.

mod drain;
mod messages;
mod metrics;
mod ops;
mod ready;
mod ticks;
mod web;

use crate::api;
use crate::assembly::House;
use crate::control;
use crate::invites::Book;
use anyhow::{Context, Result, anyhow};
use countersign_core::digest::sha256;
use countersign_core::id::TargetName;
use countersign_desk::{Clock, Desk, Parts};
use countersign_identity::envelope::WebauthnExpect;
use countersign_identity::sessions::Challenges;
use countersign_protocols::postgres::serve::{Authenticator, Bound, ServeError, bind};
use countersign_protocols::sql::parser::Pool;
use countersign_store::{Options, Store, StoreKeys};
use metrics::Metrics;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Runs the gate until it is told to stop.
///
/// # Errors
/// Something is not as it must be; nothing is served then.
pub async fn run(path: &Path, json: bool) -> Result<ExitCode> {
    let mut signals = drain::Signals::listen()?;
    let house = House::load(path)?;
    messages::begin(&house.config)?;
    let (store, recovery) = open(&house)?;
    let metrics = Arc::new(Metrics::default());
    let desk = desk(&house, store.clone(), &recovery).await?;
    let verifier = publish_verifier(&house)?;
    let (stop, stopped) = watch::channel(false);
    let authenticator = Arc::new(Authenticator { key: house.keys.token()?, agents: house.agents.clone() });
    let gates = gates(&house, &desk, &authenticator, &stopped).await?;
    let addresses = gates.iter().map(|(name, gate)| Ok((name.clone(), gate.address()?)));
    let addresses: BTreeMap<_, _> = addresses.collect::<std::io::Result<_>>()?;

    let web = web::listen(&house.config).await?;
    let ops = ops::listen(house.config.ops_listen).await?;
    let socket = house.config.control_socket();
    let control =
        control::server::bind(&socket).with_context(|| format!("cannot listen at `{}`", socket.display()))?;
    let lines = ready::Ready {
        public_url: house.config.public_url.clone(),
        web: web.address()?,
        ops: ops.local_addr()?,
        control: socket.clone(),
        targets: addresses,
    };

    let draining = Arc::new(AtomicBool::new(false));
    let ticks = ticks::begin(&desk, &metrics)?;
    let mut tasks = JoinSet::new();
    let pages = inbox(&house, &desk, verifier)?.merge(calls(&house, &desk, authenticator, &gates));
    tasks.spawn(web.serve(pages, stopped.clone()));
    tasks.spawn(ops::serve(ops, ops::Ops::new(&desk, &metrics, &draining), stopped.clone()));
    tasks.spawn(serve_control(control, door(&house, &desk)?, stopped.clone()));
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let mut serving = JoinSet::new();
    for (name, gate) in gates {
        serving.spawn(async move { (name, gate.serve(workers).await) });
    }
    lines.print(json);
    tracing::info!(web = %lines.web, ops = %lines.ops, targets = lines.targets.len(), "ready");

    let failed = wait(&mut signals, &mut serving, &store).await;
    draining.store(true, Ordering::Release);
    signals.exit_at_once_on_the_next();
    let drained = drain::drain(&desk, &stop, serving, tasks, ticks).await;
    // A socket that nobody answers would only puzzle the next command.
    let _ = std::fs::remove_file(&socket);
    match (failed, drained) {
        (None, Ok(())) => Ok(ExitCode::SUCCESS),
        (Some(error), _) | (None, Err(error)) => Err(error),
    }
}

fn open(house: &House) -> Result<(Store, countersign_store::Recovery)> {
    let keys = StoreKeys {
        vault: house.keys.read(crate::keys::Name::Vault)?,
        log: house.keys.log(&house.config.origin)?,
    };
    let folder = &house.config.data_dir;
    let (store, recovery) = Store::open(folder, keys, Options::default())
        .with_context(|| format!("the store in `{}` does not open", folder.display()))?;
    tracing::info!(
        entries = recovery.entries,
        clean = recovery.clean,
        torn_bytes = recovery.torn_bytes,
        folded = recovery.folded,
        rebuilt = recovery.rebuilt,
        "the store is open"
    );
    Ok((store, recovery))
}

async fn desk(house: &House, store: Store, recovery: &countersign_store::Recovery) -> Result<Desk> {
    let first = house.people.person(&house.config.first_approver);
    let first = first.ok_or_else(|| anyhow!("`{}` is not a person", house.config.first_approver))?;
    let parts = Parts {
        store,
        // The bundle keeps its answers: the gate has one of its own.
        bundle: crate::assembly::bundle(&house.config)?,
        policy: house.policy,
        people: house.people.clone(),
        gate_key: house.keys.gate()?,
        match_key: house.keys.read(crate::keys::Name::Match)?,
        clock: Clock::new(crate::clock::now),
        limits: house.config.limits.clone(),
        origin: house.config.origin.clone(),
        first_approver: first.pseudonym.clone(),
        continues: crate::commands::continues(&house.config.data_dir)?,
    };
    let desk = Desk::start(parts, recovery).await.context("the desk does not open")?;
    crate::commands::continued(&house.config.data_dir)?;
    // What recovery settled is in a signed checkpoint before anybody is told that the gate is ready.
    desk.store().checkpoint().await.context("the log cannot be signed")?;
    Ok(desk)
}

// Beside the tiles, so that whoever has the folder can check it. Auditors who trust nobody have it from elsewhere.
fn publish_verifier(house: &House) -> Result<String> {
    let verifier = house.keys.log(&house.config.origin)?.verifier().to_string();
    let path = house.config.data_dir.join("tiles").join(countersign_verify::VKEY_PATH);
    std::fs::write(&path, format!("{verifier}\n"))
        .with_context(|| format!("cannot write `{}`", path.display()))?;
    Ok(verifier)
}

async fn gates(
    house: &House,
    desk: &Desk,
    authenticator: &Arc<Authenticator>,
    stopped: &watch::Receiver<bool>,
) -> Result<Vec<(TargetName, Bound)>> {
    let pool = Arc::new(Pool::start().context("the parser's threads cannot be started")?);
    let mut gates = Vec::new();
    for (name, target) in &house.config.targets {
        let settings = house.target_settings(name, target)?;
        let (authenticator, pool) = (Arc::clone(authenticator), Arc::clone(&pool));
        let bound = bind(settings, authenticator, desk.clone(), pool, stopped.clone()).await?;
        gates.push((name.clone(), bound));
    }
    Ok(gates)
}

fn page(house: &House) -> WebauthnExpect {
    WebauthnExpect { rp_id: house.config.rp_id.clone(), origin: house.config.public_url.clone() }
}

fn inbox(house: &House, desk: &Desk, verifier: String) -> Result<axum::Router> {
    let readers = house.config.reader_tokens.iter();
    let readers = readers.map(|token| Ok(sha256(token.read()?.expose().as_bytes())));
    let parts = countersign_channels::web::wire::Parts {
        desk: desk.clone(),
        page: page(house),
        invites: Arc::new(Book::within(&house.config.data_dir)),
        readers: readers.collect::<Result<_>>().context("log.reader_tokens")?,
        verifier: verifier.clone(),
    };
    let hall = countersign_channels::web::wire::House::new(parts)?;
    let web = countersign_channels::web::Web::new(hall, &house.config.public_url, crate::clock::now);
    // The key is public: auditors who have it from elsewhere compare, others are told what it is worth.
    let path = format!("/log/{}", countersign_verify::VKEY_PATH);
    let key = axum::Router::new().route(&path, axum::routing::get(async move || format!("{verifier}\n")));
    Ok(countersign_channels::web::router(Arc::new(web)).merge(key))
}

// For agents, beside the pages of people: neither takes what the other goes by.
fn calls(
    house: &House,
    desk: &Desk,
    authenticator: Arc<Authenticator>,
    gates: &[(TargetName, Bound)],
) -> axum::Router {
    let doors = gates.iter().map(|(name, gate)| (name.clone(), gate.door())).collect();
    let public_url = house.config.public_url.clone();
    api::router(Arc::new(api::Api::new(desk.clone(), authenticator, doors, public_url)))
}

fn door(house: &House, desk: &Desk) -> Result<axum::Router> {
    let mut key = [0u8; 32];
    aws_lc_rs::rand::fill(&mut key).map_err(|_| anyhow!("no randomness can be drawn"))?;
    let control = control::server::Control {
        desk: desk.clone(),
        page: page(house),
        invites: Book::within(&house.config.data_dir),
        challenges: Mutex::new(Challenges::new(&key)),
        trying: tokio::sync::Mutex::new(()),
    };
    Ok(control::server::router(Arc::new(control)))
}

async fn serve_control(
    listener: tokio::net::UnixListener,
    router: axum::Router,
    mut stopped: watch::Receiver<bool>,
) {
    let until = async move { drop(stopped.wait_for(|stop| *stop).await) };
    if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(until).await {
        tracing::error!(%error, "the control socket is closed");
    }
}

type Ended = (TargetName, Result<(), ServeError>);

// Until a signal, or until a part of the house has failed: a gate that cannot record must not stand there.
async fn wait(
    signals: &mut drain::Signals,
    serving: &mut JoinSet<Ended>,
    store: &Store,
) -> Option<anyhow::Error> {
    let mut look = tokio::time::interval(std::time::Duration::from_secs(1));
    loop {
        tokio::select! {
            name = signals.next() => {
                tracing::info!(signal = name, "stopping");
                return None;
            }
            Some(ended) = serving.join_next() => return Some(match ended {
                Ok((name, Ok(()))) => anyhow!("the gate of target `{name}` has ended by itself"),
                Ok((name, Err(error))) => anyhow!("the gate of target `{name}`: {error}"),
                Err(error) => anyhow!("a gate has ended: {error}"),
            }),
            _ = look.tick() => if let Some(failure) = store.failure() {
                return Some(anyhow!("the store takes nothing more: {failure}"));
            },
        }
    }
}
