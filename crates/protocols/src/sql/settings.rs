//! The session settings that may be changed without asking. Whatever is not on the list is held: a setting can change
//! what a text means, who acts, or what the server runs.

/// The prefix of the settings that the gate answers itself.
pub const OWN_PREFIX: &str = "countersign.";

/// Settings that may have any value.
const ANY_VALUE: &[&str] = &[
    "application_name",
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "transaction_timeout",
    "datestyle",
    "intervalstyle",
    "timezone",
    "extra_float_digits",
    "client_min_messages",
    "bytea_output",
    // Of functions that are defined: whoever may define one may do so without the check.
    "check_function_bodies",
    "xmloption",
    "xmlbinary",
    "jit",
    "geqo",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "default_transaction_isolation",
    "default_transaction_deferrable",
    // Drivers toggle it. It is no wall: whoever is read-only may say otherwise, and each write is judged by itself.
    "default_transaction_read_only",
    "transaction_read_only",
    "transaction_isolation",
    "transaction_deferrable",
    "escape_string_warning",
    "plan_cache_mode",
    "work_mem",
    "random_page_cost",
    "seq_page_cost",
    "effective_cache_size",
    "max_parallel_workers_per_gather",
    "cursor_tuple_fraction",
    "synchronize_seqscans",
    "quote_all_identifiers",
    "tcp_keepalives_idle",
    "tcp_keepalives_interval",
    "tcp_keepalives_count",
    "tcp_user_timeout",
    "from_collapse_limit",
    "join_collapse_limit",
];

/// Whether a setting may get this value without asking. `value` is as it was written, without quotes; a list is joined
/// by commas. Names are compared as the server does, without regard to case.
pub fn allow_listed(name: &str, value: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let value = value.trim();
    match name.as_str() {
        "client_encoding" | "names" => {
            // As the server reads a name of an encoding: asyncpg writes it in quotes.
            let letters = value.chars().filter(char::is_ascii_alphanumeric);
            let name: String = letters.map(|letter| letter.to_ascii_lowercase()).collect();
            ["utf8", "unicode"].contains(&name.as_str())
        }
        "standard_conforming_strings" | "row_security" => is_on(value),
        "search_path" => value.split(',').all(|schema| {
            let schema = schema.trim().trim_matches('"');
            !schema.to_ascii_lowercase().starts_with("pg_t")
        }),
        name if name.starts_with(OWN_PREFIX) => true,
        name => any_value(name),
    }
}

/// Whether a setting may get any value without asking: none of them changes what names mean or what a text may do.
/// Those that decide what values mean are signed with what people approve: see [`decides_values`].
pub fn any_value(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ANY_VALUE.contains(&name.as_str()) || name.starts_with("enable_")
}

/// Settings that decide what the values in a text mean, what a text computes of them, or how they are written back.
const DECIDES_VALUES: &[&str] = &[
    "array_nulls",
    "bytea_output",
    "datestyle",
    "default_text_search_config",
    "extra_float_digits",
    "intervalstyle",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "quote_all_identifiers",
    "timezone",
    "timezone_abbreviations",
    "transform_null_equals",
    "xmlbinary",
    "xmloption",
];

/// Whether people must know the value of a setting to know what a text does.
pub fn decides_values(name: &str) -> bool {
    DECIDES_VALUES.contains(&name.to_ascii_lowercase().as_str())
}

/// Their names, in lower case.
pub fn that_decide_values() -> &'static [&'static str] {
    DECIDES_VALUES
}

/// Whether a changed setting is one of which nothing is known here: not on the list of what may have any value, and not
/// one that the gate follows by itself.
pub fn is_unheard_of(name: &str) -> bool {
    let followed = [
        "search_path",
        "role",
        "session_authorization",
        "client_encoding",
        "standard_conforming_strings",
        "row_security",
        "session_replication_role",
    ];
    let name = name.to_ascii_lowercase();
    !any_value(&name) && !name.starts_with("transaction_") && !followed.contains(&name.as_str())
}

/// Whether a value is one under which statements cannot be understood, or are not what they seem: a session that had it
/// would have to end.
pub fn is_fixed(name: &str, value: &str) -> bool {
    match name.to_ascii_lowercase().as_str() {
        "client_encoding" | "names" | "standard_conforming_strings" | "row_security" => {
            !allow_listed(name, value)
        }
        "session_replication_role" => !value.trim().eq_ignore_ascii_case("origin"),
        _ => false,
    }
}

/// Whether the gate has to know of a change to understand what follows.
pub fn changes_meaning(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name == "search_path" || name.starts_with(OWN_PREFIX)
}

/// Whether a setting may go back to its default without asking.
pub fn may_reset(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name == "search_path" || name.starts_with(OWN_PREFIX) || any_value(&name)
}

/// Whether a value means `on`.
pub fn is_on(value: &str) -> bool {
    let value = value.to_ascii_lowercase();
    ["on", "true", "yes", "1", "t", "y"].contains(&value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_drivers_say_at_the_start_may_pass() {
        for (name, value) in [
            ("extra_float_digits", "3"),
            ("application_name", "psql"),
            ("client_encoding", "UTF8"),
            ("client_encoding", "'utf-8'"),
            ("DateStyle", "ISO"),
            ("TimeZone", "UTC"),
            ("standard_conforming_strings", "on"),
            ("search_path", "features, public"),
            ("check_function_bodies", "false"),
            ("default_transaction_read_only", "off"),
            ("transaction_read_only", "on"),
        ] {
            assert!(allow_listed(name, value), "{name} = {value}");
        }
    }

    #[test]
    fn what_changes_the_meaning_of_a_text_or_who_acts_may_not() {
        for (name, value) in [
            ("client_encoding", "SQL_ASCII"),
            ("client_encoding", "BIG5"),
            ("standard_conforming_strings", "off"),
            ("search_path", "pg_temp, public"),
            ("role", "postgres"),
            ("session_authorization", "postgres"),
            ("row_security", "off"),
            ("session_replication_role", "replica"),
            ("local_preload_libraries", "x"),
            ("transform_null_equals", "on"),
        ] {
            assert!(!allow_listed(name, value), "{name} = {value}");
        }
    }

    #[test]
    fn what_would_end_the_session_is_told_from_what_people_may_allow() {
        for (name, value, fixed) in [
            ("row_security", "off", true),
            ("row_security", "on", false),
            ("standard_conforming_strings", "off", true),
            ("Session_Replication_Role", "replica", true),
            ("session_replication_role", "origin", false),
            ("client_encoding", "LATIN1", true),
            ("client_encoding", "utf8", false),
            ("work_mem", "off", false),
        ] {
            assert_eq!(is_fixed(name, value), fixed, "{name} = {value}");
        }
    }
}
