//! Lists the organizations with what belongs to them.

use stockfoil_core::tenancy::{organization, usage};

cli::args! {
    /// List the organizations, the oldest first, with their users and items counted.
    scheduled struct Args {
        /// leave out inactive ones
        #[argh(switch)]
        active_only: bool,
        /// say what each uses: entries and their size by day, rows, the last entry, keys
        #[argh(switch)]
        usage: bool,
        /// for --usage: of how many days entries are told by day, and a key's use counts (default: 30)
        #[argh(option, arg_name = "days")]
        days: Option<u16>,
    }
}

fn main() -> std::process::ExitCode {
    cli::main(async |args: Args, cx| {
        cli::requires("--days", args.days.is_some() && !args.usage, "--usage")?;
        let db = cx.connect().await?;
        let mapping = &cx.config().mapping;
        if args.usage {
            return cx.emit(&usage::look(&db, mapping, args.active_only, args.days.unwrap_or(30)).await?);
        }
        cx.emit(&organization::list(&db, mapping, args.active_only).await?)
    })
}
