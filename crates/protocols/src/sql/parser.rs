//! The threads on which texts are parsed. A deep text needs a deep stack, and neither a runtime's worker nor a
//! connection's task has one. Knows no runtime: the answer comes by callback or by waiting.

use super::analyse::{Analysis, NotUnderstood, analyse_with};
use super::known::Known;
use super::session::SessionState;
use countersign_core::id::AgentName;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

/// How many texts are parsed at once.
pub const PARSER_THREADS: usize = 2;
/// Stack of each thread; only what is used takes memory.
pub const PARSER_STACK_BYTES: usize = 64 << 20;
/// The most texts that wait. One more is refused.
pub const PARSER_QUEUE_MAX: usize = 1024;

type Job = Box<dyn FnOnce() + Send>;

/// One text to be analysed, with everything that decides what it means.
#[derive(Debug, Clone)]
pub struct Question {
    /// The text.
    pub sql: Arc<str>,
    /// What is known of the target.
    pub known: Arc<Known>,
    /// What the session is.
    pub session: SessionState,
    /// Who asks.
    pub agent: AgentName,
    /// Types of parameters that the client named and a user defined.
    pub param_types: Vec<u32>,
}

/// The threads and the queue before them.
#[derive(Debug)]
pub struct Pool {
    queue: Option<SyncSender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    /// Starts the threads.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start() -> std::io::Result<Self> {
        let (queue, jobs) = sync_channel::<Job>(PARSER_QUEUE_MAX);
        let jobs = Arc::new(std::sync::Mutex::new(jobs));
        let thread = |number: usize| {
            let jobs = Arc::clone(&jobs);
            let builder = std::thread::Builder::new().name(format!("parser-{number}"));
            builder.stack_size(PARSER_STACK_BYTES).spawn(move || work(&jobs))
        };
        let threads = (0..PARSER_THREADS).map(thread).collect::<Result<_, _>>()?;
        Ok(Self { queue: Some(queue), threads })
    }

    /// Analyses a text and hands the answer to `done`, on the parser's thread. The answer is [`NotUnderstood::Busy`],
    /// given at once, where too many wait.
    pub fn analyse_then(
        &self,
        question: Question,
        done: impl FnOnce(Result<Analysis, NotUnderstood>) + Send + 'static,
    ) {
        let done = Arc::new(std::sync::Mutex::new(Some(done)));
        let later = Arc::clone(&done);
        let job: Job = Box::new(move || {
            let answer = catch_unwind(AssertUnwindSafe(|| answer(&question)));
            // A panic is a fault of ours and says nothing of the text: it is not understood.
            hand_over(&later, answer.unwrap_or(Err(NotUnderstood::Failed)));
        });
        let sent = self.queue.as_ref().map(|queue| queue.try_send(job));
        match sent {
            Some(Ok(())) => {}
            Some(Err(TrySendError::Full(_))) => hand_over(&done, Err(NotUnderstood::Busy)),
            Some(Err(TrySendError::Disconnected(_))) | None => hand_over(&done, Err(NotUnderstood::Failed)),
        }
    }

    /// Analyses a text and waits for the answer. Not for a runtime's worker.
    ///
    /// # Errors
    /// As [`analyse`](super::analyse::analyse), or the pool is busy.
    pub fn analyse_blocking(&self, question: Question) -> Result<Analysis, NotUnderstood> {
        let (sender, receiver) = sync_channel(1);
        self.analyse_then(question, move |answer| {
            // Whoever asked may have gone.
            let _ = sender.send(answer);
        });
        receiver.recv().unwrap_or(Err(NotUnderstood::Failed))
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.queue = None;
        for thread in self.threads.drain(..) {
            // A thread catches every panic of a job; there is nothing to learn from how it ended.
            let _ = thread.join();
        }
    }
}

fn answer(question: &Question) -> Result<Analysis, NotUnderstood> {
    let Question { sql, known, session, agent, param_types } = question;
    analyse_with(sql, param_types, known, session, agent)
}

type Done<F> = Arc<std::sync::Mutex<Option<F>>>;

fn hand_over<F: FnOnce(Result<Analysis, NotUnderstood>)>(
    done: &Done<F>,
    answer: Result<Analysis, NotUnderstood>,
) {
    let once = done.lock().ok().and_then(|mut slot| slot.take());
    if let Some(done) = once {
        done(answer);
    }
}

fn work(jobs: &std::sync::Mutex<Receiver<Job>>) {
    loop {
        let Ok(job) = jobs.lock().map(|jobs| jobs.recv()) else { return };
        let Ok(job) = job else { return };
        // A callback that panics must not take the thread with it.
        let _ = catch_unwind(AssertUnwindSafe(job));
    }
}
