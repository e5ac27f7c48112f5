//! An adopted table that something of the application's keeps already: with Stockfoil's triggers each entry would count twice.

use testkit::{Mapped, TestDb};

/// Keeps the quants, as an application does whose table of balances is older than Stockfoil.
const KEEP: &str = "
    CREATE FUNCTION count_move(product integer, place integer, amount numeric) RETURNS void LANGUAGE sql AS $$
        UPDATE stock_quant SET quantity = quantity + amount WHERE product_id = product AND location_id = place $$;
    CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF NEW.state = 'done' THEN {body} END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER keep_quants AFTER INSERT ON stock_move FOR EACH ROW EXECUTE FUNCTION keep()";

fn keep(body: &str) -> String {
    KEEP.replace("{body}", body)
}

#[tokio::test]
async fn a_trigger_that_keeps_the_table_is_refused_by_name() {
    let db = TestDb::mapped(Mapped::Erp).await;
    db.execute(keep(
        "UPDATE ONLY \"public\".stock_quant SET quantity = quantity + NEW.quantity
         WHERE product_id = NEW.product_id AND location_id = NEW.location_dest_id;",
    ))
    .await;
    let named =
        "trigger keep_quants of stock_move writes stock_quant, which Stockfoil's triggers would write too";
    db.run("migrate-all").arg("--contract").await.refuses(3, named);
    let disable = "ALTER TABLE stock_move DISABLE TRIGGER keep_quants";
    db.execute(disable).await;
    db.run("migrate-all").arg("--contract").await.ok();
    db.run("validate-migration").await.ok();
    // Somebody means well, and has it back.
    db.execute("ALTER TABLE stock_move ENABLE TRIGGER keep_quants").await;
    db.run("validate-migration").await.status(1).says("each entry counts twice");
    db.execute(disable).await;
    db.run("validate-migration").await.ok();
}

#[tokio::test]
async fn a_rule_that_keeps_the_table_is_refused_by_name() {
    let db = TestDb::mapped(Mapped::Erp).await;
    db.execute(
        "CREATE RULE keep_quants AS ON INSERT TO stock_move DO ALSO
         UPDATE stock_quant SET quantity = quantity + NEW.quantity WHERE product_id = NEW.product_id",
    )
    .await;
    db.run("migrate-all")
        .arg("--contract")
        .await
        .refuses(3, "rule keep_quants of stock_move writes stock_quant");
}

#[tokio::test]
async fn what_keeps_the_table_without_naming_it_is_found_by_the_rehearsal() {
    let db = TestDb::mapped(Mapped::Erp).await;
    db.execute(keep("PERFORM count_move(NEW.product_id, NEW.location_dest_id, NEW.quantity);")).await;
    // A trigger that reads the table only is nobody's rival, nor is one that keeps something else in its rows.
    db.execute(
        "ALTER TABLE stock_quant ADD COLUMN reserved numeric NOT NULL DEFAULT 0;
         CREATE FUNCTION reserve() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             UPDATE stock_quant SET reserved = reserved + coalesce(NEW.quantity, 0) WHERE product_id = NEW.product_id; RETURN NULL; END $$;
         CREATE TRIGGER reserve AFTER INSERT ON stock_move FOR EACH ROW EXECUTE FUNCTION reserve();
         CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             PERFORM FROM stock_quant WHERE product_id = NEW.product_id; RETURN NULL; END $$;
         CREATE TRIGGER look AFTER INSERT ON stock_move FOR EACH ROW EXECUTE FUNCTION look()",
    )
    .await;
    let before = db.rows("SELECT * FROM stock_quant ORDER BY id").await;
    let told = "stock_move an entry that is made in it changes stock_quant already";
    let run = db.run("migrate-all").arg("--contract").rehearsing().await;
    assert!(run.status == 1 && run.stdout.contains(told), "{}{}", run.stdout, run.stderr);
    assert_eq!(db.rows("SELECT * FROM stock_quant ORDER BY id").await, before);
    db.execute("DROP TRIGGER keep_quants ON stock_move").await;
    db.run("migrate-all").arg("--contract").rehearsing().await.ok();
}
