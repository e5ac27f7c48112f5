-- Every kind of column, key and name that a client must cope with.
CREATE TABLE organizations (
    id        text PRIMARY KEY,
    name      text NOT NULL,
    subdomain text UNIQUE,
    parent_id text REFERENCES organizations (id)
);
COMMENT ON TABLE organizations IS E'The tenants.\n\n    let code = [block];\n\n- a list <b>bold</b>\n```rust\nfn f() {}\n```';

CREATE TYPE status AS ENUM ('draft', 'in progress', 'in_progress', 'self', '2nd', '', 'ü', 'it''s "done"');
COMMENT ON TYPE status IS 'How far it is.';
CREATE TYPE "Entry Type" AS ENUM ('in', 'out');
CREATE TYPE point3 AS (x integer, y integer, z integer);
CREATE DOMAIN email AS text CHECK (value LIKE '%@%');
CREATE DOMAIN work_email AS email;
CREATE DOMAIN amount AS numeric(18, 6) NOT NULL;
CREATE DOMAIN state AS status;
CREATE DOMAIN tags AS text[];

CREATE TABLE kinds (
    org_id        text NOT NULL REFERENCES organizations (id),
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    a_bool        boolean NOT NULL,
    a_char        "char" NOT NULL,
    a_small       smallint NOT NULL,
    an_int        integer NOT NULL,
    a_real        real NOT NULL,
    a_double      double precision NOT NULL,
    a_decimal     numeric(18, 6) NOT NULL,
    a_wide        numeric(29, 2) NOT NULL,
    a_numeric     numeric NOT NULL,
    a_text        text NOT NULL,
    a_varchar     varchar(10) NOT NULL,
    a_padded      char(5) NOT NULL,
    a_name        name NOT NULL,
    a_bytea       bytea NOT NULL,
    a_date        date NOT NULL,
    a_time        time NOT NULL,
    a_timetz      timetz NOT NULL,
    a_timestamp   timestamp NOT NULL,
    a_timestamptz timestamptz NOT NULL,
    an_interval   interval NOT NULL,
    a_json        json NOT NULL,
    a_jsonb       jsonb NOT NULL,
    an_oid        oid NOT NULL,
    a_range       int4range NOT NULL,
    times         tstzrange NOT NULL,
    numbers       numrange NOT NULL,
    a_status      status NOT NULL,
    an_entry_type "Entry Type" NOT NULL,
    a_point       point3 NOT NULL,
    an_inet       inet NOT NULL,
    a_vector      tsvector NOT NULL,
    a_domain      work_email NOT NULL,
    an_amount     amount,
    a_state       state NOT NULL,
    some_tags     tags NOT NULL,
    ints          integer[] NOT NULL,
    decimals      numeric(9, 2)[] NOT NULL,
    statuses      status[] NOT NULL,
    emails        email[] NOT NULL,
    points        point3[] NOT NULL,
    blobs         bytea[] NOT NULL,
    jsons         jsonb[] NOT NULL,
    maybe         text,
    maybe_ints    integer[],
    twice         integer GENERATED ALWAYS AS (an_int * 2) STORED
);
COMMENT ON COLUMN kinds.maybe IS 'May be missing; see [id], 1. never guess.';

-- Keys of every kind, composite ones over the organization among them.
CREATE TABLE keyed (
    org_id   text NOT NULL REFERENCES organizations (id),
    a_status status NOT NULL,
    code     char(4) NOT NULL,
    "limit"  integer NOT NULL,
    conn     text NOT NULL,
    org      text NOT NULL,
    host     inet NOT NULL,
    amount   numeric NOT NULL,
    PRIMARY KEY (org_id, a_status, code, "limit"),
    UNIQUE (org_id, conn, org),
    UNIQUE (host),
    UNIQUE (amount, org_id)
);
CREATE UNIQUE INDEX keyed_partial ON keyed (conn) WHERE "limit" > 0;
CREATE UNIQUE INDEX keyed_expression ON keyed (lower(conn));
CREATE UNIQUE INDEX keyed_include ON keyed (org) INCLUDE (conn);
CREATE TABLE settings (org_id text PRIMARY KEY REFERENCES organizations (id), theme text NOT NULL);
CREATE TABLE keyless (note text);
CREATE TABLE nothing ();

CREATE TABLE measures (at date NOT NULL, value double precision, PRIMARY KEY (at)) PARTITION BY RANGE (at);
CREATE TABLE measures_2026 PARTITION OF measures FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');

-- Names.
CREATE TABLE "select" (
    id           integer PRIMARY KEY,
    "type"       text NOT NULL,
    "self"       text NOT NULL,
    "createdAt"  date NOT NULL,
    "two words"  text NOT NULL,
    two_words    text NOT NULL,
    "Two Words"  text NOT NULL,
    "1st"        text NOT NULL,
    "größe"      text NOT NULL,
    "数量"        text NOT NULL,
    "!"          text NOT NULL,
    "quo""te"    text NOT NULL,
    "back`tick\" text NOT NULL,
    "hash""#"    text NOT NULL
);
COMMENT ON COLUMN "select"."type" IS 'Text that turns around: ‮reversed‬.';
CREATE TABLE "line
end" ("a
    b" integer PRIMARY KEY, U&"\202Edrow" text NOT NULL);
CREATE TABLE "Order Lines" (id integer PRIMARY KEY, order_id integer REFERENCES "select" (id));
CREATE TABLE "order_lines" (id integer PRIMARY KEY);

-- Names that mean something in Rust.
CREATE TYPE "Option" AS ENUM ('Some', 'None', 'Ok', 'Vec');
CREATE TABLE sqlx (id integer PRIMARY KEY, option "Option", "Row" text);
CREATE TABLE std (id integer PRIMARY KEY, sqlx integer UNIQUE NOT NULL);
CREATE TABLE "OrgId" (org_id text REFERENCES organizations (id), id integer PRIMARY KEY);

CREATE SCHEMA "My Schema";
CREATE TYPE "My Schema"."Färbe" AS ENUM ('rot', 'grün');
CREATE TABLE "My Schema"."My Schema" (
    id    integer PRIMARY KEY,
    color "My Schema"."Färbe" NOT NULL UNIQUE,
    other status
);
