//! What a client has sent by the extended protocol and the server has not: messages in their order, and what names
//! will mean once they are answered. Pure; judges nothing and sends nothing.

use super::super::action::ClientAction;
use super::super::codec::frontend::{self, Frontend, Named};
use super::super::codec::write::{self, Bare};
use super::super::codec::{CodecError, HEADER_BYTES, RawMessage, write_frontend};
use super::super::reply::{Expect, Then};
use super::super::session::{Portal, Prepared, defines, leaves_no_trace, shifts_meaning};
use super::held::Forward;
use crate::sql::Analysis;
use bytes::{Bytes, BytesMut};
use countersign_desk::Held;
use std::collections::HashMap;
use std::sync::Arc;

/// Messages that are gathered before they are sent at the next good place.
pub(super) const GATHERED_MAX: usize = 1_024;
/// Messages that are gathered before they are sent at any place.
pub(super) const GATHERED_ANYWHERE_MAX: usize = 8_192;
/// Bytes that are gathered before they are sent at the next good place.
pub(super) const GATHERED_BYTES_MAX: usize = 1 << 20;

/// What was gathered since something was last sent, and what was sent since the last Sync.
#[derive(Default)]
pub(super) struct Pipeline {
    queue: Vec<Queued>,
    bytes: usize,
    /// After an error: messages are ignored up to Sync.
    pub(super) skipping: bool,
    /// The server has been sent something since the last Sync: what ran is in an implicit transaction, which a Sync of
    /// the gate's own would commit.
    pub(super) open: bool,
    /// The last Execute needs approval and waits for the client's Sync.
    pub(super) pending: Option<Box<Pending>>,
    // What is gathered may change what the text after it means.
    shifts: bool,
    // It does more than read.
    does_more: bool,
    // It may define something.
    defines: bool,
    // What names mean to what comes next, once the server confirms it.
    prepared: HashMap<String, Option<Prepared>>,
    portals: HashMap<String, Option<Tentative>>,
    // A Bind that the client is told of before the server is.
    kept_back: Option<Queued>,
}

/// One message that was gathered, and what it is answered with.
pub(super) struct Queued {
    pub(super) frame: Bytes,
    pub(super) expect: Expect,
    // A Bind that nobody has judged yet: the server would plan it, and planning may run code.
    unjudged: bool,
    /// It is done in the role of masked reads.
    pub(super) masked: bool,
}

/// A portal whose Bind is among what was gathered.
struct Tentative {
    portal: Arc<Portal>,
    at: usize,
}

/// A portal, as it stands to what comes next.
pub(super) enum Found {
    /// Its Bind is among what was gathered.
    Gathered(Arc<Portal>),
    /// The server has it.
    Bound(Arc<Portal>),
}

/// An action that needs approval: the last of its pipeline.
pub(super) struct Pending {
    pub(super) action: ClientAction,
    pub(super) analysis: Arc<Analysis>,
    pub(super) held: Box<Held>,
    pub(super) portal: Arc<Portal>,
    // Its Bind and what describes it.
    own: Vec<Queued>,
    /// What the client closes behind it.
    pub(super) after: Vec<Queued>,
}

impl Pipeline {
    /// Whether nothing was gathered or sent since the last Sync.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty() && !self.open && self.pending.is_none()
    }

    /// Whether nothing is gathered.
    pub(super) fn has_nothing_gathered(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether what is gathered must be sent before this message is read: it may change what names mean, or it is much.
    pub(super) fn must_be_sent_before(&self, tag: u8) -> bool {
        let reads_names = matches!(tag, b'P' | b'B' | b'D' | b'E');
        let begins = matches!(tag, b'P' | b'B');
        (self.shifts && reads_names)
            || (begins && (self.queue.len() >= GATHERED_MAX || self.bytes > GATHERED_BYTES_MAX))
            || self.queue.len() >= GATHERED_ANYWHERE_MAX
    }

    /// Gathers a message.
    pub(super) fn push(&mut self, frame: Bytes, expect: Expect) {
        self.bytes += frame.len();
        self.queue.push(Queued { frame, expect, unjudged: false, masked: false });
    }

    /// Notes that the Execute that was gathered last, and the Bind of its portal, are a masked read.
    pub(super) fn read_masked(&mut self, portal: &str) {
        let bind = self.portals.get(portal).and_then(Option::as_ref).map(|tentative| tentative.at);
        if let Some(at) = bind {
            self.read_masked_at(at);
        }
        // What describes its portal stays beside it: the mask is built of the answer.
        let mut last = self.queue.iter_mut().rev();
        if let Some(execute) = last.next() {
            execute.masked = true;
        }
        if let Some(describe) = last.next().filter(|queued| matches!(queued.expect, Expect::Describe { .. }))
        {
            describe.masked = true;
        }
    }

    /// Notes that the Bind at this place is one of a masked read.
    pub(super) fn read_masked_at(&mut self, at: usize) {
        if let Some(queued) = self.queue.get_mut(at) {
            queued.masked = true;
        }
    }

    /// Gathers a Parse.
    pub(super) fn push_parse(&mut self, frame: Bytes, name: String, prepared: Prepared) {
        self.prepared.insert(name.clone(), Some(prepared.clone()));
        self.push(frame, Expect::Done { tag: b'1', show: true, then: Then::Prepared(name, prepared) });
    }

    /// Gathers messages of the gate's own by which the server forgets a statement and reads its text again.
    pub(super) fn push_parse_again(&mut self, close: Bytes, parse: Bytes, name: String, prepared: Prepared) {
        self.prepared.insert(name.clone(), Some(prepared.clone()));
        let then = Then::StatementClosed(name.clone());
        self.push(close, Expect::Done { tag: b'3', show: false, then });
        let then = Then::Prepared(name, prepared);
        self.push(parse, Expect::Done { tag: b'1', show: false, then });
    }

    /// Gathers a Bind, which is not to be sent before it is judged.
    pub(super) fn push_bind(&mut self, frame: Bytes, name: String, portal: Arc<Portal>) {
        let tentative = Tentative { portal: Arc::clone(&portal), at: self.queue.len() };
        self.portals.insert(name.clone(), Some(tentative));
        self.push(frame, Expect::Done { tag: b'2', show: true, then: Then::Bound(name, portal) });
        if let Some(last) = self.queue.last_mut() {
            last.unjudged = true;
        }
    }

    /// Keeps the Bind at this place back, where it is the last message. False where it is not.
    pub(super) fn keep_back(&mut self, at: usize) -> bool {
        if at + 1 != self.queue.len() {
            return false;
        }
        self.kept_back = self.queue.pop();
        self.bytes -= self.kept_back.as_ref().map_or(0, |bind| bind.frame.len());
        true
    }

    /// What was kept back, if anything.
    pub(super) fn take_kept_back(&mut self) -> Option<Queued> {
        self.kept_back.take()
    }

    /// Gathers a Bind again that was kept back, and that the client was told of meanwhile.
    pub(super) fn push_kept_back(&mut self, bind: Queued) {
        let Expect::Done { then: Then::Bound(name, portal), .. } = bind.expect else { return };
        self.push_bind(bind.frame, name, portal);
        if let Some(Queued { expect: Expect::Done { show, .. }, .. }) = self.queue.last_mut() {
            *show = false;
        }
    }

    /// Gathers an Execute that was allowed.
    pub(super) fn push_execute(&mut self, frame: Bytes, expect: Expect, analysis: &Analysis) {
        self.does_more |= !analysis.statements.iter().all(leaves_no_trace);
        self.shifts |= analysis.statements.iter().any(shifts_meaning);
        self.defines |= analysis.statements.iter().any(defines);
        self.push(frame, expect);
    }

    /// Gathers a Close; behind what waits for Sync where something does.
    pub(super) fn push_close(&mut self, frame: Bytes, named: Named<'_>) {
        let then = match named {
            Named::Statement(name) => {
                self.prepared.insert(name.to_owned(), None);
                Then::StatementClosed(name.to_owned())
            }
            Named::Portal(name) => {
                self.portals.insert(name.to_owned(), None);
                Then::PortalClosed(name.to_owned())
            }
        };
        let expect = Expect::Done { tag: b'3', show: true, then };
        match &mut self.pending {
            Some(pending) => pending.after.push(Queued { frame, expect, unjudged: false, masked: false }),
            None => self.push(frame, expect),
        }
    }

    /// Notes that this portal was judged with its values, so that its Bind may be sent.
    pub(super) fn judged(&mut self, portal: &str) {
        let at = self.portals.get(portal).and_then(Option::as_ref).map(|tentative| tentative.at);
        if let Some(queued) = at.and_then(|at| self.queue.get_mut(at)) {
            queued.unjudged = false;
        }
    }

    /// The first Bind from a place on that nobody has judged, and its place.
    pub(super) fn next_unjudged(&self, from: usize) -> Option<(usize, Arc<Portal>)> {
        let gathered = self.queue.iter().enumerate().skip(from);
        gathered.filter(|(_, queued)| queued.unjudged).find_map(|(at, queued)| match &queued.expect {
            Expect::Done { then: Then::Bound(_, portal), .. } => Some((at, Arc::clone(portal))),
            _ => None,
        })
    }

    /// Notes that the Bind at this place was judged.
    pub(super) fn judged_at(&mut self, at: usize) {
        if let Some(queued) = self.queue.get_mut(at) {
            queued.unjudged = false;
        }
    }

    /// Drops what comes at or after the first Bind that nobody has judged.
    pub(super) fn drop_unjudged(&mut self) {
        let at = self.queue.iter().position(|queued| queued.unjudged);
        self.queue.truncate(at.unwrap_or(self.queue.len()));
    }

    /// Whether the message before is the client's own question what this portal returns.
    pub(super) fn ends_in_description_of(&self, portal: &str) -> bool {
        self.queue.last().is_some_and(|last| last.describes(b'P', portal))
    }

    /// Whether something that was gathered does more than read.
    pub(super) const fn does_more_than_read(&self) -> bool {
        self.does_more
    }

    /// Whether something that was gathered may define something.
    pub(super) const fn may_define(&self) -> bool {
        self.defines
    }

    /// Whether nothing but questions about it stands between the Bind of this portal and here.
    pub(super) fn stands_alone(&self, portal: &str, statement: &str) -> bool {
        let at = self.portals.get(portal).and_then(Option::as_ref).map(|tentative| tentative.at);
        let asks = |queued: &Queued| queued.describes(b'P', portal) || queued.describes(b'S', statement);
        at.is_some_and(|at| self.queue.iter().skip(at + 1).all(asks))
    }

    /// Sets an action aside that waits for the client's Sync, with its own messages.
    pub(super) fn set_aside(
        &mut self,
        name: &str,
        portal: Arc<Portal>,
        action: ClientAction,
        analysis: Arc<Analysis>,
        held: Box<Held>,
    ) {
        let at = self.portals.get(name).and_then(Option::as_ref).map_or(self.queue.len(), |t| t.at);
        let own = self.queue.split_off(at.min(self.queue.len()));
        self.portals.insert(name.to_owned(), None);
        self.pending = Some(Box::new(Pending { action, analysis, held, portal, own, after: Vec::new() }));
    }

    /// Everything that was gathered, to be sent. What names mean is then known once it is answered.
    pub(super) fn take(&mut self) -> Vec<Queued> {
        self.bytes = 0;
        self.shifts = false;
        self.does_more = false;
        self.defines = false;
        self.prepared.clear();
        self.portals.clear();
        std::mem::take(&mut self.queue)
    }

    /// Gives back what [`Self::take`] took, emptied, so that its room need not be made again.
    pub(super) fn reuse(&mut self, emptied: Vec<Queued>) {
        if self.queue.capacity() == 0 && emptied.is_empty() && emptied.capacity() <= GATHERED_MAX {
            self.queue = emptied;
        }
    }

    /// The end of a pipeline: nothing of it is left.
    pub(super) fn clear(&mut self) {
        let _ = self.take();
        self.pending = None;
        self.kept_back = None;
        self.open = false;
    }

    /// What a statement's name means to what comes next.
    pub(super) fn find_prepared(&self, name: &str) -> Option<&Option<Prepared>> {
        self.prepared.get(name)
    }

    /// What a portal's name means to what comes next.
    pub(super) fn find_portal(&self, name: &str) -> Option<Option<Found>> {
        let tentative = self.portals.get(name)?.as_ref();
        Some(tentative.map(|tentative| Found::Gathered(Arc::clone(&tentative.portal))))
    }

    /// Bytes that its portals take.
    pub(super) fn portal_bytes(&self) -> usize {
        self.portals.values().flatten().map(|tentative| tentative.portal.bytes).sum()
    }

    /// How many portals it adds.
    pub(super) fn portals(&self) -> usize {
        self.portals.len()
    }
}

impl Queued {
    /// Whether it matters in which role it is done: the server checks rights as it binds and as it runs.
    pub(super) fn is_of_a_role(&self) -> bool {
        self.masked || matches!(self.expect, Expect::Rows(_) | Expect::Done { tag: b'2', .. })
    }

    /// The role of the rows that it describes, where they come next.
    pub(super) fn role_before(&self, next: &Self) -> Option<bool> {
        let describes =
            matches!(self.expect, Expect::Describe { .. }) && matches!(next.expect, Expect::Rows(_));
        describes.then_some(next.masked)
    }

    /// Whether the client has not been told of it.
    pub(super) fn is_due(&self) -> bool {
        matches!(self.expect, Expect::Done { show: true, .. })
    }

    fn describes(&self, what: u8, name: &str) -> bool {
        let asked = matches!(self.expect, Expect::Describe { show: true });
        let body = self.frame.get(super::super::codec::HEADER_BYTES..).unwrap_or_default();
        let named = body.strip_prefix(&[what]).and_then(|rest| rest.strip_suffix(&[0]));
        asked && named == Some(name.as_bytes())
    }
}

impl Found {
    /// The portal.
    pub(super) const fn portal(&self) -> &Arc<Portal> {
        match self {
            Self::Gathered(portal) | Self::Bound(portal) => portal,
        }
    }
}

impl Pending {
    // The client was told of its Bind.
    fn is_told(&self) -> bool {
        matches!(self.own.first().map(|bind| &bind.expect), Some(Expect::Done { show: false, .. }))
    }

    /// What the server says to its messages up to the one that runs it, where that is a COPY: it has no parameters and
    /// returns no rows.
    pub(super) fn greeting_of_copy(&self) -> Result<BytesMut, CodecError> {
        let mut out = BytesMut::new();
        if !self.is_told() {
            write::bare(&mut out, Bare::BindComplete);
        }
        for queued in self.own.iter().skip(1) {
            if queued.frame.get(HEADER_BYTES) == Some(&b'S') {
                write::parameter_description(&mut out, &[])?;
            }
            write::bare(&mut out, Bare::NoData);
        }
        Ok(out)
    }

    /// What is sent once it is granted: its text, its values and the order to run, in messages that stand on no name.
    /// Whatever a name has come to mean at the server, what runs is what was signed.
    pub(super) fn forward(&self) -> Result<Forward, CodecError> {
        let gone = CodecError::Malformed { message: "Bind", expected: "the values of a portal" };
        let bytes = self.own.first().ok_or_else(|| gone.clone())?.frame.clone();
        let message = RawMessage { tag: b'B', bytes };
        let Frontend::Bind(bind) = frontend::parse(&message)? else { return Err(gone) };
        let (statement, mut out) = (&self.portal.statement, BytesMut::new());
        let done = |tag, show| Expect::Done { tag, show, then: Then::Nothing };
        // Whoever was told to send data was told the rest before.
        let show = self.action.data.is_none();
        let mut expect = vec![done(b'1', false), done(b'2', show && !self.is_told())];
        write_frontend::parse(&mut out, "", &statement.sql, &statement.param_types)?;
        write_frontend::bind(&mut out, "", "", &bind.param_formats, &bind.params, &bind.result_formats)?;
        for queued in self.own.iter().skip(1) {
            let of_portal = queued.frame.get(HEADER_BYTES) == Some(&b'P');
            let named = if of_portal { Named::Portal("") } else { Named::Statement("") };
            write_frontend::describe(&mut out, named)?;
            expect.push(Expect::Describe { show });
        }
        write_frontend::describe(&mut out, Named::Portal(""))?;
        expect.push(Expect::Describe { show: false });
        write_frontend::execute(&mut out, "", 0)?;
        Ok(Forward::Extended { frames: out.freeze(), expect })
    }
}
