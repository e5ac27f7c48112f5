//! Gives every tenant-scoped row its organization, online.

use stockfoil_core::migration::{
    online::Online,
    org::{Direction, Request},
};

cli::args! {
    /// Add organizations, an org_id on every tenant-scoped table, foreign keys, and unique keys per organization, online. Safe to run again: what the catalog shows to be done is left alone.
    migration struct Args {
        /// keep the unique keys that reach across organizations, for applications that name them in ON CONFLICT
        #[argh(switch)]
        expand_only: bool,
        /// end the default organization: an insert that names none fails from then on
        #[argh(switch)]
        finalize: bool,
        /// with --finalize: isolate the organizations by row-level security; with --rollback: take only that back
        #[argh(switch)]
        isolate: bool,
        /// go back to exactly the schema as it was
        #[argh(switch)]
        rollback: bool,
        /// make the organizations that an org_id from before names
        #[argh(switch)]
        adopt_organizations: bool,
        /// go on in spite of this: on-conflict, publications, default-organization, answers (repeatable)
        #[argh(option, arg_name = "what")]
        accept: Vec<String>,
        /// do not ask before changing the schema
        #[argh(switch)]
        yes: bool,
    }
}

fn main() -> std::process::ExitCode {
    cli::main(async |args: Args, cx| {
        let direction = cli::one_of(&[
            ("--expand-only", args.expand_only, Direction::Expand),
            ("--finalize", args.finalize, Direction::Finalize),
            ("--rollback", args.rollback, Direction::Rollback),
        ])?;
        let (how, patience) = (args.how()?, args.patience());
        let request = Request {
            direction: direction.unwrap_or_default(),
            isolates: args.isolate,
            adopts_organizations: args.adopt_organizations,
            accepted: args.accept,
            patience,
        };
        request.check()?;
        let destroys = matches!(request.direction, Direction::Finalize | Direction::Rollback);
        let asks = !args.yes && (destroys || cx.is_interactive());
        cx.migrate(Online::Organizations(request), how, asks).await
    })
}
