//! What stands in FROM: which sources of columns it opens, and what reading them means.

use super::scope::written;
use super::source::{Source, SourceColumn, names};
use super::walk::Walk;
use countersign_core::kind::Kind;
use pg_query::NodeEnum;
use pg_query::protobuf::{
    Alias, JoinExpr, JoinType, Node, RangeFunction, RangeSubselect, RangeTableFunc, RangeVar,
};
use std::collections::BTreeSet;

impl Walk<'_> {
    pub(super) fn from(&mut self, list: &[Node]) {
        for node in list {
            self.alone = list.len() == 1;
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
                self.varies |= sample.repeatable.is_none();
                self.exprs(&sample.args);
                self.maybe(&sample.repeatable);
            }
            Some(NodeEnum::JsonTable(table)) => {
                self.may_be_odd();
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
                if source.ahead {
                    self.read_ahead.insert(relname.clone());
                }
                self.bulk.add(&source.bulk);
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
            jointype,
            is_natural,
            larg,
            rarg,
            using_clause,
            join_using_alias,
            quals,
            alias,
            rtindex: _,
        } = join;
        self.alone = false;
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
        // Nor is it known what is merged where the server may call a column otherwise.
        let unsure = open || left_columns.iter().chain(&right_columns).any(|column| column.doubtful);
        let both = |c: &SourceColumn| {
            let has = |side: &[SourceColumn]| side.iter().any(|other| other.name == c.name);
            *is_natural && (unsure || (has(&left_columns) && has(&right_columns)))
        };
        let compared =
            left_columns.iter().chain(&right_columns).filter(|c| using.contains(&c.name) || both(c));
        for column in compared {
            self.operates((None, "=".to_owned()), false);
            self.compares_type(column.type_oid);
            if let Some(oid) = column.oid.filter(|_| !column.labels.is_empty()) {
                self.reveals(oid, &column.labels);
            }
        }
        self.join_condition(before, quals, *jointype == JoinType::JoinInner as i32);
        let mut all = left_columns;
        all.extend(right_columns);
        if let Some(alias) = join_using_alias {
            // The name of the columns that are merged, and of no others.
            let merged = all.iter().filter(|column| using.contains(&column.name)).cloned().collect();
            self.add_join(Source { columns: merged, open, ..Source::default() }, alias);
        }
        if let Some(alias) = alias {
            // A join with a name of its own hides the names within it.
            let hidden = self.frames.last_mut().map(|frame| frame.split_off(before.min(frame.len())));
            self.note_bulk(&hidden.unwrap_or_default(), false);
            self.add_join(Source { columns: all, open, ..Source::default() }, alias);
        }
    }

    /// A join with a name of its own gives its columns under that name: those that are labelled are not followed.
    fn add_join(&mut self, source: Source, alias: &Alias) {
        for column in &source.columns {
            self.takes_part(column.type_oid);
            if let Some(oid) = column.oid.filter(|_| !column.labels.is_empty()) {
                self.reveals(oid, &column.labels);
            }
        }
        // What is merged stands first, so that names of an alias go to other columns than stand here.
        let certain = !source.open && !self.merged;
        let given: Vec<String> = names(&alias.colnames).into_iter().flatten().collect();
        let named = Source { name: alias.aliasname.clone(), aliased: true, ..source };
        self.add(named.with_names(&given, certain));
    }

    /// The ON of a join sees its two sides and what is around the query, not what stands beside it in FROM.
    fn join_condition(&mut self, before: usize, quals: &Option<Box<Node>>, inner: bool) {
        let beside: Vec<Source> = match self.frames.last_mut() {
            Some(frame) => frame.drain(..before.min(frame.len())).collect(),
            None => Vec::new(),
        };
        self.inside(quals);
        // Only a join that drops what does not match bounds its sides.
        if inner {
            self.fixes(quals.as_deref());
        }
        if let Some(frame) = self.frames.last_mut() {
            frame.splice(0..0, beside);
        }
    }

    fn subselect(&mut self, sub: &RangeSubselect) {
        let RangeSubselect { lateral, subquery, alias } = sub;
        let first = self.frames.last().is_none_or(Vec::is_empty);
        let beside = !(std::mem::take(&mut self.alone) && first);
        let frames = if *lateral { None } else { Some(self.hide_siblings()) };
        let around = *lateral && self.frames.last().is_some_and(|frame| !frame.is_empty());
        self.per_row += u32::from(around);
        self.beside += u32::from(beside);
        let outs = self.query(subquery.as_deref());
        self.per_row -= u32::from(around);
        self.beside -= u32::from(beside);
        self.alone = !beside;
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
