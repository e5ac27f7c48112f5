//! Tables, pages, filters, values and links.

use super::*;

#[tokio::test]
async fn the_overview_lists_and_counts_the_tables() {
    let db = TestDb::inventory().await;
    db.execute(
        "INSERT INTO items (item_number, name) SELECT 'ITM-' || i, 'Bolt' FROM generate_series(1, 1234) i;
         COMMENT ON TABLE items IS 'What is <counted>';
         CREATE TABLE parted (id int PRIMARY KEY) PARTITION BY RANGE (id);
         CREATE TABLE parted_low PARTITION OF parted FOR VALUES FROM (0) TO (100);
         INSERT INTO parted SELECT generate_series(1, 77);
         CREATE SCHEMA other; CREATE TABLE other.things (id int)",
    )
    .await;
    let studio = Studio::open(&db).await;
    let page = studio.page("/").await;
    for table in TENANT_TABLES {
        assert!(page.contains(&format!("href=\"/table/public.{table}\"")), "{table}");
    }
    let row = |name: &str| {
        text(page.split("<th scope=\"row\"").find(|row| text(&format!("<{row}")).starts_with(name)).unwrap())
    };
    assert!(
        row("items").contains("1,234") && row("items").contains("What is &lt;counted&gt;"),
        "{}",
        row("items")
    );
    assert!(row("parted").contains("77") && row("parted").contains("partitioned"));
    assert!(row("other.things").contains("0 bytes") || row("other.things").contains('–'));
    assert!(!page.contains("parted_low"), "a partition is part of its table");
    assert!(!page.contains("Organization</label>"), "no organizations, no switch");
    assert!(!page.contains("pg_class"));
}

#[tokio::test]
async fn paging_over_ties_shows_each_row_once_in_both_directions() {
    let db = TestDb::inventory().await;
    db.execute(
        "CREATE TABLE sample (a int, b text, tie int, loose numeric, long text, PRIMARY KEY (a, b));
         INSERT INTO sample SELECT i % 12, 'k' || i, i % 3, CASE WHEN i % 4 > 0 THEN (i % 5) + 0.50 END,
             CASE WHEN i % 7 = 0 THEN NULL WHEN i % 2 = 0 THEN repeat('x', 3000) || i % 10 ELSE 's' || i % 6 END
         FROM generate_series(1, 173) i;
         CREATE TABLE loners (n int, word text);
         INSERT INTO loners SELECT i % 9, 'w' || i FROM generate_series(1, 130) i;
         CREATE VIEW seen AS SELECT b AS n, tie FROM sample",
    )
    .await;
    let studio = Studio::open(&db).await;
    let cases = [
        ("sample", "", "a, b", 173),
        ("sample", "?sort=tie", "tie, a, b", 173),
        ("sample", "?sort=tie&dir=desc", "tie DESC, a DESC, b DESC", 173),
        ("sample", "?sort=loose", "loose, a, b", 173),
        ("sample", "?sort=loose&dir=desc", "loose DESC, a DESC, b DESC", 173),
        ("sample", "?sort=long", "long, a, b", 173),
        ("sample", "?sort=long&dir=desc", "long DESC, a DESC, b DESC", 173),
        ("sample", "?sort=b", "b, a", 173),
        ("sample", "?sort=loose&col=tie&op=lt&val=2", "loose, a, b", 0),
        ("loners", "", "ctid", 130),
        ("loners", "?sort=n&dir=desc", "n DESC, ctid DESC", 130),
    ];
    for (table, query, order, count) in cases {
        let name = if table == "sample" { "a || '/' || b" } else { "word" };
        let condition = if query.contains("tie&op=lt") { "tie < 2" } else { "true" };
        let expected: Vec<String> = db
            .rows(format!("SELECT {name} FROM {table} WHERE {condition} ORDER BY {order}"))
            .await
            .into_iter()
            .map(|row| row[0].clone())
            .collect();
        assert!(count == 0 || expected.len() == count);
        let cell = |page: &str| -> Vec<String> {
            let cells = |row: &str| row.split("<td").skip(2).map(text).collect::<Vec<_>>();
            rows(page)
                .into_iter()
                .map(|row| if table == "sample" { cells(row)[..2].join("/") } else { cells(row)[1].clone() })
                .collect()
        };
        let (mut forward, mut pages) = (Vec::new(), 0);
        let mut path = format!("/table/public.{table}{query}");
        let last = loop {
            let page = studio.page(&path).await;
            forward.extend(cell(&page));
            pages += 1;
            match link(&page, "rel=\"next\"") {
                Some(next) if pages < 10 => path = next,
                _ => break page,
            }
        };
        assert_eq!(forward, expected, "{table}{query}");
        let mut backward = cell(&last);
        let mut page = last;
        while let Some(previous) = link(&page, "rel=\"prev\"") {
            page = studio.page(&previous).await;
            backward.splice(0..0, cell(&page));
            assert!(backward.len() <= expected.len(), "{table}{query} goes back in circles");
        }
        assert_eq!(backward, expected, "{table}{query}, backwards");
    }
    // A view has no key: pages by offset, still each row once.
    let mut seen = BTreeSet::new();
    let mut path = "/table/public.seen".to_owned();
    loop {
        let page = studio.page(&path).await;
        for row in rows(&page) {
            assert!(seen.insert(text(row.split("<td").nth(1).unwrap())), "twice: {row}");
        }
        match link(&page, "rel=\"next\"") {
            Some(next) => path = next,
            None => break,
        }
    }
    assert_eq!(seen.len(), 173);
}

#[tokio::test]
async fn a_page_that_was_written_to_meanwhile_neither_repeats_nor_skips() {
    let db = TestDb::inventory().await;
    db.execute(
        "CREATE TABLE n (id int PRIMARY KEY); INSERT INTO n SELECT 2 * i FROM generate_series(1, 80) i",
    )
    .await;
    let studio = Studio::open(&db).await;
    let first = studio.page("/table/public.n").await;
    db.execute("DELETE FROM n WHERE id IN (100, 90); INSERT INTO n VALUES (3), (5), (7), (101)").await;
    let second = studio.page(&link(&first, "rel=\"next\"").unwrap()).await;
    assert_eq!(first_cells(&second)[0], "101");
    // Before the second page there are 50 rows and more, now that one came in.
    let back = studio.page(&link(&second, "rel=\"prev\"").unwrap()).await;
    assert_eq!(first_cells(&back).last().unwrap(), "98");
    db.execute("DELETE FROM n WHERE id < 60").await;
    let back = studio.page(&link(&second, "rel=\"prev\"").unwrap()).await;
    assert_eq!(first_cells(&back)[0], "60", "fewer than a page: the first page, whole");
    assert_eq!(first_cells(&back).len(), 50);
}

#[tokio::test]
async fn filters_compare_as_the_columns_type_does() {
    let db = TestDb::inventory().await;
    db.execute(
        "CREATE TYPE mood AS ENUM ('low', 'high', 'above'); CREATE DOMAIN positive AS int CHECK (VALUE > 0);
         CREATE TABLE t (id int PRIMARY KEY, num numeric(18,6), word text, at timestamptz, mood mood, doc jsonb, pos positive, u uuid, fix char(5), spot point, big bytea);
         INSERT INTO t VALUES (1, 9, 'Fifty%', '2026-01-01', 'low', '{\"a\": 1}', 5, '00000000-0000-0000-0000-000000000001', 'ab', '(1,2)', 'x'),
             (2, 10, 'fifty_', '2026-06-01', 'high', '[2]', 50, NULL, 'b', NULL, NULL),
             (3, 100.000001, '', NULL, 'above', NULL, 7, NULL, NULL, NULL, NULL),
             (4, 'NaN', NULL, 'infinity', NULL, 'null', 1, NULL, NULL, NULL, NULL)",
    )
    .await;
    let studio = Studio::open(&db).await;
    let found = async |query: &str| {
        let page = studio.page(&format!("/table/public.t?{query}")).await;
        first_cells(&page).join(",")
    };
    for (query, expected) in [
        ("col=num&op=gt&val=9.5", "2,3,4"),
        ("col=num&op=lt&val=10", "1"),
        ("col=num&op=eq&val=100.0000010", "3"),
        ("col=num&op=eq&val=100.0000011", ""),
        ("col=num&op=eq&val=NaN", "4"),
        ("col=num&op=contains&val=00000", "1,2,3"),
        ("col=word&op=contains&val=FIFTY", "1,2"),
        ("col=word&op=contains&val=%25", "1"),
        ("col=word&op=contains&val=_", "2"),
        ("col=word&op=eq&val=", "3"),
        ("col=word&op=null", "4"),
        ("col=word&op=notnull&col=num&op=lt&val=100", "1,2"),
        ("col=at&op=gt&val=2026-03-01", "2,4"),
        ("col=mood&op=gt&val=low", "2,3"),
        ("col=doc&op=eq&val={%22a%22:1.0}", "1"),
        ("col=doc&op=contains&val=a", "1"),
        ("col=pos&op=gt&val=-3", "1,2,3,4"),
        ("col=u&op=eq&val=00000000000000000000000000000001", "1"),
        ("col=fix&op=eq&val=ab", "1"),
        ("col=spot&op=eq&val=(1,2)", "1"),
        ("col=big&op=contains&val=78", "1"),
        ("col=word&op=eq&val=%27;%20DROP%20TABLE%20t;--", ""),
        ("col=word&op=contains&val=&col=&op=eq&val=1", "1,2,3,4"),
    ] {
        assert_eq!(found(query).await, expected, "{query}");
    }
    for (query, reason) in [
        ("col=num&op=gt&val=ten", "does not fit num (numeric(18,6))"),
        ("col=id&op=eq&val=99999999999", "out of range"),
        ("col=at&op=lt&val=31.31.2026", "does not fit at"),
        ("col=mood&op=eq&val=&lt;b&gt;", "does not fit mood"),
        ("col=u&op=eq&val=1", "does not fit u"),
        ("col=doc&op=eq&val={", "does not fit doc"),
        ("col=word&op=contains&val=%00", "does not fit word"),
        ("col=spot&op=gt&val=1", "has no order"),
        ("sort=spot", "has no order"),
        ("col=nothing&op=eq&val=1", "no column"),
        ("sort=ctid", "no column"),
        ("col=num&op=gt&val=ten%27)%3b--%3cscript%3e", "&lt;script&gt;"),
    ] {
        let answer = studio.get(&format!("/table/public.t?{query}")).await;
        assert_eq!(answer.status, 400, "{query}");
        assert!(unescape(&answer.body).contains(&unescape(reason)), "{query}: {}", answer.body);
        assert!(
            answer.body.contains("role=\"alert\"") && answer.body.contains("<select"),
            "said on the page: {query}"
        );
        assert!(!answer.body.contains("<script"), "{query}");
    }
    for query in ["after=-", "after==x", "after==1&after==2", "before=*", "sort=num&after==x&after==1"] {
        let answer = studio.get(&format!("/table/public.t?{query}")).await;
        assert!(matches!(answer.status, 400 | 409), "{query}: {} {}", answer.status, answer.body);
    }
    assert_eq!(db.value("SELECT count(*) FROM t").await, "4");
}

#[tokio::test]
async fn values_are_shown_as_they_are() {
    let db = TestDb::inventory().await;
    db.execute(
        "CREATE TABLE v (id int PRIMARY KEY, exact numeric, nothing text, blank text, doc jsonb, raw json, long text, flag boolean);
         INSERT INTO v VALUES (1, 123456789012345678901234567890.1234567890123456789, NULL, '', '{\"k\": [1, {\"x\": \"<b>\"}]}',
             '{\"z\":1,  \"z\":2}', repeat('ä', 250) || 'END', true)",
    )
    .await;
    let studio = Studio::open(&db).await;
    let list = studio.page("/table/public.v").await;
    assert!(list.contains("123456789012345678901234567890.1234567890123456789"));
    assert!(list.contains(">NULL<") && list.contains(">empty text<"));
    assert!(list.contains(&format!("{}<", "ä".repeat(200))) && !list.contains("END"), "cut at 200 letters");
    let row = studio.page(links(&list).iter().find(|link| link.starts_with("/row/public.v")).unwrap()).await;
    assert!(row.contains("äEND"), "whole in the row");
    assert!(row.contains("&lt;b&gt;") && !row.contains("<b>"));
    assert!(row.contains("    \"k\": [".replace('"', "&quot;").as_str()), "jsonb is laid out: {row}");
    assert!(row.contains("{\"z\":1,  \"z\":2}".replace('"', "&quot;").as_str()), "json is as it was written");
    assert!(row.contains(">NULL<") && row.contains(">empty text<"));
}

#[tokio::test]
async fn hostile_names_and_values_are_only_text() {
    let db = TestDb::inventory().await;
    let table = r#"a"b'; DROP TABLE users; --<script>alert(1)</script>/../%2e"#;
    let column = r#"c"d'; --<img src=x>&col=id"#;
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    db.execute(format!(
        "CREATE SCHEMA \"we.ird%2E\"; CREATE TABLE \"we.ird%2E\".{t} (id text PRIMARY KEY, {c} text UNIQUE);
         INSERT INTO \"we.ird%2E\".{t} SELECT '<script>' || i || '''\"&=/?#%', '</td><script>' || i % 2 || i FROM generate_series(1, 60) i;
         CREATE TABLE {child} (id int PRIMARY KEY, {c} text REFERENCES \"we.ird%2E\".{t} ({c}));
         INSERT INTO {child} VALUES (1, '</td><script>11');
         CREATE TABLE \"..\" (id int PRIMARY KEY); CREATE TABLE \".\" (id int PRIMARY KEY); INSERT INTO \"..\" VALUES (42);
         COMMENT ON COLUMN {child}.{c} IS '\"><script>'",
        t = quoted(table),
        c = quoted(column),
        child = quoted("ch\"ild"),
    ))
    .await;
    let studio = Studio::open(&db).await;
    let overview = studio.page("/").await;
    assert!(!overview.contains("<script"), "{overview}");
    // Every link on the way leads somewhere, and nothing of it becomes markup.
    let mut queue: Vec<String> = links(&overview);
    let mut visited = BTreeSet::new();
    let mut rows = 0;
    while let Some(path) = queue.pop() {
        if path.starts_with('#') || !visited.insert(path.clone()) || visited.len() > 300 {
            continue;
        }
        assert!(!path.contains("/../") && !path.ends_with("/.."), "a browser would resolve {path}");
        let answer = studio.get(&path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        assert!(!answer.body.contains("<script") && !answer.body.contains("<img"), "{path}");
        rows += usize::from(path.starts_with("/row/we"));
        if path.contains("ird")
            || path.contains("child")
            || path.contains("ch%22ild")
            || path.contains("public...")
        {
            queue.extend(links(&answer.body));
        }
    }
    assert!(rows >= 60, "all rows were opened: {rows}");
    let dots = studio.page("/table/public...").await;
    assert_eq!(first_cells(&dots), ["42"]);
    assert_eq!(db.value("SELECT count(*) FROM pg_class WHERE relname = 'users'").await, "1");
}

#[tokio::test]
async fn foreign_keys_lead_both_ways() {
    let db = TestDb::inventory().await;
    db.execute(
        "INSERT INTO items (id, item_number, name) VALUES ('i1', 'ITM-1', 'Hex bolt'), ('i2', 'ITM-2', 'Nut');
         INSERT INTO locations (id, site, name) VALUES ('l1', 'Kiruna', 'Rack A');
         INSERT INTO inventory_ledger (id, item_id, location_id, qty_canonical) SELECT 'e' || i, 'i1', 'l1', i FROM generate_series(1, 70) i;
         INSERT INTO inventory_ledger (id, item_id, location_id, qty_canonical) VALUES ('other', 'i2', 'l1', 1);
         CREATE TABLE pairs (a int, b int, PRIMARY KEY (a, b));
         CREATE TABLE pair_notes (id int PRIMARY KEY, a int, b int, parent int REFERENCES pair_notes, FOREIGN KEY (a, b) REFERENCES pairs);
         INSERT INTO pairs VALUES (1, 2), (1, 3); INSERT INTO pair_notes VALUES (1, 1, 2, NULL), (2, 1, 3, 1), (3, 1, NULL, 1)",
    )
    .await;
    let studio = Studio::open(&db).await;
    let ledger = studio.page("/table/public.inventory_ledger").await;
    assert!(ledger.contains("Hex bolt") && ledger.contains("Rack A"), "references are named");
    let item = studio.page("/row/public.items?col=id&val=i1").await;
    assert!(links(&ledger).contains(&"/row/public.items?col=id&val=i1".to_owned()));
    assert!(item.contains("<h1>Hex bolt</h1>") && item.contains(">70</span>"), "{item}");
    let back = links(&item).into_iter().find(|link| link.contains("inventory_ledger?")).unwrap();
    let entries = studio.page(&back).await;
    assert!(entries.contains("<strong>70</strong>") && first_cells(&entries).len() == 50, "{entries}");
    assert!(!first_cells(&entries).contains(&"other".to_owned()));
    // Two columns, both NULL-aware; a key to the table itself.
    let notes = studio.page("/table/public.pair_notes").await;
    assert!(links(&notes).contains(&"/row/public.pairs?col=a&val=1&col=b&val=3".to_owned()));
    let pair = studio.page("/row/public.pairs?col=a&val=1&col=b&val=2").await;
    let back = links(&pair).into_iter().find(|link| link.contains("pair_notes?")).unwrap();
    assert_eq!(first_cells(&studio.page(&back).await), ["1"]);
    let note = studio.page("/row/public.pair_notes?col=id&val=1").await;
    let children = links(&note).into_iter().find(|link| link.contains("col=parent")).unwrap();
    assert_eq!(first_cells(&studio.page(&children).await), ["2", "3"]);
    for path in ["/row/public.items?col=id&val=none", "/row/public.items"] {
        assert_eq!(studio.get(path).await.status, 404, "{path}");
    }
}
