//! Writes a typed client from the migrated schema of the connected database.

use std::{path::PathBuf, process::ExitCode};

use stockfoil_core::client::{self, Language, Request};

cli::args! {
    /// Write a typed client from the schema of the connected database: a row type for each table, and queries by
    /// key that demand an organization where a table is tenant-scoped.
    struct Args {
        /// the client's language (default: rust)
        #[argh(option, default = "Language::Rust")]
        lang: Language,
        /// the client's file (default: standard output)
        #[argh(option, arg_name = "file")]
        out: Option<PathBuf>,
        /// write nothing; status 1 when the file is not what would be written
        #[argh(switch)]
        check: bool,
        /// only this schema (repeatable; default: the application's and stockfoil)
        #[argh(option, arg_name = "name")]
        schema: Vec<String>,
    }
}

fn main() -> ExitCode {
    cli::main(async |args: Args, cx| {
        let request = Request::new(args.lang, &args.schema, args.out, args.check)?;
        let db = cx.connect().await?;
        let generated = client::generate(&db, &cx.config().mapping, &request).await?;
        cx.emit(&generated)
    })
}
