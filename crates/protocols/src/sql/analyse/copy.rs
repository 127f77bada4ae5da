//! COPY: out to the client, in from it, or by way of the server's own files and programs.

use super::types::{CopyColumn, CopyFormat, CopyOptions, CopyShape, What};
use super::utility::{def, is_true};
use super::walk::Walk;
use crate::sql::facts::RelationKind;
use countersign_core::kind::Kind;
use pg_query::NodeEnum;
use pg_query::protobuf::{CopyStmt, Node, RangeVar};

impl Walk<'_> {
    pub(super) fn copy(&mut self, copy: &CopyStmt) -> What {
        let CopyStmt { relation, query, attlist, is_from, is_program, filename, options, where_clause } =
            copy;
        let file = *is_program || !filename.is_empty();
        if file {
            self.does(Kind::Admin);
        }
        if *is_program {
            self.does(Kind::Execute);
            self.opaque("a program is run at the server");
        }
        self.copy_options = read_options(options);
        if self.copy_options.is_none() {
            self.opaque("COPY has options that are not understood");
        }
        let mut shape = None;
        let table = match (relation, is_from) {
            (Some(range), false) => self.copy_out(range, attlist),
            (Some(range), true) => {
                let (into, columns) = self.copy_in(range, attlist, where_clause);
                let binary = self.copy_options.as_ref().map(|o| o.format == CopyFormat::Binary);
                shape = columns.zip(binary).map(|(columns, binary)| CopyShape { columns, binary });
                into
            }
            (None, _) => {
                // The rows of a query lose the name of their table.
                match query.as_deref().and_then(|n| n.node.as_ref()) {
                    Some(NodeEnum::SelectStmt(select)) => drop(self.select(select, false)),
                    _ => drop(self.query(query.as_deref())),
                }
                let read: Vec<u32> = self.reach.keys().copied().collect();
                self.does(Kind::Export);
                for table in read.iter().filter_map(|oid| self.known.facts().relations.get(oid)) {
                    self.does_to(Kind::Export, &table.name);
                }
                None
            }
        };
        self.rows = !*is_from && !file;
        match (file, *is_from) {
            (true, _) => What::CopyFile,
            (false, true) => What::CopyIn { table, shape, options: self.copy_options.clone() },
            (false, false) => {
                let header = self.copy_options.as_ref().is_some_and(|options| options.header);
                What::CopyOut { table, header }
            }
        }
    }

    fn copy_out(
        &mut self,
        range: &RangeVar,
        attlist: &[Node],
    ) -> Option<countersign_core::action::TableName> {
        let Some(relation) = self.find(&range.schemaname, &range.relname) else {
            self.does(Kind::Export);
            return None;
        };
        self.reads(relation);
        // What is handed out is more than looked at.
        let reads = std::mem::take(&mut self.pairs);
        let export = |(kind, on)| (if kind == Kind::Read { Kind::Export } else { kind }, on);
        self.pairs = reads.into_iter().map(export).collect();
        if !matches!(relation.kind, RelationKind::Table | RelationKind::Foreign) {
            self.reveals_all(relation.oid);
        }
        let wanted = Self::column_names(attlist);
        let columns: Vec<_> = if wanted.is_empty() {
            relation.columns.iter().filter(|column| !column.generated).collect()
        } else {
            wanted.iter().filter_map(|name| relation.column(name)).collect()
        };
        if !wanted.is_empty() && columns.len() != wanted.len() {
            self.opaque("COPY names a column that is not known");
        }
        for column in columns {
            let labels = self.known.labels_of(relation.oid, column.attnum).clone();
            if !labels.is_empty() && self.known.labels_within(column.type_oid).is_empty() {
                self.shows(relation.oid, &labels);
            } else if !labels.is_empty() {
                self.reveals(relation.oid, &labels);
            }
            self.copy_columns.push(CopyColumn {
                name: column.name.clone(),
                labels,
                parts: self.known.parts_of(relation.oid, column.attnum).cloned(),
                table_oid: relation.oid,
                attnum: column.attnum,
                type_oid: self.known.facts().without_domains(column.type_oid),
            });
        }
        Some(relation.name.clone())
    }

    fn copy_in(
        &mut self,
        range: &RangeVar,
        attlist: &[Node],
        condition: &Option<Box<Node>>,
    ) -> (Option<countersign_core::action::TableName>, Option<u16>) {
        let Some(relation) = self.find(&range.schemaname, &range.relname) else {
            self.does(Kind::Write);
            self.opaque(format!("`{}` is not known", range.relname));
            return (None, None);
        };
        self.changes(relation, Kind::Write);
        let source = self.source_of(relation, None);
        self.frames.push(vec![source]);
        self.maybe(condition);
        self.frames.pop();
        let written = relation.columns.iter().filter(|column| !column.generated).count();
        let named = Self::column_names(attlist);
        for column in relation.columns.iter().filter(|column| !column.generated) {
            if named.is_empty() || named.contains(&column.name) {
                self.writes_column(Some(relation), &column.name);
            }
        }
        let columns = if attlist.is_empty() { written } else { attlist.len() };
        (Some(relation.name.clone()), u16::try_from(columns).ok())
    }
}

/// The options, or none where one is not understood.
fn read_options(options: &[Node]) -> Option<CopyOptions> {
    let mut out = CopyOptions::default();
    for option in options {
        let option = def(option)?;
        let text = || match option.arg.as_deref().and_then(|n| n.node.as_ref()) {
            Some(NodeEnum::String(s)) => Some(s.sval.clone()),
            _ => None,
        };
        match option.defname.as_str() {
            "format" => {
                out.format = match text()?.to_ascii_lowercase().as_str() {
                    "text" => CopyFormat::Text,
                    "csv" => CopyFormat::Csv,
                    "binary" => CopyFormat::Binary,
                    _ => return None,
                }
            }
            "delimiter" => out.delimiter = Some(text()?),
            "null" => out.null = Some(text()?),
            "quote" => out.quote = Some(text()?),
            "escape" => out.escape = Some(text()?),
            "encoding" => out.encoding = Some(text()?),
            "header" => out.header = is_true(option),
            // Quoting more fields changes nothing for whoever reads quotes.
            "force_quote" => {}
            "freeze" | "force_not_null" | "force_null" | "default" | "on_error" | "log_verbosity"
            | "reject_limit" => {}
            _ => return None,
        }
    }
    Some(out)
}
