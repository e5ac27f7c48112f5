//! Lists the organizations with what belongs to them.

use stockfoil_core::tenancy::organization;

cli::args! {
    /// List the organizations, the oldest first, with their users and items counted.
    struct Args {
        /// leave out inactive ones
        #[argh(switch)]
        active_only: bool,
    }
}

fn main() -> std::process::ExitCode {
    cli::main(async |args: Args, cx| {
        let db = cx.connect().await?;
        let list = organization::list(&db, &cx.config().mapping, args.active_only).await?;
        cx.emit(&list)
    })
}
