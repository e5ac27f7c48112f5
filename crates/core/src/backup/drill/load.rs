//! Loading a dump into the server of a drill.

use std::{collections::BTreeSet, fs::File, path::Path};

use sqlx::Connection as _;

use super::proof::{LOADED, failed, session};
use crate::{
    Error,
    backup::{Backup, Finding, Format, reading::Reader, source::dump, tool::PgRestore},
    sql::{Ident, render},
    throwaway::{self, Cluster, Feed, Owner, drain},
};

/// Loads a dump into the running server.
pub(super) async fn load(
    reader: &Reader<'_>,
    server: &Cluster<'_>,
    path: &Path,
    dump: &Backup,
    notes: &mut Vec<String>,
) -> Result<(), Finding> {
    let named = dump::named(reader, path, dump).await?;
    let version = server.version();
    let refused = |what: &str, words: String| {
        let text = format!("{what} refused it: {words}");
        if dump.needs <= version {
            return Finding::critical("load", text);
        }
        let text = format!(
            "{text}; programs of PostgreSQL {} wrote it, and this server is of {version}: install the server of that version or newer (looked for in {})",
            dump.needs,
            throwaway::places(&reader.config.backup.throwaway())
        );
        Finding::unknown("tool", text)
    };
    let mut database = "postgres";
    if !named.is_cluster {
        database = LOADED;
        let made = make_database(server, LOADED, &named.roles).await?;
        if !made.is_empty() {
            notes.push(format!(
                "names roles that it does not hold, which the drill made: {}; a server needs them before it is restored there (pg_dumpall --roles-only)",
                made.join(", ")
            ));
        }
    }
    let limit = reader.config.backup.timeout;
    let (file, feed) = dump::how_to_give(path, dump.compression);
    if dump.format != Some(Format::Plain) {
        let settings = reader.config.backup;
        let own = server.program("pg_restore").owned_by(&Owner::Caller);
        let chosen = PgRestore::choose(settings, dump.needs, reader.progress).await?;
        let pg_restore = chosen.of_server(settings, own).within(limit).confined(server.client());
        let ran = pg_restore.load(server.connection(database), file, feed, reader.progress).await?;
        return match ran.complaint() {
            Some(complaint) => Err(refused("pg_restore", complaint)),
            None => Ok(()),
        };
    }
    let (owned, compression) = (path.to_path_buf(), dump.compression);
    // Always through a pipe: the server's user need not be able to read the dump.
    let is_cluster = named.is_cluster;
    let feed: Feed = Box::new(move |meter| {
        let sql = compression.reader(meter.read(File::open(owned)?))?;
        Ok(Box::new(dump::Restricted::new(sql, is_cluster)?))
    });
    let psql = server.psql(database).within(limit);
    let ran = psql.run(Vec::new(), Some(feed), reader.progress, drain).await?;
    match ran.complaint() {
        Some(complaint) if complaint.contains("invalid command \\restrict") => Err(Finding::unknown(
            "tool",
            "psql is too old to be kept from running commands that a dump holds; install the newest minor version of PostgreSQL's client programs",
        )),
        Some(complaint) => Err(refused("psql", complaint)),
        None => Ok(()),
    }
}

/// Makes `database`, and the roles that its dump names; which these were.
async fn make_database(
    server: &Cluster<'_>,
    database: &'static str,
    roles: &BTreeSet<String>,
) -> Result<Vec<String>, Finding> {
    let make = async {
        let mut session = session(server, "postgres").await?;
        let known: Vec<String> =
            sqlx::query_scalar("SELECT rolname::text FROM pg_roles").fetch_all(&mut session).await?;
        let mut made = Vec::new();
        for role in roles.iter().filter(|role| !known.contains(role)) {
            // What can't be a role's name is none.
            let Ok(name) = Ident::new(role.clone()) else { continue };
            let statement = render("CREATE ROLE {role}", &[("role", &name)]);
            match sqlx::query(statement.sql()).execute(&mut session).await {
                Ok(_) => made.push(role.clone()),
                Err(error) => log::debug!("role {role} of the dump was not made: {error}"),
            }
        }
        let statement =
            render("CREATE DATABASE {name} TEMPLATE template0", &[("name", &Ident::fixed(database))]);
        sqlx::query(statement.sql()).execute(&mut session).await?;
        session.close().await?;
        Ok::<_, Error>(made)
    };
    make.await.map_err(|error: Error| failed("made", &error))
}
