//! Statements over the session: transactions, settings, EXPLAIN.

use super::expr::literal_text;
use super::scope::written;
use super::types::What;
use super::utility::{Said, def, is_true, utility};
use super::walk::Walk;
use crate::sql::settings;
use countersign_core::kind::Kind;
use pg_query::NodeEnum;
use pg_query::protobuf::{
    DiscardMode, DiscardStmt, ExplainStmt, FuncCall, Node, SelectStmt, TransactionStmt, TransactionStmtKind,
    VariableSetKind, VariableSetStmt,
};

use Kind::{Admin, Delete, Privilege, Read, Schema, Session, Write};

impl Walk<'_> {
    pub(super) fn explain(&mut self, explain: &ExplainStmt) -> Said {
        let analyze = explain.options.iter().filter_map(def).any(|o| o.defname == "analyze" && is_true(o));
        let inner = match explain.query.as_deref().and_then(|n| n.node.as_ref()) {
            Some(NodeEnum::ExecuteStmt(execute)) => {
                self.runs_prepared = true;
                self.opaque("what a prepared statement does is not seen here");
                What::Execute { name: execute.name.clone(), no_limit: Vec::new() }
            }
            Some(node) => self.statement(node).what,
            None => utility("nothing"),
        };
        self.rows = true;
        // A plan names columns and shows no values of them.
        self.plain = false;
        if !analyze {
            let looks = |(kind, on): (Kind, _)| match kind {
                Write | Delete | Schema | Kind::Export => (Read, on),
                kind => (kind, on),
            };
            self.pairs = std::mem::take(&mut self.pairs).into_iter().map(looks).collect();
            self.bulk = super::bulk::Bulk::default();
            self.locks = false;
            self.unbounded = false;
        }
        if self.pairs.is_empty() {
            self.does(Read);
        }
        Said::of(What::Explain { analyze, inner: Box::new(inner) })
    }

    pub(super) fn transaction(&mut self, t: &TransactionStmt) -> Said {
        self.does(Session);
        let name = t.savepoint_name.clone();
        let snapshot = t.options.iter().filter_map(def).any(|o| o.defname == "snapshot");
        if snapshot {
            self.does(Admin);
        }
        let what = match TransactionStmtKind::try_from(t.kind).unwrap_or(TransactionStmtKind::Undefined) {
            TransactionStmtKind::TransStmtBegin | TransactionStmtKind::TransStmtStart => {
                What::Begin { text: String::new() }
            }
            TransactionStmtKind::TransStmtCommit => What::Commit { chain: t.chain },
            TransactionStmtKind::TransStmtRollback => What::Rollback { chain: t.chain },
            TransactionStmtKind::TransStmtSavepoint => What::Savepoint { name },
            TransactionStmtKind::TransStmtRelease => What::Release { name },
            TransactionStmtKind::TransStmtRollbackTo => What::RollbackTo { name },
            TransactionStmtKind::TransStmtPrepare
            | TransactionStmtKind::TransStmtCommitPrepared
            | TransactionStmtKind::TransStmtRollbackPrepared => {
                self.does(Admin);
                What::TwoPhase
            }
            TransactionStmtKind::Undefined => {
                self.opaque("a statement that is not understood");
                What::TwoPhase
            }
        };
        Said::alone(what)
    }

    pub(super) fn set(&mut self, set: &VariableSetStmt) -> Said {
        let VariableSetStmt { kind, name, args, jumble_args: _, is_local, location: _ } = set;
        let name = name.to_ascii_lowercase();
        let kind = VariableSetKind::try_from(*kind).unwrap_or(VariableSetKind::Undefined);
        let denied = match name.as_str() {
            "role" | "session_authorization" => Privilege,
            _ => Admin,
        };
        match kind {
            VariableSetKind::VarSetValue => {
                let values: Option<Vec<String>> = args.iter().map(literal_text).collect();
                let values = values.unwrap_or_else(|| vec!["?".to_owned()]);
                let mut passes = settings::allow_listed(&name, &values.join(","));
                self.fixes = settings::is_fixed(&name, &values.join(",")).then(|| name.clone());
                if name == "search_path" {
                    // A schema that does not exist yet may come to exist.
                    let exists =
                        |s: &String| *s == "$user" || s.is_empty() || self.known.facts().schemas.contains(s);
                    passes &= values.iter().all(exists);
                }
                self.does(if passes { Session } else { denied });
                Said::of(What::Set { name, values: Some(values), local: *is_local })
            }
            VariableSetKind::VarSetDefault => {
                self.does(if settings::may_reset(&name) { Session } else { denied });
                Said::of(What::Set { name, values: None, local: *is_local })
            }
            VariableSetKind::VarReset => {
                self.does(if settings::may_reset(&name) { Session } else { denied });
                Said::of(What::Reset { name: Some(name) })
            }
            VariableSetKind::VarResetAll => {
                self.does(Session);
                Said::of(What::Reset { name: None })
            }
            VariableSetKind::VarSetMulti => {
                // SET TRANSACTION and SET SESSION CHARACTERISTICS.
                let snapshot = name.contains("snapshot");
                self.does(if snapshot { Admin } else { Session });
                Said::of(What::SetTransaction { session: name.contains("session") })
            }
            VariableSetKind::VarSetCurrent | VariableSetKind::Undefined => {
                self.does(denied);
                Said::of(What::Set { name, values: None, local: *is_local })
            }
        }
    }

    /// `SELECT pg_catalog.set_config('search_path', '', false)`, as pg_dump writes it and pg_restore sends it: a SET in
    /// other words, and with none of its words elsewhere.
    pub(super) fn set_by_function(&mut self, select: &SelectStmt) -> Option<Said> {
        let [target] = select.target_list.as_slice() else { return None };
        let Some(NodeEnum::ResTarget(result)) = &target.node else { return None };
        let Some(NodeEnum::FuncCall(call)) = result.val.as_deref().and_then(|n| n.node.as_ref()) else {
            return None;
        };
        let alone = SelectStmt {
            target_list: select.target_list.clone(),
            limit_option: select.limit_option,
            op: select.op,
            ..SelectStmt::default()
        };
        let plain = FuncCall {
            funcname: call.funcname.clone(),
            args: call.args.clone(),
            funcformat: call.funcformat,
            location: call.location,
            ..FuncCall::default()
        };
        let [name, value, local] = call.args.as_slice() else { return None };
        let says = |node: &Node, wanted: &str| {
            matches!(node.node, Some(NodeEnum::AConst(_))) && literal_text(node).as_deref() == Some(wanted)
        };
        let is_it = *select == alone
            && **call == plain
            && written(&call.funcname) == Some((Some("pg_catalog".to_owned()), "set_config".to_owned()))
            && says(name, "search_path")
            && says(value, "")
            && says(local, "false");
        if !is_it {
            return None;
        }
        self.does(Session);
        self.rows = true;
        let (name, values) = ("search_path".to_owned(), Some(vec![String::new()]));
        Some(Said::of(What::Set { name, values, local: false }))
    }

    pub(super) fn discard(&mut self, discard: &DiscardStmt) -> Said {
        self.does(Session);
        let all = discard.target == DiscardMode::DiscardAll as i32;
        let temp = all || discard.target == DiscardMode::DiscardTemp as i32;
        Said { transaction_safe: !all, ..Said::of(What::Discard { all, temp }) }
    }
}
