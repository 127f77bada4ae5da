//! Each way to mask, for every type of the server in text and in binary: nothing of a value leaves, and what comes is a
//! value of its type. The types are those that the server names at the time of the test.

use crate::shared::raw::extended::{SYNC, execute, parse, query};
use crate::shared::raw::{Message, Raw, message, sqlstate, text};
use crate::shared::{WITHIN, ended, own_house};
use countersign_sim::clients::DRIVERS;
use countersign_sim::house::{Held, House};
use countersign_sim::shop;
use std::collections::BTreeMap;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{Format, IsNull, ToSql, Type, to_sql_checked};

/// A method, and what a mask of it is called in the configuration. Each has a table of its own.
const METHODS: [(&str, &str); 8] = [
    ("nothing", "null"),
    ("fixed", "fixed"),
    ("token", "token"),
    ("tail", "partial last 4"),
    ("head", "partial first 2"),
    ("address", "partial email"),
    ("width", "bucket 100"),
    ("year", "bucket year"),
];
/// A value of each type that takes one: long enough to be found wherever it stands, and none that is its own bucket.
const SAMPLES: [(&str, &str); 49] = [
    ("bool", "true"),
    ("bytea", "\\x6a616e652e646f65406578616d706c65"),
    ("char", "j"),
    ("name", "jane.doe@example.org"),
    ("int8", "4111111111111234"),
    ("int2", "12345"),
    ("int4", "123456789"),
    ("float4", "123456.78"),
    ("float8", "123456.789"),
    ("numeric", "98765432.10"),
    ("text", "jane.doe@example.org"),
    ("varchar", "jane.doe@example.org"),
    ("bpchar", "jane.doe@example.org"),
    ("json", "{\"ssn\": \"123-45-6789\"}"),
    ("jsonb", "{\"ssn\": \"123-45-6789\"}"),
    ("jsonpath", "$.\"ssn\""),
    ("xml", "<ssn>123-45-6789</ssn>"),
    ("oid", "123456789"),
    ("tid", "(1234,56)"),
    ("xid", "123456789"),
    ("cid", "123456789"),
    ("xid8", "123456789"),
    ("regproc", "pg_catalog.now"),
    ("regprocedure", "pg_catalog.now()"),
    ("regoper", "pg_catalog.||/"),
    ("regoperator", "pg_catalog.*(integer,integer)"),
    ("regclass", "customers"),
    ("regcollation", "\"C\""),
    ("regtype", "integer"),
    ("regrole", "shop_rw"),
    ("regnamespace", "features"),
    ("regconfig", "english"),
    ("regdictionary", "simple"),
    ("date", "1984-02-29"),
    ("time", "17:18:19.123456"),
    ("timetz", "17:18:19.123456+02"),
    ("timestamp", "1984-02-29 17:18:19.123456"),
    ("timestamptz", "1984-02-29 17:18:19.123456+00"),
    ("interval", "3 years 2 mons 17 days"),
    ("money", "$1,234.56"),
    ("inet", "192.168.17.18/24"),
    ("cidr", "192.168.17.0/24"),
    ("macaddr", "08:00:2b:01:02:03"),
    ("macaddr8", "08:00:2b:01:02:03:04:05"),
    ("uuid", "12345678-9abc-4def-8123-456789abcdef"),
    ("bit", "1"),
    ("varbit", "10110011100011110000"),
    ("refcursor", "jane.doe@example.org"),
    ("tsquery", "'jane' & 'doe'"),
];
/// More of them: those of geometry, text search, snapshots, access, and the ranges.
const MORE_SAMPLES: [(&str, &str); 24] = [
    ("tsvector", "'doe':2 'jane':1"),
    ("point", "(12.5,34.25)"),
    ("lseg", "[(1.5,2),(3,4.25)]"),
    ("path", "((1.5,2),(3,4.25))"),
    ("box", "(3,4.25),(1.5,2)"),
    ("polygon", "((1.5,2),(3,4.25),(5,6))"),
    ("line", "{1,2,3.5}"),
    ("circle", "<(1.5,2),3>"),
    ("pg_lsn", "16/B374D848"),
    ("txid_snapshot", "10:20:10,14,15"),
    ("pg_snapshot", "10:20:10,14,15"),
    ("aclitem", "shop_rw=r/shop_rw"),
    ("int4range", "[1234,5678)"),
    ("int8range", "[1234,5678)"),
    ("numrange", "[12.5,34.5)"),
    ("daterange", "[1984-02-29,1985-01-01)"),
    ("tsrange", "[\"1984-02-29 17:18:19\",\"1985-01-01 00:00:00\")"),
    ("tstzrange", "[\"1984-02-29 17:18:19+00\",\"1985-01-01 00:00:00+00\")"),
    ("int4multirange", "{[1234,5678)}"),
    ("int8multirange", "{[1234,5678)}"),
    ("nummultirange", "{[12.5,34.5)}"),
    ("datemultirange", "{[1984-02-29,1985-01-01)}"),
    ("tsmultirange", "{[\"1984-02-29 17:18:19\",\"1985-01-01 00:00:00\")}"),
    ("tstzmultirange", "{[\"1984-02-29 17:18:19+00\",\"1985-01-01 00:00:00+00\")}"),
];
/// Types that take no value of anybody's: the server fills them itself, or they are no columns.
const WITHOUT_VALUES: [&str; 9] = [
    "gtsvector",
    "pg_node_tree",
    "pg_ndistinct",
    "pg_dependencies",
    "pg_mcv_list",
    "pg_brin_bloom_summary",
    "pg_brin_minmax_multi_summary",
    "int2vector",
    "oidvector",
];
/// Types of users.
const OF_USERS: [(&str, &str, &str); 5] = [
    ("public.address", "CREATE DOMAIN address AS text CHECK (value <> '')", "jane.doe@example.org"),
    ("public.cents", "CREATE DOMAIN cents AS bigint", "4111111111111234"),
    ("public.mood", "CREATE TYPE mood AS ENUM ('melancholic', 'sanguine')", "melancholic"),
    ("public.person", "CREATE TYPE person AS (name text, ssn text)", "(\"jane doe\",123-45-6789)"),
    ("public.span", "CREATE TYPE span AS RANGE (subtype = text)", "[jane.doe,john.doe)"),
];

/// A column of the tables: its type as SQL, a value of it, and whether the server gives it in binary.
struct Typed {
    sql: String,
    value: String,
    binary: bool,
}

async fn types(house: &House) -> Vec<Typed> {
    let samples: BTreeMap<&str, &str> = SAMPLES.into_iter().chain(MORE_SAMPLES).collect();
    let server = house.server.superuser(shop::DATABASE).await.unwrap();
    let named = "SELECT typname::text, format_type(oid, -1), typsend::oid <> 0, \
                        (SELECT e.typname::text FROM pg_type e WHERE e.oid = t.typelem AND t.typcategory = 'A') \
                 FROM pg_type t WHERE typtype IN ('b', 'r', 'm') AND oid < 16384 AND typnamespace = 'pg_catalog'::regnamespace \
                   AND (typelem = 0 OR typcategory <> 'A' OR (SELECT typtype FROM pg_type e WHERE e.oid = t.typelem) IN ('b', 'r', 'm')) \
                 ORDER BY oid";
    let mut all = Vec::new();
    for row in server.query(named, &[]).await.unwrap() {
        let (name, sql, binary): (String, String, bool) = (row.get(0), row.get(1), row.get(2));
        let element: Option<String> = row.get(3);
        let base = element.as_deref().unwrap_or(&name);
        if WITHOUT_VALUES.contains(&base) || WITHOUT_VALUES.contains(&name.as_str()) {
            continue;
        }
        let value = *samples
            .get(base)
            .unwrap_or_else(|| panic!("the server has a type `{base}`: give a sample of it"));
        let value = match &element {
            // Boxes have commas in them.
            Some(of) => format!(
                "{{\"{}\"{}NULL}}",
                value.replace('\\', "\\\\").replace('"', "\\\""),
                if of == "box" { ';' } else { ',' }
            ),
            None => value.to_owned(),
        };
        let binary = binary && base != "aclitem";
        all.push(Typed { sql, value, binary });
    }
    assert!(all.len() > 130, "{}", all.len());
    all.extend(OF_USERS.map(|(sql, _, value)| Typed {
        sql: sql.to_owned(),
        value: value.to_owned(),
        binary: true,
    }));
    all
}

/// A house with a table for each method that has a labelled column of every type.
async fn house_of_types() -> (House, Vec<Typed>) {
    let mut house = own_house("").await;
    house.stop().await.unwrap();
    for (_, define, _) in OF_USERS {
        house.change(define).await.unwrap();
    }
    let types = types(&house).await;
    let columns: Vec<String> = types.iter().enumerate().map(|(at, t)| format!("c{at} {}", t.sql)).collect();
    let quoted: Vec<String> =
        types.iter().map(|t| format!("'{}'::{}", t.value.replace('\'', "''"), t.sql)).collect();
    let (mut masks, mut labels) = (String::new(), Vec::new());
    for (name, words) in METHODS {
        let make = format!("CREATE TABLE m_{name} (id int PRIMARY KEY, {})", columns.join(", "));
        house.change(&make).await.unwrap();
        house.change(&format!("INSERT INTO m_{name} VALUES (1, {})", quoted.join(", "))).await.unwrap();
        house.change(&format!("INSERT INTO m_{name} (id) VALUES (2)")).await.unwrap();
        house.change(&format!("GRANT SELECT, INSERT, UPDATE ON m_{name} TO shop_rw")).await.unwrap();
        masks.push_str(&format!("\"m.{name}\" = \"{words}\"\n"));
        labels.push((format!("m_{name}"), format!("m.{name}")));
    }
    relabel(&house, &labels, &masks).await;
    house.serve().await.unwrap();
    (house, types)
}

/// Labels every column but `id` of some tables, and adds masks. For a gate that does not run.
pub async fn relabel(house: &House, labels: &[(String, String)], masks: &str) {
    house.command(&["catalogue", "sync", "--target", "shop", "--accept"]).await.unwrap();
    let file = house.folder().join("catalogue/shop.toml");
    let (mut lines, mut label) = (Vec::new(), None);
    for line in std::fs::read_to_string(&file).unwrap().lines() {
        if let Some(name) = line.strip_prefix("name = ") {
            label = labels.iter().find(|(table, _)| name.trim_matches('"') == table);
        }
        lines.push(match label {
            Some((_, label)) if !line.contains("{ name = \"id\",") => {
                line.replace("labels = []", &format!("labels = [\"{label}\"]"))
            }
            _ => line.to_owned(),
        });
    }
    std::fs::write(&file, lines.join("\n") + "\n").unwrap();
    let file = house.folder().join("countersign.toml");
    let config = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, config.replace("[masks]\n", &format!("[masks]\n{masks}"))).unwrap();
}

/// All cells of the first row.
pub fn row(said: &[Message]) -> Vec<Option<Vec<u8>>> {
    let row = said.iter().find(|message| message.tag == b'D');
    fields(&row.unwrap_or_else(|| panic!("a row: {said:?}")).body)
}

/// The fields of a row, here or in a COPY in binary format.
fn fields(body: &[u8]) -> Vec<Option<Vec<u8>>> {
    let mut rest = &body[2..];
    let mut cells = Vec::new();
    for _ in 0..u16::from_be_bytes([body[0], body[1]]) {
        let length = i32::from_be_bytes(rest[..4].try_into().unwrap());
        rest = &rest[4..];
        let (cell, after) = rest.split_at(usize::try_from(length).unwrap_or(0));
        cells.push((length >= 0).then(|| cell.to_vec()));
        rest = after;
    }
    assert!(rest.is_empty());
    cells
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    !part.is_empty() && bytes.windows(part.len()).any(|window| window == part)
}

/// Everything as text, or everything as binary.
pub fn read(sql: &str, binary: bool) -> Vec<u8> {
    let formats = [0, 0, 0, 0, 0, 1, 0, u8::from(binary)];
    let bound = message(b'B', &[text(""), text(""), formats.to_vec()].concat());
    [parse("", sql), bound, execute("", 0), SYNC.to_vec()].concat()
}

/// Bytes as they came, as a value of whatever type.
#[derive(Debug)]
struct AsItCame(Vec<u8>, bool);

impl ToSql for AsItCame {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        out.extend_from_slice(&self.0);
        Ok(IsNull::No)
    }
    fn accepts(_: &Type) -> bool {
        true
    }
    fn encode_format(&self, _: &Type) -> Format {
        if self.1 { Format::Binary } else { Format::Text }
    }
    to_sql_checked!();
}

/// What the server takes a value for, in its own words.
async fn accepted(server: &tokio_postgres::Client, of: &Typed, cell: &[u8], binary: bool) -> String {
    let sql = format!("SELECT pg_catalog.concat($1::{})", of.sql);
    let taken = server.query_one(&sql, &[&AsItCame(cell.to_vec(), binary)]).await;
    let taken = taken.unwrap_or_else(|error| panic!("{} {binary} {cell:?}: {error:?}", of.sql));
    taken.get(0)
}

#[tokio::test]
async fn every_type_is_masked_by_every_method_in_both_formats() {
    let (house, types) = house_of_types().await;
    let server = house.server.superuser(shop::DATABASE).await.unwrap();
    let mut gate = Raw::login(&house).await;
    let mut shown = BTreeMap::new();
    for (name, _) in METHODS {
        for binary in [false, true] {
            let of: Vec<(usize, &Typed)> =
                types.iter().enumerate().filter(|(_, of)| of.binary || !binary).collect();
            let list: Vec<String> = of.iter().map(|(at, _)| format!("c{at}")).collect();
            let list = list.join(", ");
            let said = gate.ask(&[&read(&format!("SELECT {list} FROM m_{name} WHERE id = 1"), binary)]).await;
            let masked = row(&said);
            let bare = format!("SELECT * FROM m_{name} WHERE id = 2");
            assert!(row(&gate.ask(&[&query(&bare)]).await).iter().skip(1).all(Option::is_none));
            assert_eq!(masked.len(), of.len());
            for ((at, of), cell) in of.into_iter().zip(masked) {
                let Some(cell) = cell else { continue };
                let way = format!("{name} {} {}", of.sql, if binary { "binary" } else { "text" });
                let raw = raw_value(&server, of, name, at, binary).await;
                assert!(!holds(&cell, &raw) && !holds(&raw, &cell), "{way}: {cell:?}");
                let words = accepted(&server, of, &cell, binary).await;
                // The two formats of a value say the same.
                let known = shown.entry((name, at)).or_insert_with(|| words.clone());
                assert_eq!(*known, words, "{way}");
            }
        }
    }
    let methods_of = |sql: &str| -> Vec<&str> {
        let at = types.iter().position(|of| of.sql == sql).expect(sql);
        METHODS.iter().map(|(name, _)| *name).filter(|name| shown.contains_key(&(*name, at))).collect()
    };
    for sql in ["text", "character varying", "bpchar", "name", "json", "jsonb", "xml", "address"] {
        let sql = if sql == "address" { "public.address" } else { sql };
        assert_eq!(methods_of(sql), ["fixed", "token", "tail", "head", "address"], "{sql}");
    }
    for sql in ["smallint", "integer", "bigint", "real", "double precision", "numeric", "public.cents"] {
        assert_eq!(methods_of(sql), ["width"], "{sql}");
    }
    for sql in ["date", "timestamp without time zone", "timestamp with time zone"] {
        assert_eq!(methods_of(sql), ["year"], "{sql}");
    }
    assert_eq!(methods_of("uuid"), ["token"]);
    let speak = ["text", "character varying", "bpchar", "name", "json", "jsonb", "xml", "public.address"]
        .len()
        + 7
        + 3
        + 1;
    let spoken = (0..types.len()).filter(|at| shown.keys().any(|(_, of)| of == at)).count();
    assert_eq!(spoken, speak, "of every other type nothing is shown");
}

/// The value itself, as the server gives it.
async fn raw_value(
    server: &tokio_postgres::Client,
    of: &Typed,
    name: &str,
    at: usize,
    binary: bool,
) -> Vec<u8> {
    let send = if binary {
        let out = format!(
            "SELECT (SELECT typsend::oid::regproc::text FROM pg_type WHERE oid = '{}'::regtype)",
            of.sql
        );
        let function: String = server.query_one(&out, &[]).await.unwrap().get(0);
        format!("SELECT {function}(c{at}) FROM m_{name} WHERE id = 1")
    } else {
        format!("SELECT convert_to(concat(c{at}), 'UTF8') FROM m_{name} WHERE id = 1")
    };
    server.query_one(&send, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_copy_is_masked_in_every_format_as_the_same_rows_are() {
    let (house, types) = house_of_types().await;
    let mut gate = Raw::login(&house).await;
    for (name, _) in METHODS {
        let of: Vec<usize> = (0..types.len()).filter(|at| types[*at].binary).collect();
        let list = of.iter().map(|at| format!("c{at}")).collect::<Vec<_>>().join(", ");
        let select = format!("SELECT {list} FROM m_{name} WHERE id = 1");
        let (texts, binaries) =
            (row(&gate.ask(&[&read(&select, false)]).await), row(&gate.ask(&[&read(&select, true)]).await));
        for format in ["text", "csv, HEADER", "binary"] {
            gate.send(&query(&format!("COPY m_{name} ({list}) TO STDOUT (FORMAT {format})"))).await;
            let held = gate.held().await;
            house.approve(&held.id).await.unwrap();
            let said = gate.until(b'Z').await;
            assert_eq!(sqlstate(&said), None, "{name} {format}: {said:?}");
            let copied: Vec<&[u8]> =
                said.iter().filter(|m| m.tag == b'd').map(|m| m.body.as_slice()).collect();
            match format {
                "binary" => {
                    // The header goes with the first row.
                    assert_eq!(
                        (copied.len(), &copied[0][..19]),
                        (3, &b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0"[..])
                    );
                    assert_eq!(fields(&copied[0][19..]), binaries, "{name}");
                    assert!(fields(copied[1]).iter().all(Option::is_none) && copied[2] == [0xff, 0xff]);
                }
                "text" => {
                    let line = String::from_utf8(copied[0].to_vec()).unwrap();
                    let cells: Vec<Option<Vec<u8>>> = line
                        .trim_end_matches('\n')
                        .split('\t')
                        .map(|cell| (cell != "\\N").then(|| cell.replace("\\\\", "\\").into_bytes()))
                        .collect();
                    assert_eq!(cells, texts, "{name}");
                }
                _ => {
                    let values = texts.iter().flatten();
                    assert_eq!(
                        (copied.len(), copied[0]),
                        (3, format!("{}\n", list.replace(", ", ",")).as_bytes())
                    );
                    let line = String::from_utf8(copied[1].to_vec()).unwrap().replace("\"\"", "\"");
                    for value in values {
                        assert!(line.contains(std::str::from_utf8(value).unwrap()), "{name}: {line}");
                    }
                    assert!(
                        !line.contains("123-45")
                            && !line.contains("jane")
                            && !line.contains("4111111111111234"),
                        "{line}"
                    );
                }
            }
        }
    }
    // psql and the drivers read what comes.
    for (name, _) in METHODS {
        let all = format!("SELECT * FROM m_{name} WHERE id = 1");
        let said = house.run(&all).await.unwrap().success().unwrap().stdout;
        assert!(
            !said.contains("jane.doe") && !said.contains("123-45") && !said.contains("4111111111111234"),
            "{said}"
        );
        for driver in DRIVERS {
            let mut client = house.driver(driver, &["read", &all]).unwrap();
            assert!(client.ended(WITHIN).await.unwrap().success(), "{name} {driver:?}: {}", client.said());
            let said = client.said();
            assert!(
                !said.contains("jane.doe") && !said.contains("123-45") && !said.contains("4111111111111234"),
                "{said}"
            );
        }
    }
}

#[tokio::test]
async fn tokens_are_null_for_whoever_may_write_what_they_stand_for() {
    let mut house = own_house("").await;
    house.stop().await.unwrap();
    house.change("CREATE TABLE features.contacts (id int PRIMARY KEY, mail text)").await.unwrap();
    house.change("INSERT INTO features.contacts VALUES (1, 'jane.doe@example.org')").await.unwrap();
    house.change("CREATE TABLE visitors (id int PRIMARY KEY, mail text, other text)").await.unwrap();
    house.change("INSERT INTO visitors SELECT n, 'jane.doe@example.org', 'jane.doe@example.org' FROM generate_series(1, 2) n").await.unwrap();
    house.change("GRANT ALL ON features.contacts, visitors TO shop_rw").await.unwrap();
    let label = |table: &str| (table.to_owned(), "m.mail".to_owned());
    relabel(&house, &[label("contacts"), label("visitors")], "\"m.mail\" = \"token\"\n").await;
    let file = house.folder().join("catalogue/shop.toml");
    let catalogue = std::fs::read_to_string(&file).unwrap();
    let at = catalogue.find("name = \"contacts\"").unwrap();
    let owned = catalogue[at..].replacen("own = []", "own = [\"etl-agent\"]", 1);
    std::fs::write(&file, [&catalogue[..at], &owned].concat()).unwrap();
    house.serve().await.unwrap();

    let mut gate = Raw::login(&house).await;
    let cells = |said: &[Message]| -> Vec<Option<String>> {
        row(said).into_iter().map(|cell| cell.map(|cell| String::from_utf8(cell).unwrap())).collect()
    };
    let own = cells(&gate.ask(&[&query("SELECT mail FROM features.contacts WHERE id = 1")]).await);
    assert_eq!(own, [None], "it could put values of its own choice there and compare");
    let said = gate.ask(&[&query("INSERT INTO features.contacts VALUES (2, 'guess@example.org')")]).await;
    assert_eq!(sqlstate(&said), None, "{said:?}");
    let first = cells(&gate.ask(&[&query("SELECT mail, other FROM visitors WHERE id = 1")]).await);
    let second = cells(&gate.ask(&[&query("SELECT mail, other FROM visitors WHERE id = 2")]).await);
    assert_eq!(first, second, "equal values of one column have equal tokens");
    assert_ne!(first[0], first[1], "and those of another column have others");
    assert!(first[0].as_deref().is_some_and(|token| token.starts_with("tok_m_mail_")), "{first:?}");
    // What people have approved is shown by its tokens.
    let psql = house.start("COPY features.contacts TO STDOUT").unwrap();
    house.approve(&Held::seen_by(&psql).await.unwrap().id).await.unwrap();
    let (out, _) = ended(psql).await;
    assert!(out.contains("1\ttok_m_mail_") && !out.contains("@example"), "{out}");
}
