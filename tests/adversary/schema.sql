-- run as superuser in database shop
CREATE TABLE customers (
  id bigint PRIMARY KEY, name text NOT NULL, email text NOT NULL UNIQUE, phone text, card_last4 text NOT NULL,
  country text NOT NULL, created_at timestamptz NOT NULL, marketing_opt_in boolean NOT NULL,
  email_lower text GENERATED ALWAYS AS (lower(email)) STORED);
CREATE TABLE products (id bigint PRIMARY KEY, sku text NOT NULL UNIQUE, name text NOT NULL, price_cents bigint NOT NULL);
CREATE TABLE orders (id bigint PRIMARY KEY, customer_id bigint NOT NULL REFERENCES customers, status text NOT NULL, total_cents bigint NOT NULL, created_at timestamptz NOT NULL);
CREATE TABLE order_items (id bigint PRIMARY KEY, order_id bigint NOT NULL REFERENCES orders, product_id bigint NOT NULL REFERENCES products, quantity integer NOT NULL, price_cents bigint NOT NULL);
CREATE TABLE payments (id bigint PRIMARY KEY, order_id bigint NOT NULL REFERENCES orders, iban text NOT NULL, amount_cents bigint NOT NULL, status text NOT NULL);
CREATE TABLE support_tickets (id bigint PRIMARY KEY, customer_id bigint NOT NULL REFERENCES customers, subject text NOT NULL, body text NOT NULL, created_at timestamptz NOT NULL);
CREATE SCHEMA features;
CREATE TABLE features.churn (customer_id bigint PRIMARY KEY, score real NOT NULL, computed_at timestamptz NOT NULL);
CREATE TABLE features.spend (customer_id bigint PRIMARY KEY, total_cents bigint NOT NULL, orders integer NOT NULL, computed_at timestamptz NOT NULL);
CREATE TABLE features.runs (id bigserial PRIMARY KEY, note text);
-- views
CREATE VIEW order_totals AS SELECT id, total_cents FROM orders;
CREATE VIEW customer_contacts AS SELECT id, email FROM customers;
CREATE MATERIALIZED VIEW customer_copy AS SELECT id, email FROM customers;
CREATE VIEW sessions_seen AS SELECT pid, query FROM pg_stat_activity;
-- code
CREATE SCHEMA app;
CREATE FUNCTION app.score(bigint) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION helper(int) RETURNS int LANGUAGE sql AS 'SELECT $1';
CREATE SEQUENCE app.tickets;
CREATE TYPE app.mood AS ENUM ('ok','bad');
CREATE TABLE app.moods (id int PRIMARY KEY, mood app.mood);
INSERT INTO app.moods VALUES (1,'ok');
CREATE FUNCTION public.wipe() RETURNS bigint LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $$ DECLARE n bigint; BEGIN DELETE FROM public.order_items WHERE id = (SELECT max(id) FROM public.order_items); GET DIAGNOSTICS n = ROW_COUNT; RETURN n; END $$;
-- same name as a built-in, other number of arguments, one of a user's type
CREATE FUNCTION public.md5(app.mood, int) RETURNS text LANGUAGE sql VOLATILE AS 'SELECT wipe()::text';
-- same name as a built-in, taking a row type
CREATE FUNCTION public.to_json(orders) RETURNS json LANGUAGE sql VOLATILE AS 'SELECT pg_catalog.to_json(wipe())';
CREATE FUNCTION public.row_text(products) RETURNS text LANGUAGE sql VOLATILE AS 'SELECT ''wiped ''||wipe()';
CREATE CAST (products AS text) WITH FUNCTION public.row_text(products);
CREATE FUNCTION public.row_eq(order_items, order_items) RETURNS bool LANGUAGE sql VOLATILE AS 'SELECT wipe() >= 0';
CREATE OPERATOR public.= (FUNCTION = public.row_eq, LEFTARG = order_items, RIGHTARG = order_items);
-- words that PostgreSQL 15 takes for ordinary functions and PostgreSQL 18's grammar for syntax
CREATE FUNCTION public.json_value(jsonb, text) RETURNS text LANGUAGE sql VOLATILE AS 'SELECT wipe()::text';
CREATE FUNCTION public.json_query(jsonb, text) RETURNS text LANGUAGE sql VOLATILE AS 'SELECT wipe()::text';
CREATE FUNCTION public.json_exists(jsonb, text) RETURNS text LANGUAGE sql VOLATILE AS 'SELECT wipe()::text';
CREATE FUNCTION public.json_scalar(int) RETURNS text LANGUAGE sql VOLATILE AS 'SELECT wipe()::text';
CREATE FUNCTION public.json_serialize(jsonb) RETURNS text LANGUAGE sql VOLATILE AS 'SELECT wipe()::text';
CREATE FUNCTION public.json_array(int, int) RETURNS text LANGUAGE sql VOLATILE AS 'SELECT wipe()::text';
CREATE FUNCTION public.merge_action() RETURNS text LANGUAGE sql VOLATILE AS 'SELECT wipe()::text';
CREATE FUNCTION public.system_user() RETURNS text LANGUAGE sql VOLATILE AS 'SELECT wipe()::text';
CREATE VIEW json_view AS SELECT id, json_value(to_jsonb(id), '$') AS v FROM products;
CREATE FUNCTION public.secret_email(bigint) RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT email FROM customers WHERE id=$1';
CREATE PROCEDURE app.work() LANGUAGE plpgsql AS $$ BEGIN DELETE FROM order_items WHERE id=1; END $$;
-- a column whose name later grammars take for syntax
CREATE TABLE app.logins (id bigint PRIMARY KEY, "system_user" text NOT NULL, at timestamptz DEFAULT now());
INSERT INTO app.logins VALUES (1,'alice@secret.example');
-- tables of the same name elsewhere
CREATE TABLE features.customers (id bigint, email text, country text);
CREATE SCHEMA archive;
CREATE TABLE archive.customers (id bigint, email text, country text);
CREATE TABLE archive.orders (id bigint, status text);
-- own tables with more to them
CREATE FUNCTION app.audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO products VALUES (9999+NEW.id, 'a'||NEW.id, 'x', 1); RETURN NEW; END $$;
CREATE TABLE features.audited (id bigint PRIMARY KEY, note text);
CREATE TRIGGER audit AFTER INSERT ON features.audited FOR EACH ROW EXECUTE FUNCTION app.audit();
CREATE TABLE features.ruled (id bigint PRIMARY KEY);
CREATE RULE also AS ON INSERT TO features.ruled DO ALSO DELETE FROM order_items WHERE id = 5;
CREATE TABLE features.parents (id bigint PRIMARY KEY, k text UNIQUE);
CREATE TABLE app.kids (id bigint, parent_k text REFERENCES features.parents(k) ON UPDATE CASCADE ON DELETE CASCADE);
CREATE TABLE features.defaulted (id bigserial PRIMARY KEY, x xml DEFAULT query_to_xml('SELECT wipe()', true, true, ''));
CREATE TABLE features.defaulted2 (id bigserial PRIMARY KEY, x xml DEFAULT query_to_xml('SELECT email FROM customers LIMIT 3', true, true, ''));
CREATE TABLE features.defaulted3 (id bigserial PRIMARY KEY, n bigint DEFAULT nextval('app.tickets'));
CREATE TABLE features.checked (id bigint PRIMARY KEY, n int CHECK (query_to_xml('SELECT wipe()', true, true, '') IS NOT NULL));
CREATE TABLE features.known_mail (email text REFERENCES customers(email), note text);
CREATE TABLE features.mails_part (id bigint, region text, v int, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE features.mails_de PARTITION OF features.mails_part FOR VALUES IN ('de');
CREATE TABLE app.mails_fr PARTITION OF features.mails_part FOR VALUES IN ('fr');
CREATE TABLE features.base (id bigint, v int);
CREATE TABLE app.derived (extra text) INHERITS (features.base);
CREATE TABLE features.moody (id bigint PRIMARY KEY, m app.mood);
-- a built-in of one argument count, a user function with defaults on another
CREATE TYPE app.pair AS (a int, b int);
CREATE FUNCTION public.upper(app.pair, int DEFAULT 1) RETURNS text LANGUAGE sql VOLATILE AS 'SELECT wipe()::text';
CREATE FUNCTION public.reverse(VARIADIC app.mood[]) RETURNS text LANGUAGE sql VOLATILE AS 'SELECT wipe()::text';
-- a type of the user's with code around it
CREATE TYPE app.tone AS ENUM ('low','high');
CREATE TABLE app.tones (id int PRIMARY KEY, t app.tone);
INSERT INTO app.tones VALUES (1,'low');
CREATE FUNCTION public.initcap(app.tone) RETURNS text LANGUAGE sql VOLATILE AS 'SELECT wipe()::text';
CREATE FUNCTION app.tone_int(app.tone) RETURNS int LANGUAGE sql VOLATILE AS 'SELECT wipe()::int';
CREATE CAST (app.tone AS int) WITH FUNCTION app.tone_int(app.tone);
CREATE FUNCTION app.tone_plus(app.tone, int) RETURNS int LANGUAGE sql VOLATILE AS 'SELECT wipe()::int';
CREATE OPERATOR public.+ (FUNCTION = app.tone_plus, LEFTARG = app.tone, RIGHTARG = int);
CREATE FUNCTION public.pj(app.moods) RETURNS json LANGUAGE sql VOLATILE AS 'SELECT pg_catalog.to_json(wipe())';
CREATE CAST (app.moods AS json) WITH FUNCTION public.pj(app.moods);
CREATE FUNCTION app.tone_real(app.tone) RETURNS real LANGUAGE sql VOLATILE AS 'SELECT wipe()::real';
CREATE CAST (app.tone AS real) WITH FUNCTION app.tone_real(app.tone) AS IMPLICIT;
CREATE FUNCTION app.not_mood(app.mood) RETURNS text LANGUAGE sql VOLATILE AS 'SELECT wipe()::text';
CREATE OPERATOR public.!~~ (FUNCTION = app.not_mood, RIGHTARG = app.mood);
-- labels in families
CREATE TABLE people (id bigint, mail text) PARTITION BY RANGE (id);
CREATE TABLE people_1 PARTITION OF people FOR VALUES FROM (0) TO (1000);
CREATE TABLE animals (id bigint, kind text);
CREATE TABLE pets (owner_mail text) INHERITS (animals);
INSERT INTO people VALUES (1, 'p1@secret.example'),(2,'p2@secret.example');
INSERT INTO pets VALUES (1,'cat','p1@secret.example');
-- row security
CREATE TABLE app.tenants (id bigint PRIMARY KEY, name text);
CREATE FUNCTION app.can_see(bigint) RETURNS bool LANGUAGE sql AS 'SELECT true';
ALTER TABLE app.tenants ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON app.tenants USING (app.can_see(id));
CREATE TABLE app.tenants2 (id bigint PRIMARY KEY, name text);
INSERT INTO app.tenants2 VALUES (1,'x');
ALTER TABLE app.tenants2 ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON app.tenants2 USING (query_to_xml('SELECT wipe()', true, true, '') IS NOT NULL);
-- domains, types
CREATE DOMAIN app.checked AS text CHECK (length(VALUE) < 100);
CREATE DOMAIN app.plain_domain AS text;
CREATE TYPE app.address AS (street text, city text);
CREATE TABLE app.profiles (id bigint PRIMARY KEY, home app.address, tags text[], data jsonb);
INSERT INTO app.profiles VALUES (1, ROW('Secret st. 1','X'), ARRAY['t1','t2'], '{"ssn":"123"}');
CREATE TABLE pg_classes (id int, note text);
CREATE TABLE app.keyless (id bigint, mail text);
CREATE TABLE events (id bigint, at timestamptz, kind text) PARTITION BY RANGE (at);
CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');

CREATE EXTENSION file_fdw;
CREATE SERVER far FOREIGN DATA WRAPPER file_fdw;
CREATE FOREIGN TABLE app.remote (line text) SERVER far OPTIONS (filename '/etc/hostname');
-- rows
INSERT INTO customers SELECT i, 'Name '||i, 'mail'||i||'@secret.example', '+49'||i, lpad(i::text,4,'0'), (ARRAY['DE','FR','US'])[1+i%3], now(), i%2=0 FROM generate_series(1,500) i;
INSERT INTO products SELECT i, 'SKU'||i, 'Product '||i, i*100 FROM generate_series(1,50) i;
INSERT INTO orders SELECT i, 1+i%500, 'new', i, now() FROM generate_series(1,1000) i;
INSERT INTO order_items SELECT i, 1+i%1000, 1+i%50, 1, 5 FROM generate_series(1,2000) i;
INSERT INTO payments SELECT i, i, 'DE00SECRET'||i, 5, 'ok' FROM generate_series(1,500) i;
INSERT INTO support_tickets SELECT i, i, 'help', 'my secret is '||i, now() FROM generate_series(1,100) i;
INSERT INTO features.churn SELECT i, 0.5, now() FROM generate_series(1,500) i;
INSERT INTO features.parents VALUES (1,'a'); INSERT INTO app.kids VALUES (1,'a');
-- access
GRANT USAGE ON SCHEMA public, features, app TO reporting_ro, shop_rw;
GRANT SELECT ON ALL TABLES IN SCHEMA public, features, app TO reporting_ro;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public, features, app TO shop_rw;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public, features, app TO shop_rw;
ALTER SCHEMA features OWNER TO shop_rw;
REFRESH MATERIALIZED VIEW customer_copy;
CREATE INDEX ON orders (customer_id);
ANALYZE;
-- r2: round two
CREATE DOMAIN app.def_dom AS xml DEFAULT query_to_xml('SELECT wipe()', true, true, '');
CREATE TABLE features.dom_default (id bigint PRIMARY KEY, x app.def_dom);
CREATE FUNCTION app.bucket(bigint) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM public.wipe(); RETURN $1; END $$;
CREATE TABLE features.by_expr (id bigint, v int) PARTITION BY RANGE (app.bucket(id));
CREATE TABLE features.by_expr_1 PARTITION OF features.by_expr DEFAULT;
CREATE FUNCTION app.json_cmp(json, json) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM public.wipe(); RETURN bttextcmp($1::text,$2::text); END $$;
CREATE FUNCTION app.json_lt(json, json) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT app.json_cmp($1,$2) < 0';
CREATE FUNCTION app.json_le(json, json) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT app.json_cmp($1,$2) <= 0';
CREATE FUNCTION app.json_eq(json, json) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT app.json_cmp($1,$2) = 0';
CREATE FUNCTION app.json_ge(json, json) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT app.json_cmp($1,$2) >= 0';
CREATE FUNCTION app.json_gt(json, json) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT app.json_cmp($1,$2) > 0';
CREATE OPERATOR app.< (FUNCTION=app.json_lt, LEFTARG=json, RIGHTARG=json);
CREATE OPERATOR app.<= (FUNCTION=app.json_le, LEFTARG=json, RIGHTARG=json);
CREATE OPERATOR app.= (FUNCTION=app.json_eq, LEFTARG=json, RIGHTARG=json, MERGES);
CREATE OPERATOR app.>= (FUNCTION=app.json_ge, LEFTARG=json, RIGHTARG=json);
CREATE OPERATOR app.> (FUNCTION=app.json_gt, LEFTARG=json, RIGHTARG=json);
CREATE OPERATOR CLASS app.json_ops DEFAULT FOR TYPE json USING btree AS OPERATOR 1 app.<, OPERATOR 2 app.<=, OPERATOR 3 app.=, OPERATOR 4 app.>=, OPERATOR 5 app.>, FUNCTION 1 app.json_cmp(json,json);
CREATE OPERATOR CLASS app.mood_ops DEFAULT FOR TYPE app.mood USING btree AS FUNCTION 1 enum_cmp(anyenum,anyenum);
CREATE TABLE app.docs (id bigint PRIMARY KEY, j json, c xml);
INSERT INTO app.docs VALUES (1,'{"a":1}'),(2,'{"a":2}');
-- a partitioned table by hash with an operator class of the user's
CREATE FUNCTION app.h8(bigint,bigint) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM public.wipe(); RETURN $1; END $$;
CREATE OPERATOR CLASS app.h8_ops FOR TYPE bigint USING hash AS OPERATOR 1 =, FUNCTION 2 app.h8(bigint,bigint);
CREATE TABLE features.by_hash (id bigint, v int) PARTITION BY HASH (id app.h8_ops);
CREATE TABLE features.by_hash_0 PARTITION OF features.by_hash FOR VALUES WITH (MODULUS 1, REMAINDER 0);
CREATE TABLE app.oddly (id bigint PRIMARY KEY, oid text);
INSERT INTO app.oddly VALUES (1,'odd@secret.example');
-- a range type whose subtype difference and canonical are code
CREATE FUNCTION app.fdiff(float8,float8) RETURNS float8 LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM public.wipe(); RETURN $1-$2; END $$;
CREATE TYPE app.frange AS RANGE (subtype = float8, subtype_diff = app.fdiff);
CREATE TABLE features.ranged (id bigint PRIMARY KEY, r app.frange);
-- a view with a default, a view over a function's result, ON SELECT of a composite function
CREATE VIEW features.seen AS SELECT c.id, c.country FROM public.customers c;
CREATE VIEW features.whole AS SELECT c FROM public.customers c;
CREATE TABLE features.snap (id bigint, who customers);
CREATE COLLATION app.ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
-- an aggregate, casts by in-out and by assignment
CREATE CAST (app.mood AS varchar) WITH INOUT AS ASSIGNMENT;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public, features, app TO shop_rw;
GRANT SELECT ON ALL TABLES IN SCHEMA public, features, app TO reporting_ro;
ALTER TABLE features.dom_default OWNER TO shop_rw; ALTER TABLE features.by_expr OWNER TO shop_rw; ALTER TABLE features.by_hash OWNER TO shop_rw;
ANALYZE;
-- r2: a label on a parent, a computed column of a child
CREATE TABLE base2 (id bigint, mail text);
CREATE TABLE app.kid2 (mail_l text GENERATED ALWAYS AS (upper(mail)) STORED) INHERITS (base2);
INSERT INTO app.kid2 (id, mail) VALUES (1,'kid@secret.example');
CREATE VIEW order_docs AS SELECT j FROM app.docs ORDER BY j;
CREATE DOMAIN app.len_dom AS text COLLATE "C" DEFAULT 'x';
CREATE TABLE app.labelled_tags (tags text[] PRIMARY KEY, mail text);
INSERT INTO app.labelled_tags SELECT ARRAY['a', i::text], 'm'||i||'@secret.example' FROM generate_series(1,300) i;
CREATE TABLE app.rows (id bigint PRIMARY KEY, who customers);
INSERT INTO app.rows SELECT 1, c FROM customers c WHERE id=1;
CREATE TYPE app.pair2 AS (a int, mail text);
CREATE TABLE app.exch (id bigint PRIMARY KEY, p app.pair);
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public, features, app TO shop_rw;
GRANT SELECT ON ALL TABLES IN SCHEMA public, features, app TO reporting_ro;
