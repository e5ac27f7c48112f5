//! What the names of tables and columns say.

/// Words for what is moved.
pub(super) const ITEM: &str = "item product article sku part material variant component good artikel ware produkt teil produit \
    piece articulo producto pieza artigo produto peca";

/// Words for where it is, the closest place first.
pub(super) const LOCATION: &str = "bin slot shelf rack silo location loc place zone warehouse depot store facility site branch \
    lagerplatz lagerort fach regal platz lager standort emplacement entrepot magasin lieu ubicacion \
    almacen bodega deposito localizacao armazem stand";

/// Words for a quantity of one making.
pub(super) const LOT: &str = "lot batch serial charge los seriennummer lote partie";

/// Words for a number of units, the plainest first.
pub(super) const QUANTITY: &str = "quantity qty delta change net unit amount weight volume pieces kg count onhand hand menge anzahl \
    stueck quantite qte cantidad cant quantidade qtd qtde";

/// Words for numbers that are no stock.
pub(super) const NO_QUANTITY: &str = "price cost value rate tax min minimum max maximum reorder level threshold line number no sequence \
    seq version position reserved percent gross tare id year preis kosten wert steuer mindest \
    bestellpunkt prix cout precio costo preco custo minimo maximo minimal maximal allocated ordered \
    discount";

/// Words for the place that is taken from.
pub(super) const FROM: &str = "from source src origin von quelle depuis desde origen origem";

/// Words for the place that is given to.
pub(super) const TO: &str = "to dest destination target nach ziel vers destino hasta para";

/// Words for a column that says which way a quantity goes.
pub(super) const DIRECTION: &str = "direction type kind way sign inout inbound outbound richtung art typ bewegungsart sens tipo sentido \
    operation reason grund motivo";

/// Values that mean in as a whole.
const IN: &str = "i + +1 1 e z";

/// Values that mean out as a whole.
const OUT: &str = "o - -1 s a";

/// Words in a value that means in.
const IN_WORDS: &str = "in inbound incoming receipt receive received receiving input purchase purchased restock replenish \
    replenishment add increase increment opening initial found produce produced production putaway \
    deposit plus zugang eingang wareneingang einlagerung entree entrada ingreso reception compra \
    recebimento";

/// Words in a value that means out.
const OUT_WORDS: &str = "out outbound outgoing issue issued output shipment ship shipped delivery sale sales sold sell \
    consume consumed consumption scrap scrapped waste loss lost damage damaged remove removed decrease \
    decrement pick picked withdraw withdrawal use used usage dispense minus abgang ausgang entnahme \
    warenausgang auslagerung sortie salida egreso saida venta venda verkauf verbrauch";

/// Words in a value of an entry that changes no stock on hand: it promises or releases some.
const ASIDE_WORDS: &str =
    "allocation allocate allocated reserve reserved reservation release released backorder";

/// Which way an entry goes whose type is called so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    In,
    Out,
    /// It changes nothing that lies there.
    Aside,
}

/// What `value` says of the way; none where it says nothing, or both.
pub(super) fn way(value: &str) -> Option<Way> {
    let whole = value.trim().to_lowercase();
    let (is_in, is_out) = if is_one_of(&whole, IN) {
        (true, false)
    } else if is_one_of(&whole, OUT) {
        (false, true)
    } else {
        (has(value, IN_WORDS), has(value, OUT_WORDS))
    };
    match (is_in, is_out) {
        _ if has(value, ASIDE_WORDS) => Some(Way::Aside),
        (true, false) => Some(Way::In),
        (false, true) => Some(Way::Out),
        (true, true) | (false, false) => None,
    }
}

/// Whether a column's name is that of a table's key, or of the table, with or without what says that it is a key.
pub(super) fn is_reference(column: &str, table: &str, key: &str) -> bool {
    let named = |name: &str| -> Vec<String> {
        let parts = parts(name).into_iter().map(|part| singular(&part));
        parts
            .filter(|part| {
                !["id", "code", "no", "nr", "key", "ref", "fk", "tbl", "table"].contains(&part.as_str())
            })
            .collect()
    };
    let (column_words, table_words) = (named(column), named(table));
    let is_same_key = column.eq_ignore_ascii_case(key) && !named(key).is_empty();
    is_same_key || !column_words.is_empty() && table_words.ends_with(&column_words)
}

/// What a name says of the way, and the rest of it: `qty_in` is `qty` and in.
pub(super) fn stem_and_way(name: &str) -> Option<(String, Way)> {
    let parts = parts(name);
    let told = |part: &String| {
        let is = |list: &str| is_one_of(part, list).then_some(());
        is(IN_WORDS).map(|()| Way::In).or(is(OUT_WORDS).map(|()| Way::Out))
    };
    let way = parts.iter().find_map(told)?;
    let rest: Vec<String> = parts.into_iter().filter(|part| told(part).is_none()).collect();
    Some((rest.join("_"), way))
}

/// Words for a column that says how far an entry has come.
pub(super) const STATE: &str = "state status estado etat zustand situacao";

/// Values that mean that an entry counts, the surest first.
pub(super) const COUNTS: &str = "done posted booked completed complete final finished validated approved";

/// Words for a column whose value takes an entry back.
pub(super) const TAKEN_BACK: &str = "deleted voided void cancelled canceled storniert geloescht geloscht annule supprime anulado \
    eliminado cancelado excluido";

/// Words for when an entry was made, the surest first.
pub(super) const MADE: &str = "created create booked posted recorded occurred moved entered weighed date time at on erstellt \
    angelegt gebucht datum zeit zeitpunkt buchungsdatum cree fecha creado criado data";

/// Words for other times.
pub(super) const NOT_MADE: &str = "updated modified write changed expires expiry due valid scheduled planned until closed geaendert \
    geandert modifie actualizado modificado atualizado alterado";

/// Words for a table that only grows.
pub(super) const LEDGER: &str = "ledger movement move transaction entry journal posting moves bewegung bewegungen buchung buchungen \
    lagerbewegung lagerbewegungen mouvement movimiento movimientos movimento movimentacao movimentacoes \
    lancamento asiento";

/// Words for a table that has to do with stock.
pub(super) const STOCK: &str = "stock inventory warehouse lager bestand estoque existencia almacen";

/// Words for a table that is something else.
pub(super) const NO_LEDGER: &str = "count line order price reorder level balance quant snapshot forecast plan audit setting bestellung \
    auftrag position preis protokoll einstellung commande pedido saldo solde bestand lagerbestand \
    factura rechnung";

/// Words for a table of balances.
pub(super) const BALANCE: &str = "balance quant onhand hand stock inventory level availability bestand lagerbestand saldo solde \
    existencia existencias estoque";

/// Words for the people who use an application.
pub(super) const USER: &str = "user account member employee person people staff operator profile benutzer nutzer mitarbeiter \
    utilisateur employe usuario empleado funcionario";

/// Words for whose a row is.
pub(super) const ORGANIZATION: &str =
    "org organization organisation tenant company workspace mandant firma empresa entreprise societe";

/// Words for people and companies outside.
pub(super) const OUTSIDER: &str = "customer supplier vendor contact partner lead subscriber kunde lieferant client fournisseur cliente \
    proveedor fornecedor";

/// Words for an address.
pub(super) const EMAIL: &str = "email mail correo courriel";

/// Words for a name that people log in with.
pub(super) const LOGIN: &str = "login username benutzername";

/// Words for tables that are the same for everybody.
pub(super) const SHARED: &str = "country currency language timezone uom calendar holiday migration waehrung wahrung sprache einheit \
    pays devise langue pais moneda idioma moeda";

/// How the names of tables begin that a framework keeps for itself.
const FRAMEWORK_BEGINNINGS: &str = "ir_ django_ auth_permission auth_group alembic_ _prisma flyway_ knex_ typeorm_ sequelize oban_ \
    ar_internal schema_migrations goose_ databasechangelog mikro_orm __ef hdb_ efmigrations wkf_ \
    spring_session qrtz_ delayed_job celery_ silk_";

/// Words for tables that a framework keeps for itself.
const FRAMEWORK: &str = "migration migrations session permission translation thumbnail sitemap cache throttle nonce cron \
    scheduler";

/// Whether a table's name is one of those that a framework keeps for itself: its history, its sessions, its permissions.
pub(super) fn is_frameworks(name: &str) -> bool {
    let lower = name.to_lowercase();
    FRAMEWORK_BEGINNINGS.split(' ').any(|begin| lower.starts_with(begin)) || has(name, FRAMEWORK)
}

fn is_one_of(word: &str, words: &str) -> bool {
    words.split(' ').any(|known| known == word)
}

/// Which of `words` is in `name`, by its place in `words`; the first there is.
pub(super) fn find(name: &str, words: &str) -> Option<usize> {
    let parts = parts(name);
    words.split(' ').position(|word| parts.iter().any(|part| part == word || singular(part) == word))
}

/// Whether one of `words` is in `name`.
pub(super) fn has(name: &str, words: &str) -> bool {
    find(name, words).is_some()
}

/// The words of a name in lower case and without accents: `stockMove_v2 "Qty"` is `stock`, `move`, `v2`, `qty`, and
/// `productid` is `product`, `id`.
fn parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut last_lower = false;
    for letter in name.chars() {
        let is_letter = letter.is_alphanumeric();
        if !is_letter || (letter.is_uppercase() && last_lower) {
            parts.push(String::new());
        }
        if is_letter && let Some(part) = parts.last_mut() {
            part.extend(letter.to_lowercase().flat_map(plain));
        }
        last_lower = letter.is_lowercase();
    }
    parts.retain(|part| !part.is_empty());
    parts.into_iter().flat_map(|part| joined(&part).unwrap_or_else(|| vec![part])).collect()
}

/// A letter without its accent.
fn plain(letter: char) -> impl Iterator<Item = char> {
    let plain = match letter {
        'à' | 'á' | 'â' | 'ã' | 'ä' | 'å' => "a",
        'ç' => "c",
        'è' | 'é' | 'ê' | 'ë' => "e",
        'ì' | 'í' | 'î' | 'ï' => "i",
        'ñ' => "n",
        'ò' | 'ó' | 'ô' | 'õ' | 'ö' => "o",
        'ù' | 'ú' | 'û' | 'ü' => "u",
        'ß' => "ss",
        _ => "",
    };
    let itself = plain.is_empty().then_some(letter);
    plain.chars().chain(itself)
}

/// Words that others are joined with.
const SUFFIXES: &str = "id no nr num code name date key ref by at log history table tbl line header detail";

/// The known words that `part` consists of, where it is no known word and is nothing but known words: `unitprice`. Short ones
/// are in too many other words to be believed everywhere.
fn joined(part: &str) -> Option<Vec<String>> {
    if part.len() < 5 || is_known(part) {
        return None;
    }
    let mut ends: Vec<Option<Vec<&str>>> = vec![None; part.len() + 1];
    ends[0] = Some(Vec::new());
    for end in 1..=part.len() {
        // The longest last word first.
        let found = (0..end).find_map(|start| {
            let before = ends[start].as_ref()?;
            let word = part.get(start..end)?;
            let is_word = word.len() >= 4 && is_known(word)
                || word.len() == 3 && start > 0 && is_known(word)
                || start > 0 && is_one_of(word, SUFFIXES);
            is_word.then(|| before.iter().copied().chain([word]).collect::<Vec<_>>())
        });
        ends[end] = found;
    }
    let words = ends.pop()??;
    (words.len() > 1).then(|| words.into_iter().map(str::to_owned).collect())
}

fn is_known(word: &str) -> bool {
    const KNOWN: [&str; 20] = [
        ORGANIZATION,
        ITEM,
        LOCATION,
        LOT,
        QUANTITY,
        NO_QUANTITY,
        FROM,
        TO,
        DIRECTION,
        STATE,
        TAKEN_BACK,
        MADE,
        NOT_MADE,
        LEDGER,
        STOCK,
        NO_LEDGER,
        BALANCE,
        USER,
        OUTSIDER,
        SHARED,
    ];
    let singular = singular(word);
    KNOWN.iter().any(|words| is_one_of(word, words) || is_one_of(&singular, words))
}

/// An English plural's singular, roughly: enough to find a word in a list.
fn singular(word: &str) -> String {
    match (word.strip_suffix("ies"), word.strip_suffix('s')) {
        (Some(stem), _) => format!("{stem}y"),
        (None, Some(stem)) => stem.to_owned(),
        (None, None) => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_into_words() {
        assert_eq!(parts("StockMovement"), ["stock", "movement"]);
        assert_eq!(parts("to \"silo\""), ["to", "silo"]);
        assert_eq!(parts("e-mail_2"), ["e", "mail", "2"]);
        assert_eq!(parts("SKU"), ["sku"]);
        assert_eq!(parts("çevreÖlçü"), ["cevre", "olcu"]);
        assert_eq!(parts("productid"), ["product", "id"]);
        assert_eq!(parts("UnitPrice"), ["unit", "price"]);
        assert_eq!(parts("unitprice"), ["unit", "price"]);
        assert_eq!(parts("Entrepôts"), ["entrepots"]);
        for whole in
            ["participants", "location", "timezone", "partner", "session", "information", "inventory"]
        {
            assert_eq!(parts(whole), [whole]);
        }
    }

    #[test]
    fn values_say_which_way_an_entry_goes() {
        for (value, expected) in [
            ("ADJUST_IN", Some(Way::In)),
            ("TRANSFER_OUT", Some(Way::Out)),
            ("Wareneingang", Some(Way::In)),
            ("saída", Some(Way::Out)),
            ("RECEIPT", Some(Way::In)),
            ("SALE", Some(Way::Out)),
            ("ALLOCATION", Some(Way::Aside)),
            ("-", Some(Way::Out)),
            ("ADJUSTMENT", None),
            ("in and out", None),
            ("COUNT", None),
        ] {
            assert_eq!(way(value), expected, "{value}");
        }
    }

    #[test]
    fn plurals_are_found_too() {
        assert!(has("stock_entries", LEDGER));
        assert!(has("Items", ITEM));
        assert!(has("status", STATE));
        assert!(!has("participants", ITEM));
        assert_eq!(find("warehouse_bin", LOCATION), Some(0));
    }
}
