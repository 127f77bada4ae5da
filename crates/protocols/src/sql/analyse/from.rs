//! What stands in FROM: which sources of columns it opens, and what reading them means.

use super::scope::{Source, SourceColumn, names, written};
use super::walk::Walk;
use countersign_core::kind::Kind;
use pg_query::NodeEnum;
use pg_query::protobuf::{JoinExpr, Node, RangeFunction, RangeSubselect, RangeTableFunc, RangeVar};
use std::collections::BTreeSet;

impl Walk<'_> {
    pub(super) fn from(&mut self, list: &[Node]) {
        for node in list {
            self.source_item(Some(node));
        }
    }

    pub(super) fn add(&mut self, source: Source) {
        if let Some(frame) = self.frames.last_mut() {
            frame.push(source);
        }
    }

    pub(super) fn source_item(&mut self, node: Option<&Node>) {
        match node.and_then(|n| n.node.as_ref()) {
            Some(NodeEnum::RangeVar(range)) => self.range(range),
            Some(NodeEnum::JoinExpr(join)) => self.join(join),
            Some(NodeEnum::RangeSubselect(sub)) => self.subselect(sub),
            Some(NodeEnum::RangeFunction(function)) => self.range_function(function),
            Some(NodeEnum::RangeTableFunc(function)) => self.table_function(function),
            Some(NodeEnum::RangeTableSample(sample)) => {
                self.source_item(sample.relation.as_deref());
                match written(&sample.method) {
                    // The two methods of the server; others are somebody's code.
                    Some((None, name)) if ["bernoulli", "system"].contains(&name.as_str()) => {}
                    _ => self.opaque("a sampling method is used that is not known"),
                }
                self.exprs(&sample.args);
                self.maybe(&sample.repeatable);
            }
            Some(NodeEnum::JsonTable(table)) => {
                self.syntax(&["json_table"]);
                self.json_value(table.context_item.as_deref());
                if let Some(path) = &table.pathspec {
                    self.maybe(&path.string);
                }
                self.exprs(&table.passing);
                self.json_behaviour(table.on_error.as_deref());
                self.json_columns(&table.columns);
                self.add(Source::derived("json_table", Vec::new(), true).renamed(table.alias.as_ref()));
            }
            Some(_) => {
                self.opaque("something stands in FROM that is not understood");
                self.add(Source { open: true, ..Source::default() });
            }
            None => {}
        }
    }

    fn json_columns(&mut self, columns: &[Node]) {
        for node in columns {
            let Some(NodeEnum::JsonTableColumn(column)) = &node.node else {
                self.opaque("something stands in JSON_TABLE that is not understood");
                continue;
            };
            self.type_name(column.type_name.as_ref());
            if let Some(path) = &column.pathspec {
                self.maybe(&path.string);
            }
            self.json_behaviour(column.on_empty.as_deref());
            self.json_behaviour(column.on_error.as_deref());
            self.json_columns(&column.columns);
        }
    }

    pub(super) fn range(&mut self, range: &RangeVar) {
        let RangeVar { catalogname, schemaname, relname, inh: _, relpersistence: _, alias, location: _ } =
            range;
        if !catalogname.is_empty() && *catalogname != self.known.facts().database {
            self.opaque("another database is named");
        }
        if schemaname.is_empty() {
            let cte = self.ctes.iter().rev().find_map(|scope| scope.get(relname)).cloned();
            if let Some(source) = cte {
                self.add(source.renamed(alias.as_ref()));
                return;
            }
        }
        let Some(relation) = self.find(schemaname, relname) else {
            let name = self.name_here(schemaname, relname);
            self.does_to(Kind::Read, &name);
            let open = Source::derived(relname, Vec::new(), true).renamed(alias.as_ref());
            self.add(open);
            return;
        };
        self.reads(relation);
        if self.known.view(relation.oid).is_some() {
            self.reveals_all(relation.oid);
        }
        let source = self.source_of(relation, alias.as_ref());
        self.add(source);
    }

    fn join(&mut self, join: &JoinExpr) {
        let JoinExpr {
            jointype: _,
            is_natural,
            larg,
            rarg,
            using_clause,
            join_using_alias,
            quals,
            alias,
            rtindex: _,
        } = join;
        let before = self.frames.last().map_or(0, Vec::len);
        self.source_item(larg.as_deref());
        let middle = self.frames.last().map_or(0, Vec::len);
        self.source_item(rarg.as_deref());
        let frame = self.frames.last().cloned().unwrap_or_default();
        let (left, right) =
            (frame.get(before..middle).unwrap_or_default(), frame.get(middle..).unwrap_or_default());
        let columns = |side: &[Source]| -> Vec<SourceColumn> {
            side.iter().flat_map(|source| source.columns.iter().cloned()).collect()
        };
        let (left_columns, right_columns) = (columns(left), columns(right));
        let using: BTreeSet<String> = names(using_clause).into_iter().flatten().collect();
        let open = left.iter().chain(right).any(|source| source.open);
        self.merged |= *is_natural || !using.is_empty();
        let both = |c: &SourceColumn| {
            let has = |side: &[SourceColumn]| side.iter().any(|other| other.name == c.name);
            *is_natural && (open || (has(&left_columns) && has(&right_columns)))
        };
        let compared =
            left_columns.iter().chain(&right_columns).filter(|c| using.contains(&c.name) || both(c));
        for column in compared {
            self.operates((None, "=".to_owned()), false);
            self.computes_with(column.type_oid);
            if let Some(oid) = column.oid.filter(|_| !column.labels.is_empty()) {
                self.reveals(oid, &column.labels);
            }
        }
        self.join_condition(before, quals);
        let hides = alias.is_some();
        for alias in [alias, join_using_alias].into_iter().flatten() {
            let all = left_columns.iter().chain(&right_columns).cloned().collect();
            let source = Source { columns: all, open, ..Source::default() };
            self.reveal_all_columns(&source);
            if let Some(frame) = self.frames.last_mut().filter(|_| hides) {
                // A join with a name of its own hides the names within it.
                frame.truncate(before);
            }
            self.add(source.renamed(Some(alias)));
        }
    }

    /// The ON of a join sees its two sides and what is around the query, not what stands beside it in FROM.
    fn join_condition(&mut self, before: usize, quals: &Option<Box<Node>>) {
        let beside: Vec<Source> = match self.frames.last_mut() {
            Some(frame) => frame.drain(..before.min(frame.len())).collect(),
            None => Vec::new(),
        };
        self.inside(quals);
        if let Some(frame) = self.frames.last_mut() {
            frame.splice(0..0, beside);
        }
    }

    /// A join with a name of its own gives its columns under that name: those that are labelled are not followed.
    fn reveal_all_columns(&mut self, source: &Source) {
        for column in &source.columns {
            if let Some(oid) = column.oid.filter(|_| !column.labels.is_empty()) {
                self.reveals(oid, &column.labels);
            }
        }
    }

    fn subselect(&mut self, sub: &RangeSubselect) {
        let RangeSubselect { lateral, subquery, alias } = sub;
        let frames = if *lateral { None } else { Some(self.hide_siblings()) };
        let around = *lateral && self.frames.last().is_some_and(|frame| !frame.is_empty());
        self.per_row += u32::from(around);
        let outs = self.query(subquery.as_deref());
        self.per_row -= u32::from(around);
        if let Some(frames) = frames {
            self.frames = frames;
        }
        let source = Source::derived("", outs.names(), outs.open).renamed(alias.as_ref());
        self.add(source);
    }

    fn range_function(&mut self, function: &RangeFunction) {
        let RangeFunction { lateral: _, ordinality: _, is_rowsfrom: _, functions, alias, coldeflist } =
            function;
        let mut name = String::new();
        for item in functions {
            let Some(NodeEnum::List(list)) = &item.node else {
                self.opaque("a function in FROM is not understood");
                continue;
            };
            self.exprs_and_columns(&list.items);
            if let Some(NodeEnum::FuncCall(call)) = list.items.first().and_then(|n| n.node.as_ref()) {
                name = written(&call.funcname).map(|(_, name)| name).unwrap_or_default();
            }
        }
        self.exprs_and_columns(coldeflist);
        self.add(Source::derived(&name, Vec::new(), true).renamed(alias.as_ref()));
    }

    fn exprs_and_columns(&mut self, list: &[Node]) {
        for node in list {
            match &node.node {
                Some(NodeEnum::ColumnDef(column)) => drop(self.type_name(column.type_name.as_ref())),
                Some(NodeEnum::List(list)) => self.exprs_and_columns(&list.items),
                _ => self.expr(Some(node)),
            }
        }
    }

    fn table_function(&mut self, function: &RangeTableFunc) {
        let RangeTableFunc { lateral: _, docexpr, rowexpr, namespaces, columns, alias, location: _ } =
            function;
        self.maybe(docexpr);
        self.maybe(rowexpr);
        self.exprs(namespaces);
        for node in columns {
            let Some(NodeEnum::RangeTableFuncCol(column)) = &node.node else {
                self.opaque("something stands in XMLTABLE that is not understood");
                continue;
            };
            self.type_name(column.type_name.as_ref());
            self.maybe(&column.colexpr);
            self.maybe(&column.coldefexpr);
        }
        self.add(Source::derived("xmltable", Vec::new(), true).renamed(alias.as_ref()));
    }
}
