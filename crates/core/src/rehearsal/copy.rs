//! The copy that a migration is rehearsed on: the roles, the database and its schema, and some of its rows, all as one
//! snapshot shows them.

use std::collections::BTreeSet;

use sqlx::PgConnection;

use super::{Rehearsal, RehearsalError, Rehearsing, given::Given, sample, stage::Stage};
use crate::{
    Error,
    db::{Context as _, Db, DbError, sqlstate},
    model::Model,
    progress::Progress,
    sql::{Definition, Fragment, Ident, Literal, Statement, render},
};

/// Copies what `model` names, and the schema whole.
pub(super) async fn bring(
    rehearsing: &Rehearsing<'_>,
    stage: &Stage<'_>,
    model: Option<&Model>,
    report: &mut Rehearsal,
) -> Result<(), Error> {
    let progress = rehearsing.progress;
    report.not_rehearsed.extend(stage.not_rehearsed.iter().cloned());
    if stage.given().is_none() {
        stage.load(None, "the roles", stage.roles(progress).await?, progress).await?;
    }
    let mut production = session(rehearsing.db).await?;
    let snapshot: String = sqlx::query_scalar("SELECT pg_export_snapshot()")
        .fetch_one(&mut production)
        .await
        .context("share the rehearsal's snapshot")?;
    make_database(&mut production, stage, report).await?;
    // Rows go in between: before the foreign keys, which then hold for them, and before the triggers.
    let (name, what) = (Some(stage.database.as_str()), "the schema");
    let tables = stage.section("pre-data", &snapshot, progress).await?;
    bring_settings(&mut production, stage, &tables, report).await?;
    report.not_rehearsed.extend(stage.load(name, what, tables, progress).await?);
    if let Some(model) = model {
        let rows = sample::bring(&mut production, stage, model, rehearsing.request.sample, progress).await?;
        report.rows = rows.count;
        report.not_rehearsed.extend(rows.left_out);
    }
    let constraints = stage.section("post-data", &snapshot, progress).await?;
    bring_settings(&mut production, stage, &constraints, report).await?;
    report.not_rehearsed.extend(stage.load(name, what, constraints, progress).await?);
    settle(rehearsing.db, &mut production, stage, report, progress).await
}

/// Gives the copy the settings of the application's own that `script` reads: the catalog lists none that no library
/// defined, wherever they are set.
async fn bring_settings(
    production: &mut PgConnection,
    stage: &Stage<'_>,
    script: &str,
    report: &mut Rehearsal,
) -> Result<(), Error> {
    let names: BTreeSet<&str> =
        script.split("current_setting('").skip(1).filter_map(|rest| rest.split('\'').next()).collect();
    if names.is_empty() {
        return Ok(());
    }
    if let Some(given) = stage.given() {
        let settings = Given::named(production, names.into_iter().collect()).await?;
        report.not_rehearsed.extend(given.set(settings).await?);
        return Ok(());
    }
    let statements: Vec<String> = sqlx::query_scalar(include_str!("copy/named.sql"))
        .bind(names.into_iter().collect::<Vec<_>>())
        .fetch_all(production)
        .await
        .context("read the application's own settings")?;
    run_all(&mut stage.admin().await?, statements, report).await;
    Ok(())
}

/// Runs what the catalog printed; what can't be done here is not rehearsed.
async fn run_all(admin: &mut PgConnection, statements: Vec<String>, report: &mut Rehearsal) {
    for statement in statements {
        let statement = render("{statement}", &[("statement", &Definition::from_catalog(statement))]);
        if let Err(error) = sqlx::raw_sql(statement.sql()).execute(&mut *admin).await {
            report.not_rehearsed.push(not_done(statement.as_str(), &error));
        }
    }
}

/// That a statement was not done. A setting may hold a secret, which neither its statement nor the server's words of it may
/// tell.
fn not_done(statement: &str, error: &sqlx::Error) -> String {
    match statement.split_once(" SET ").and_then(|(_, set)| set.split_once(" TO ")) {
        Some((name, _)) => {
            let state = sqlstate(error).unwrap_or_default();
            format!("the setting {name}, which the copy's server does not take (SQLSTATE {state})")
        }
        None => format!("{statement} ({error})"),
    }
}

/// A session of the database that reads, in one snapshot, and can do nothing else.
async fn session(db: &Db) -> Result<PgConnection, Error> {
    let mut session = db.session().await?;
    sqlx::raw_sql("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        .execute(&mut session)
        .await
        .context("begin reading for the rehearsal")?;
    Ok(session)
}

/// How the database sorts and encodes its texts.
#[derive(PartialEq, Eq, sqlx::FromRow)]
struct Locale {
    encoding: String,
    collate: String,
    ctype: String,
    provider: String,
    locale: Option<String>,
}

impl Locale {
    fn create(&self, name: &Ident) -> Statement {
        let [encoding, collate, ctype] =
            [&self.encoding, &self.collate, &self.ctype].map(|text| Literal::new(text));
        let locale = Literal::new(self.locale.as_deref().unwrap_or_default());
        let provider = match self.provider.as_str() {
            "i" => render(" LOCALE_PROVIDER icu ICU_LOCALE {locale}", &[("locale", &locale)]),
            "b" => render(" LOCALE_PROVIDER builtin BUILTIN_LOCALE {locale}", &[("locale", &locale)]),
            _ => render("", &[]),
        };
        let fragments: [(&str, &dyn Fragment); 5] = [
            ("name", name),
            ("encoding", &encoding),
            ("collate", &collate),
            ("ctype", &ctype),
            ("provider", &provider),
        ];
        render(
            "CREATE DATABASE {name} TEMPLATE template0 ENCODING {encoding} LC_COLLATE {collate} LC_CTYPE {ctype}{provider}",
            &fragments,
        )
    }
}

async fn locale(session: &mut PgConnection) -> Result<Locale, DbError> {
    sqlx::query_as(include_str!("copy/locale.sql"))
        .fetch_one(session)
        .await
        .context("read how the database sorts texts")
}

/// Makes the database under its own name, sorted as it is where this machine can. One that was given is as it is.
async fn make_database(
    production: &mut PgConnection,
    stage: &Stage<'_>,
    report: &mut Rehearsal,
) -> Result<(), Error> {
    let wanted = locale(production).await?;
    if stage.given().is_some() {
        if locale(&mut stage.admin().await?).await? != wanted {
            report.not_rehearsed.push(format!(
                "how texts are encoded and sorted: make the given database with ENCODING {:?} LC_COLLATE {:?} LC_CTYPE {:?}",
                wanted.encoding, wanted.collate, wanted.ctype
            ));
        }
        return Ok(());
    }
    let locale = wanted;
    let name = Ident::new(stage.database.clone())?;
    let mut first = stage.first().await?;
    // template1 and postgres are there already; a database of that name is as good.
    let there: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
        .bind(name.as_str())
        .fetch_one(&mut first)
        .await
        .context("look for the rehearsal's database")?;
    if there {
        let drop = render("DROP DATABASE {name}", &[("name", &name)]);
        sqlx::raw_sql(drop.sql())
            .execute(&mut first)
            .await
            .context("make room for the rehearsal's database")?;
    }
    if sqlx::raw_sql(locale.create(&name).sql()).execute(&mut first).await.is_ok() {
        return Ok(());
    }
    let plain = Locale { collate: "C".into(), ctype: "C".into(), provider: "c".into(), ..locale };
    sqlx::raw_sql(plain.create(&name).sql())
        .execute(&mut first)
        .await
        .context("make the rehearsal's database")?;
    report.not_rehearsed.push(format!(
        "how texts are sorted: this machine lacks the locale {:?}; the copy sorts them by their bytes",
        plain.locale.as_deref().unwrap_or("of the database")
    ));
    Ok(())
}

/// What no dump of a schema holds: the database's own rights and settings, and where its sequences stand.
async fn settle(
    db: &Db,
    production: &mut PgConnection,
    stage: &Stage<'_>,
    report: &mut Rehearsal,
    progress: &dyn Progress,
) -> Result<(), Error> {
    let mut admin = stage.admin().await?;
    // The database's own settings go over the server's.
    let mut queries = vec![(include_str!("copy/sequences.sql"), "the sequences")];
    match stage.given() {
        Some(given) => {
            let text = stage.said(include_str!("given/settings.sql"), progress).await?;
            let settings = serde_json::from_str(&text)
                .map_err(|error| RehearsalError::Ended(format!("the settings can't be read: {error}")))?;
            report.not_rehearsed.extend(given.set(settings).await?);
        }
        None => {
            let statements = stage.said(include_str!("copy/settings.sql"), progress).await?;
            run_all(&mut admin, statements.lines().map(str::to_owned).collect(), report).await;
            queries.insert(0, (include_str!("copy/database.sql"), "the database's rights and settings"));
        }
    }
    for (query, what) in queries {
        let statements: Vec<String> =
            sqlx::query_scalar(query).fetch_all(&mut *production).await.context(format!("read {what}"))?;
        run_all(&mut admin, statements, report).await;
    }
    if stage.given().is_none() && db.facts().version_num >= 170_000 {
        // The cluster keeps event triggers from its own sessions; here they are part of what is rehearsed.
        let name = Ident::new(stage.database.clone())?;
        let set = render("ALTER DATABASE {name} SET event_triggers = on", &[("name", &name)]);
        sqlx::raw_sql(set.sql()).execute(&mut admin).await.context("let event triggers fire")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_of_a_setting_is_told() {
        let error = sqlx::Error::Protocol("not 's3cret'".into());
        let told = not_done("ALTER DATABASE stock SET app.key TO 's3cret'", &error);
        assert!(told.contains("app.key") && !told.contains("s3cret"), "{told}");
        let told = not_done("ALTER DATABASE stock OWNER TO shop", &error);
        assert!(told.starts_with("ALTER DATABASE stock OWNER TO shop ("), "{told}");
    }
}
