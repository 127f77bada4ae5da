//! Rows that a session has changed, as the server counts them for its own statistics: they are not given back by
//! ROLLBACK, so that what came before is taken off. TRUNCATE is not among them, nor what another server holds. Pure.

use countersign_core::action::{TableName, TableRows};
use std::collections::BTreeMap;

/// What is asked before and after. Its operators are the server's own, whatever the session's path says.
pub const CHANGED_QUERY: &str = "SELECT schemaname::text, relname::text, n_tup_ins::text, n_tup_upd::text, n_tup_del::text \
    FROM pg_catalog.pg_stat_xact_user_tables WHERE n_tup_ins OPERATOR(pg_catalog.<>) 0 \
    OR n_tup_upd OPERATOR(pg_catalog.<>) 0 OR n_tup_del OPERATOR(pg_catalog.<>) 0";

/// Rows by table.
pub type Changed = BTreeMap<TableName, u64>;

/// Reads the answer to [`CHANGED_QUERY`]; none where it is another.
pub fn read(rows: &[Vec<Option<String>>]) -> Option<Changed> {
    let row = |row: &Vec<Option<String>>| {
        let [Some(schema), Some(name), Some(inserted), Some(updated), Some(deleted)] = row.as_slice() else {
            return None;
        };
        let count = |text: &String| text.parse::<u64>().ok();
        let rows = count(inserted)?.checked_add(count(updated)?)?.checked_add(count(deleted)?)?;
        Some((TableName { schema: schema.clone(), name: name.clone() }, rows))
    };
    rows.iter().map(row).collect()
}

/// What was changed between the two.
pub fn since(before: &Changed, after: Changed) -> Changed {
    let less = |(table, rows): (TableName, u64)| {
        let rows = rows.saturating_sub(before.get(&table).copied().unwrap_or(0));
        (table, rows)
    };
    after.into_iter().map(less).filter(|(_, rows)| *rows > 0).collect()
}

/// Whether all of it is within what people approved.
pub fn is_within(changed: &Changed, tables: &[TableRows]) -> bool {
    changed.iter().all(|(table, rows)| tables.iter().any(|t| t.table == *table && *rows <= t.rows_max))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str) -> TableName {
        TableName { schema: "public".into(), name: name.into() }
    }

    #[test]
    fn what_came_before_is_not_counted() {
        let before = Changed::from([(table("a"), 5), (table("b"), 2)]);
        let after = Changed::from([(table("a"), 8), (table("b"), 2), (table("c"), 1)]);
        assert_eq!(since(&before, after), Changed::from([(table("a"), 3), (table("c"), 1)]));
    }

    #[test]
    fn a_table_that_was_not_tried_is_beyond_the_bound() {
        let tables = [TableRows { table: table("a"), rows: 3, rows_max: 3 }];
        assert!(is_within(&Changed::new(), &tables));
        assert!(is_within(&Changed::from([(table("a"), 3)]), &tables));
        assert!(!is_within(&Changed::from([(table("a"), 4)]), &tables));
        assert!(!is_within(&Changed::from([(table("b"), 1)]), &tables));
        assert!(!is_within(&Changed::from([(table("b"), 1)]), &[]), "nothing may be changed");
    }

    #[test]
    fn an_answer_that_is_none_gives_no_rows() {
        let row = |cells: [&str; 5]| cells.iter().map(|c| Some((*c).to_owned())).collect::<Vec<_>>();
        assert_eq!(read(&[row(["public", "a", "1", "2", "4"])]), Some(Changed::from([(table("a"), 7)])));
        assert_eq!(read(&[row(["public", "a", "1", "-2", "4"])]), None);
        assert_eq!(read(&[vec![None]]), None);
        assert_eq!(read(&[]), Some(Changed::new()));
    }
}
