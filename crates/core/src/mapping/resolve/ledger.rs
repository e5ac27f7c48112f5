//! The ledger: its table, and the parts of its entries.

use super::{
    super::{
        LedgerMapping, PostingMapping,
        expression::{self, Parsed},
        names::{Place, Placed, Source},
    },
    Column,
};
use super::{EXACT, Resolver, column, plain, refused, without_modifier};
use crate::{
    Error,
    db::Context as _,
    model::{BalanceKeyTypes, Constant, EntryId, Ledger, LedgerColumn, Posting, TX, Term},
    org_id::KeyType,
    sql::{Definition, Ident, QualifiedName, Statement, render},
};

/// A term of the ledger.
struct Resolved {
    term: Term,
    /// Its type below domains.
    base: String,
    /// Whether equal values have one text.
    has_one_text: bool,
}

impl Resolver<'_> {
    pub(super) async fn ledger(&mut self, ledger: &LedgerMapping) -> Result<Ledger, Error> {
        let (table, kind) = self.table_and_kind(&ledger.table).await?;
        let columns = self.columns(&table).await?;
        let partitions = match kind.as_str() {
            "p" => self.partitions(&table, &ledger.table.place).await?,
            _ => Vec::new(),
        };
        let id = ledger
            .id
            .value
            .iter()
            .map(|name| column(&table, &columns, name, &ledger.id.place))
            .collect::<Result<Vec<_>, _>>()?;
        let id = EntryId {
            key_type: match id.as_slice() {
                [only] => KeyType::of(&only.type_name).filter(|key_type| *key_type != KeyType::Uuid),
                _ => None,
            },
            columns: ledger.id.value.clone(),
        };
        let created_at = match &ledger.created_at {
            Some(source) => Some(self.created_at(&table, &columns, source).await?),
            None => None,
        };
        let filter = match &ledger.filter {
            Some(source) => self.filter(&table, &columns, source).await?,
            None => None,
        };
        let (filter, filter_printed) = filter.unzip();
        let mut postings = Vec::new();
        for posting in &ledger.postings {
            postings.push(self.posting(&table, &columns, posting).await?);
        }
        let key = key_types(&postings);
        let correction = self.correction(&columns, ledger, &table)?;
        Ok(Ledger {
            table,
            is_partitioned: kind == "p",
            partitions,
            id,
            created_at,
            filter,
            filter_printed,
            postings,
            key,
            key_index: ledger.key_index,
            is_incremental: ledger.is_incremental,
            is_replicated: ledger.is_replicated,
            correction,
            columns: columns.iter().map(written).collect::<Result<_, _>>()?,
        })
    }

    /// The further columns of an entry that corrects the ledger. One of the default model may not be there.
    fn correction(
        &self,
        columns: &[Column],
        ledger: &LedgerMapping,
        table: &QualifiedName,
    ) -> Result<Vec<Constant>, Error> {
        let is_of_key = |name: &Ident| {
            let sources = ledger.postings.iter().flat_map(|p| {
                [Some(&p.item), p.location.as_ref(), p.lot.as_ref(), Some(&p.quantity)].into_iter().flatten()
            });
            name == self.mapping.org_column()
                || name.as_str() == TX
                || sources.into_iter().any(|source| source.value == Source::Column(name.clone()))
        };
        let mut constants = Vec::new();
        for (Placed { value: name, place }, text) in &ledger.correction {
            if place.is_default() && !columns.iter().any(|column| column.name == name.as_str()) {
                continue;
            }
            let found = column(table, columns, name, place)?;
            let why = if is_of_key(name) {
                "is written by the correction itself; leave it out"
            } else if found.is_generated {
                "is GENERATED, so nothing can be written into it; leave it out"
            } else {
                let type_name = Definition::from_catalog(found.type_name.clone());
                constants.push(Constant {
                    column: name.clone(),
                    type_name: render("{type}", &[("type", &type_name)]),
                    text: text.clone(),
                });
                continue;
            };
            return Err(refused(place, format!("column {} of {} {why}", name.as_str(), table.plain())));
        }
        Ok(constants)
    }

    /// The partitions at every level, none of them a foreign table.
    async fn partitions(
        &mut self,
        table: &QualifiedName,
        place: &Place,
    ) -> Result<Vec<QualifiedName>, Error> {
        let partitions: Vec<(String, String, String)> = sqlx::query_as(include_str!("../partitions.sql"))
            .bind(table.to_string())
            .fetch_all(&mut *self.connection)
            .await
            .context(format!("read the partitions of {}", table.plain()))?;
        if let Some((schema, name, _)) = partitions.iter().find(|(.., kind)| kind == "f") {
            let reason = format!(
                "partition {schema}.{name} is a foreign table, where no trigger can count entries; detach it or make it a table"
            );
            return Err(refused(place, reason));
        }
        partitions
            .into_iter()
            .map(|(schema, name, _)| Ok(QualifiedName::new(Ident::new(schema)?, Ident::new(name)?)))
            .collect()
    }

    async fn posting(
        &mut self,
        table: &QualifiedName,
        columns: &[Column],
        posting: &PostingMapping,
    ) -> Result<Posting, Error> {
        let item = self.key_term(table, columns, &posting.item).await?;
        let location = match &posting.location {
            Some(source) => Some(self.key_term(table, columns, source).await?),
            None => None,
        };
        let lot = match &posting.lot {
            Some(source) => Some(self.key_term(table, columns, source).await?),
            None => None,
        };
        let Resolved { term: quantity, base, .. } = self.term(table, columns, &posting.quantity).await?;
        let place = &posting.quantity.place;
        if matches!(base.as_str(), "real" | "double precision") {
            let what = quantity.column.as_ref().map_or("the expression", Ident::as_str);
            let reason = format!(
                "{what} has type {base}, which is not exact; write {{ sql = \"...::numeric\" }} with the rounding that the application means"
            );
            return Err(refused(place, reason));
        }
        if !EXACT.contains(&without_modifier(&base).as_str()) {
            let reason = format!(
                "its type is {}, and a quantity is numeric or an integer; convert it with {{ sql = \"...\" }}",
                quantity.type_name
            );
            return Err(refused(place, reason));
        }
        Ok(Posting { item, location, lot, quantity: Term { type_name: base, ..quantity } })
    }

    async fn key_term(
        &mut self,
        table: &QualifiedName,
        columns: &[Column],
        source: &Placed<Source>,
    ) -> Result<Term, Error> {
        let Resolved { term, base, has_one_text } = self.term(table, columns, source).await?;
        if matches!(without_modifier(&base).as_str(), "real" | "double precision" | "json" | "xml")
            || base.ends_with("[]")
        {
            let reason = format!(
                "its type is {}, which can't be a part of a balance's key; convert it with {{ sql = \"...::text\" }}",
                term.type_name
            );
            return Err(refused(&source.place, reason));
        }
        if !has_one_text {
            let reason = format!(
                "its type is {base}, which takes values for equal whose texts differ, so that one item or place would have several balances; convert it with {{ sql = \"...\" }} to what the application means, such as lower(...::text) COLLATE \"C\""
            );
            return Err(refused(&source.place, reason));
        }
        Ok(term)
    }

    async fn term(
        &mut self,
        table: &QualifiedName,
        columns: &[Column],
        source: &Placed<Source>,
    ) -> Result<Resolved, Error> {
        match &source.value {
            Source::Column(name) => {
                let found = column(table, columns, name, &source.place)?;
                if let Some(expression) = &found.virtual_as {
                    let reason = format!(
                        "column {} of {} is a virtual generated column, whose value no trigger is given; write what it is made of, {{ sql = {expression:?} }}",
                        name.as_str(),
                        table.plain()
                    );
                    return Err(refused(&source.place, reason));
                }
                let term = Term {
                    sql: plain(name),
                    printed: name.as_str().to_owned(),
                    column: Some(name.clone()),
                    type_name: found.type_name.clone(),
                    is_nullable: !found.is_not_null,
                };
                Ok(Resolved { term, base: found.base_type.clone(), has_one_text: found.has_one_text })
            }
            Source::Sql(sql) => {
                let parsed = self.expression(table, sql, &source.place).await?;
                let term = computed(&parsed);
                Ok(Resolved { term, base: parsed.base_type, has_one_text: parsed.has_one_text })
            }
        }
    }

    /// Which rows count; none where all of them do, since PostgreSQL keeps no predicate that is always true.
    async fn filter(
        &mut self,
        table: &QualifiedName,
        columns: &[Column],
        source: &Placed<Source>,
    ) -> Result<Option<(Statement, String)>, Error> {
        if let Source::Column(_) = &source.value {
            // What no trigger is given is refused where it is named.
            self.term(table, columns, source).await?;
        }
        let condition = self.condition(table, columns, source).await?;
        Ok(condition.map(|condition| (condition.sql, condition.predicate.unwrap_or_default())))
    }

    /// A condition over a row of `table`; none where it is always true.
    pub(super) async fn condition(
        &mut self,
        table: &QualifiedName,
        columns: &[Column],
        source: &Placed<Source>,
    ) -> Result<Option<Parsed>, Error> {
        let parsed = match &source.value {
            Source::Column(name) => {
                let found = column(table, columns, name, &source.place)?;
                Parsed {
                    sql: plain(name),
                    printed: name.as_str().to_owned(),
                    predicate: Some(plain(name).as_str().to_owned()),
                    type_name: found.type_name.clone(),
                    base_type: found.base_type.clone(),
                    has_one_text: true,
                    of_b: render("b.{name}", &[("name", name)]),
                    columns: vec![name.as_str().to_owned()],
                }
            }
            Source::Sql(sql) => self.expression(table, sql, &source.place).await?,
        };
        if parsed.base_type == "boolean" {
            return Ok((!matches!(parsed.sql.as_str(), "true" | "(true)")).then_some(parsed));
        }
        let reason = format!(
            "its type is {}, and what says whether a row counts is boolean; write a comparison",
            parsed.type_name
        );
        Err(refused(&source.place, reason))
    }

    async fn created_at(
        &mut self,
        table: &QualifiedName,
        columns: &[Column],
        source: &Placed<Source>,
    ) -> Result<Statement, Error> {
        let Resolved { term: Term { sql, .. }, base, .. } = self.term(table, columns, source).await?;
        if base.starts_with("timestamp") || base == "date" {
            return Ok(sql);
        }
        let reason = format!(
            "its type is {base}, and when an entry was made is a timestamp or a date; name such a column, or say false"
        );
        Err(refused(&source.place, reason))
    }

    async fn expression(
        &mut self,
        table: &QualifiedName,
        sql: &str,
        place: &Place,
    ) -> Result<expression::Parsed, Error> {
        if self.db.facts().read_only {
            let reason = "SQL in the mapping is checked in a temporary table, which this read-only server refuses; connect to the primary";
            return Err(refused(place, reason));
        }
        let schemas: Vec<Ident> = self.mapping.schemas();
        expression::parse(self.connection, table, &schemas, sql)
            .await?
            .map_err(|reason| refused(place, reason))
    }
}

/// A column as one who writes an entry meets it.
fn written(column: &Column) -> Result<LedgerColumn, Error> {
    Ok(LedgerColumn {
        name: Ident::new(column.name.clone())?,
        is_required: column.is_not_null && !column.has_default && !column.is_generated,
        is_generated: column.is_generated,
        has_default: column.has_default,
        base_type: column.base_type.clone(),
    })
}

/// The types that the postings' parts have in the balances: their own, or text where these differ.
fn key_types(postings: &[Posting]) -> BalanceKeyTypes {
    let key_type = |part: fn(&Posting) -> Option<&Term>| -> Option<KeyType> {
        let mut types = postings.iter().filter_map(part).map(|term| KeyType::of(&term.type_name));
        let first = types.next()?.unwrap_or(KeyType::Text);
        Some(if types.all(|other| other == Some(first)) { first } else { KeyType::Text })
    };
    BalanceKeyTypes {
        item: key_type(|posting| Some(&posting.item)).unwrap_or(KeyType::Text),
        location: key_type(|posting| posting.location.as_ref()),
        lot: key_type(|posting| posting.lot.as_ref()),
    }
}

/// The term that an expression is.
fn computed(parsed: &Parsed) -> Term {
    Term {
        sql: parsed.sql.clone(),
        printed: parsed.printed.clone(),
        column: None,
        type_name: parsed.type_name.clone(),
        is_nullable: true,
    }
}
