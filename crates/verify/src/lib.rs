//! What an auditor reads: recomputes a log from its published files and names the first thing that does not fit.
//! It refuses to know files, sockets, clocks and the gate: its caller fetches, and everything else is in the log.
//!
//! In the order of the work: `reader` turns files into leaves and proves that they are the ones the checkpoint
//! signs for; `replay` takes one leaf after another and keeps `keys`, `sessions` and `requests`; `envelope` and
//! `decision` hold a person's signature against all of them; `anchors` holds what people signed against the tree.
//!
//! What it cannot show: that the people understood what they read, that what ran had the effect that was expected,
//! that nothing went past the gate, in which groups a person was (the gate says so, under the policy's digest), and
//! that the gate shows everybody the same log. For the last, see [`Tier`].

mod anchors;
mod batch;
mod decision;
mod envelope;
mod finding;
mod keys;
mod reader;
mod replay;
mod report;
mod requests;
mod sessions;

pub use batch::{BatchLeaf, BatchRecord};
pub use decision::DECIDED_SECONDS_SKEW_MAX;
pub use envelope::STATEMENT_BYTES_MAX;
pub use finding::{Finding, What};
pub use keys::KEYS_MAX;
pub use reader::{BUNDLE_BYTES_MAX, FetchError, VKEY_PATH};
pub use replay::TIME_BACK_MICROS_MAX;
pub use report::{OPEN_MAX, REMARKS_MAX, Report, Tier};
pub use requests::LIVE_MAX;
pub use sessions::SESSIONS_MAX;

use countersign_ledger::note::VerifierKey;
use reader::Reader;
use replay::Replay;

/// Verifies a log whose files `fetch` gives by their path below the log's address (`checkpoint`, `tile/…`).
///
/// `key` is the log's key as the auditor got it. Without one, the key is taken from `log.vkey` beside the log, and
/// the report says that whoever keeps the log could have put another there.
///
/// # Errors
/// The first thing that does not fit.
pub fn verify<F>(fetch: F, key: Option<&VerifierKey>) -> Result<Report, Finding>
where
    F: Fn(&str) -> Result<Vec<u8>, FetchError>,
{
    let reader = Reader::open(fetch, key)?;
    let mut replay: Option<Replay> = None;
    reader.leaves(|index, bytes| {
        match &mut replay {
            Some(replay) => replay.apply(index, bytes),
            None => Replay::begin(reader.checkpoint(), bytes).map(|begun| replay = Some(begun)),
        }
        .map_err(|misfit| misfit.at(index))
    })?;
    let Some(mut replay) = replay else {
        return Err(finding::misfit(What::Genesis, "a first leaf that names the log", "an empty log").whole());
    };
    replay.anchors().check(&reader)?;
    if key.is_none() {
        replay.remark(
            finding::misfit(
                What::Checkpoint,
                "the log's key from a source of your own",
                "the one beside the log, which whoever keeps the log can replace",
            )
            .whole(),
        );
    }
    replay.report(reader.checkpoint())
}
