//! Writes a typed client, or a proposed configuration, from the schema of the connected database.

use std::{path::PathBuf, process::ExitCode};

use stockfoil_core::client::{self, Known, Language, ProposalRequest, Request};

cli::args! {
    /// Write a typed client from the schema of the connected database: a row type for each table, and queries by
    /// key that demand an organization where a table is tenant-scoped. Or, with --config and no file behind it, a
    /// proposed stockfoil.toml for a database that nobody has mapped yet.
    struct Args {
        /// the client's language (default: rust)
        #[argh(option)]
        lang: Option<Language>,
        /// the file (default: standard output)
        #[argh(option, arg_name = "file")]
        out: Option<PathBuf>,
        /// write nothing; status 1 when the file is not what would be written
        #[argh(switch)]
        check: bool,
        /// only this schema (repeatable; default: the application's and stockfoil)
        #[argh(option, arg_name = "name")]
        schema: Vec<String>,
        /// propose a stockfoil.toml instead, each line with its reason; never over a file that is there. Also
        /// spelled --config without a file
        #[argh(switch)]
        propose_config: bool,
        /// propose this table as the ledger
        #[argh(option, arg_name = "table")]
        ledger: Option<String>,
        /// propose this table as the balances
        #[argh(option, arg_name = "table")]
        balances: Option<String>,
        /// propose that this table's rows are an organization's each (repeatable)
        #[argh(option, arg_name = "table")]
        tenant: Vec<String>,
        /// propose that this table's rows are everybody's (repeatable)
        #[argh(option, arg_name = "table")]
        global: Vec<String>,
    }
}

fn main() -> ExitCode {
    cli::main(async |args: Args, cx| {
        let known = Known {
            ledger: args.ledger,
            balances: args.balances,
            tenants: args.tenant,
            globals: args.global,
        };
        if !args.propose_config && known != Known::default() {
            let reason =
                "--ledger, --balances, --tenant and --global are about a proposal; add --propose-config";
            return Err(cli::RunError::Usage(reason.into()));
        }
        if args.propose_config {
            if args.lang.is_some() || args.check {
                let reason =
                    "--lang and --check are about a client; leave them out, or leave out --propose-config";
                return Err(cli::RunError::Usage(reason.into()));
            }
            let request = ProposalRequest::new(&args.schema, known, args.out)?;
            let db = cx.connect().await?;
            return cx.emit(&client::propose(&db, &request).await?);
        }
        let language = args.lang.unwrap_or(Language::Rust);
        let request = Request::new(language, &args.schema, args.out, args.check)?;
        let db = cx.connect().await?;
        let generated = client::generate(&db, &cx.config().mapping, &request).await?;
        cx.emit(&generated)
    })
}
