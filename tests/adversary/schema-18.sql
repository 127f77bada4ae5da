-- What only PostgreSQL 18 has; run after schema.sql.
-- columns that are computed when they are read
CREATE TABLE app.virt (id bigint PRIMARY KEY, mail text, low text GENERATED ALWAYS AS (lower(mail)) VIRTUAL, up text GENERATED ALWAYS AS (upper(mail)), n int);
INSERT INTO app.virt VALUES (1, 'V1@secret.example', DEFAULT, DEFAULT, 1);
CREATE TABLE app.virt_parent (id bigint, mail text, g text GENERATED ALWAYS AS (lower(mail)) VIRTUAL);
CREATE TABLE app.virt_kid (extra text) INHERITS (app.virt_parent);
INSERT INTO app.virt_kid (id, mail) VALUES (1, 'kid@secret.example');
-- a key over a range: a part of it names many rows
CREATE TABLE app.booked (room int4range, at int4range, guest text, PRIMARY KEY (room, at WITHOUT OVERLAPS));
INSERT INTO app.booked SELECT int4range(1, 5), int4range(i, i + 1), 'g' || i || '@secret.example' FROM generate_series(1, 500) i;
CREATE TABLE app.stays (room int4range, at int4range, FOREIGN KEY (room, PERIOD at) REFERENCES app.booked (room, PERIOD at));
-- a foreign key that is not enforced, and one that may be
CREATE TABLE app.loose (k text REFERENCES features.parents (k) ON DELETE CASCADE NOT ENFORCED);
ALTER TABLE customers ADD CONSTRAINT phone_given NOT NULL phone NOT VALID;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA app TO shop_rw;
GRANT SELECT ON ALL TABLES IN SCHEMA app TO reporting_ro;
