//! Who may see tokens without an approval (decision 0015). Asks policy, and knows no value.

use super::super::action;
use super::connection::Connection;
use crate::sql::Analysis;
use countersign_core::action::{Obligations, Reach};
use countersign_core::mask::Mask;

impl Connection {
    /// Whether tokens can be shown to whoever was not approved: not to those who may write, without people, where they
    /// read. They could compare with values of their own choice.
    pub(super) fn tokens_stand(&self, analysis: &Analysis, obligations: &Obligations) -> bool {
        let mut tokens = obligations.masks.iter().filter(|(_, mask)| **mask == Mask::Token);
        tokens.all(|(label, _)| {
            let reached = analysis.joined.reach.iter().filter(|reach| reach.labels.contains(label));
            let mut writable = reached.map(|reach| self.may_write(reach)).peekable();
            // Where the label comes from is not known: fail closed.
            writable.peek().is_some() && !writable.any(|may| may)
        })
    }

    fn may_write(&self, reach: &Reach) -> bool {
        self.is_allowed(&action::write_to(reach))
    }
}
