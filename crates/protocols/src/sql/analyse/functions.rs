//! Which of the server's own functions may be called in a read, by hand: volatility is a declaration, not a proof.
//! A function that stands on no list here and is volatile is not understood.

use countersign_core::kind::Kind;

/// What calling one of the server's own functions means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// Computes, or looks at what anybody may see.
    Plain,
    /// Does something of this kind that can be named.
    Does(Kind),
    /// Shows what other sessions or credentials hold.
    Shows,
    /// Runs a text, or code named by a text: nobody can say what.
    Runs,
}

/// Volatile, and yet only looks.
const LOOKS: &[&str] = &[
    "array_sample",
    "array_shuffle",
    "clock_timestamp",
    "currval",
    "gen_random_uuid",
    "lastval",
    "pg_blocking_pids",
    "pg_current_wal_flush_lsn",
    "pg_current_wal_insert_lsn",
    "pg_current_wal_lsn",
    "pg_database_size",
    "pg_indexes_size",
    "pg_is_in_recovery",
    "pg_is_wal_replay_paused",
    "pg_last_wal_receive_lsn",
    "pg_last_wal_replay_lsn",
    "pg_last_xact_replay_timestamp",
    "pg_partition_ancestors",
    "pg_partition_tree",
    "pg_relation_size",
    "pg_sequence_last_value",
    "pg_sequence_parameters",
    "pg_table_size",
    "pg_tablespace_size",
    "pg_total_relation_size",
    "pg_visible_in_snapshot",
    "random",
    "random_normal",
    "statement_timestamp",
    "timeofday",
    "uuidv4",
    "uuidv7",
];

/// Stable or immutable, and yet not plain; also volatile ones whose kind is known.
const NAMED: &[(&str, Call)] = &[
    // SQL from a string, or from a name in a string.
    ("query_to_xml", Call::Runs),
    ("query_to_xmlschema", Call::Runs),
    ("query_to_xml_and_xmlschema", Call::Runs),
    ("cursor_to_xml", Call::Runs),
    ("cursor_to_xmlschema", Call::Runs),
    ("table_to_xml", Call::Runs),
    ("table_to_xmlschema", Call::Runs),
    ("table_to_xml_and_xmlschema", Call::Runs),
    ("schema_to_xml", Call::Runs),
    ("schema_to_xmlschema", Call::Runs),
    ("schema_to_xml_and_xmlschema", Call::Runs),
    ("database_to_xml", Call::Runs),
    ("database_to_xmlschema", Call::Runs),
    ("database_to_xml_and_xmlschema", Call::Runs),
    ("ts_stat", Call::Runs),
    ("ts_rewrite", Call::Runs),
    ("pg_input_is_valid", Call::Runs),
    ("pg_input_error_info", Call::Runs),
    // Input functions take the type by its id: they run what its owner defined.
    ("domain_in", Call::Runs),
    ("domain_recv", Call::Runs),
    ("array_in", Call::Runs),
    ("array_recv", Call::Runs),
    ("record_in", Call::Runs),
    ("record_recv", Call::Runs),
    ("range_in", Call::Runs),
    ("range_recv", Call::Runs),
    ("multirange_in", Call::Runs),
    ("multirange_recv", Call::Runs),
    // Files of the server.
    ("pg_read_file", Call::Does(Kind::Secret)),
    ("pg_read_binary_file", Call::Does(Kind::Secret)),
    ("pg_stat_file", Call::Does(Kind::Admin)),
    ("pg_ls_dir", Call::Does(Kind::Admin)),
    ("pg_current_logfile", Call::Does(Kind::Admin)),
    ("lo_import", Call::Runs),
    ("lo_export", Call::Runs),
    // What others do, or may do.
    ("pg_stat_get_activity", Call::Shows),
    ("pg_stat_get_backend_activity", Call::Shows),
    ("pg_hba_file_rules", Call::Shows),
    ("pg_ident_file_mappings", Call::Shows),
    ("pg_show_all_file_settings", Call::Shows),
    ("pg_mcv_list_items", Call::Shows),
    ("pg_get_backend_memory_contexts", Call::Does(Kind::Admin)),
    // Large objects.
    ("lo_get", Call::Does(Kind::Export)),
    ("lo_open", Call::Does(Kind::Write)),
    ("loread", Call::Does(Kind::Export)),
    ("lowrite", Call::Does(Kind::Write)),
    ("lo_creat", Call::Does(Kind::Write)),
    ("lo_create", Call::Does(Kind::Write)),
    ("lo_from_bytea", Call::Does(Kind::Write)),
    ("lo_put", Call::Does(Kind::Write)),
    ("lo_truncate", Call::Does(Kind::Write)),
    ("lo_truncate64", Call::Does(Kind::Write)),
    ("lo_unlink", Call::Does(Kind::Delete)),
    // Writes.
    ("nextval", Call::Does(Kind::Write)),
    ("setval", Call::Does(Kind::Write)),
    ("pg_notify", Call::Does(Kind::Write)),
    ("txid_current", Call::Does(Kind::Write)),
    ("pg_current_xact_id", Call::Does(Kind::Write)),
    // The server and other sessions.
    ("pg_terminate_backend", Call::Does(Kind::Admin)),
    ("pg_cancel_backend", Call::Does(Kind::Admin)),
    ("pg_reload_conf", Call::Does(Kind::Admin)),
    ("pg_rotate_logfile", Call::Does(Kind::Admin)),
    ("pg_promote", Call::Does(Kind::Admin)),
    ("pg_switch_wal", Call::Does(Kind::Admin)),
    ("pg_log_backend_memory_contexts", Call::Does(Kind::Admin)),
    ("pg_sleep", Call::Does(Kind::Admin)),
    ("pg_sleep_for", Call::Does(Kind::Admin)),
    ("pg_sleep_until", Call::Does(Kind::Admin)),
    ("pg_export_snapshot", Call::Does(Kind::Admin)),
    ("set_config", Call::Does(Kind::Admin)),
    ("setseed", Call::Does(Kind::Session)),
    ("pg_create_restore_point", Call::Does(Kind::Admin)),
    ("pg_nextoid", Call::Does(Kind::Admin)),
    ("satisfies_hash_partition", Call::Does(Kind::Admin)),
];

/// The beginnings of names that mean the same for all functions of the family.
const FAMILIES: &[(&str, Call)] = &[
    ("pg_advisory_unlock", Call::Does(Kind::Session)),
    ("pg_advisory_", Call::Does(Kind::Admin)),
    ("pg_try_advisory_", Call::Does(Kind::Admin)),
    ("pg_logical_", Call::Does(Kind::Export)),
    ("pg_replication_", Call::Does(Kind::Admin)),
    ("pg_create_", Call::Does(Kind::Admin)),
    ("pg_drop_", Call::Does(Kind::Admin)),
    ("pg_copy_", Call::Does(Kind::Admin)),
    ("pg_backup_", Call::Does(Kind::Admin)),
    ("pg_wal_replay_", Call::Does(Kind::Admin)),
    ("pg_stat_reset", Call::Does(Kind::Admin)),
    ("pg_ls_", Call::Does(Kind::Admin)),
    ("pg_read_", Call::Does(Kind::Secret)),
    ("pg_file_", Call::Does(Kind::Admin)),
    ("dblink", Call::Runs),
    ("binary_upgrade_", Call::Does(Kind::Admin)),
    ("brin_", Call::Does(Kind::Admin)),
    ("gin_clean_", Call::Does(Kind::Admin)),
];

/// What calling the server's own function of this name means.
pub fn call(name: &str, volatile: bool) -> Call {
    if let Some((_, call)) = NAMED.iter().find(|(known, _)| *known == name) {
        return *call;
    }
    if LOOKS.contains(&name) {
        return Call::Plain;
    }
    if let Some((_, call)) = FAMILIES.iter().find(|(start, _)| name.starts_with(start)) {
        return *call;
    }
    if volatile { Call::Runs } else { Call::Plain }
}

/// Aggregates that give one small value, however many rows they see.
pub fn gives_one_value(name: &str) -> bool {
    const SMALL: &[&str] = &[
        "count", "sum", "avg", "min", "max", "bool_and", "bool_or", "every", "bit_and", "bit_or", "bit_xor",
    ];
    const FAMILIES: &[&str] = &["stddev", "var_", "variance", "regr_", "corr", "covar_"];
    SMALL.contains(&name) || FAMILIES.iter().any(|start| name.starts_with(start))
}

/// Relations of the server, or of well-known extensions, that hold credentials, samples of data or what others say.
pub fn holds_secrets(relation: &str) -> bool {
    const SECRET: &[&str] = &[
        "pg_authid",
        "pg_shadow",
        "pg_user_mapping",
        "pg_user_mappings",
        "pg_subscription",
        "pg_statistic",
        "pg_statistic_ext_data",
        "pg_stats",
        "pg_stats_ext",
        "pg_stats_ext_exprs",
        "pg_stat_activity",
        "pg_stat_statements",
        "pg_largeobject",
        "pg_hba_file_rules",
        "pg_ident_file_mappings",
        "pg_file_settings",
        "user_mapping_options",
        "_pg_user_mappings",
    ];
    SECRET.contains(&relation)
}
