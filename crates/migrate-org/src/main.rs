//! Gives every tenant-scoped row its organization, online.

use std::path::PathBuf;

use stockfoil_core::migration::org::{Direction, Request};

cli::args! {
    /// Add organizations, an org_id on every tenant-scoped table, foreign keys, and unique keys per organization beside those that are there, online. Safe to run again: what the catalog shows to be done is left alone.
    migration struct Args {
        /// let the unique keys go that reach across organizations, once no statement names them in ON CONFLICT
        #[argh(switch)]
        contract: bool,
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
        /// go on in spite of this: on-conflict, parameters, publications, default-organization, answers (repeatable)
        #[argh(option, arg_name = "what")]
        accept: Vec<String>,
        /// only this tenant table, and what all of them need (repeatable)
        #[argh(option, arg_name = "table")]
        only: Vec<String>,
        /// stop behind the step of this title, or the only one that begins so
        #[argh(option, arg_name = "step")]
        until: Option<String>,
        /// show the plan, and write it to this file
        #[argh(option, arg_name = "file")]
        plan_out: Option<PathBuf>,
        /// run exactly the plan of this file, or nothing
        #[argh(option, arg_name = "file")]
        plan: Option<PathBuf>,
        /// do not ask before changing the schema
        #[argh(switch)]
        yes: bool,
    }
}

fn main() -> std::process::ExitCode {
    cli::main(async |args: Args, cx| {
        let (how, patience) = (args.how()?, args.patience());
        let direction = cli::one_of(&[
            ("--contract", args.contract, Direction::Contract),
            ("--finalize", args.finalize, Direction::Finalize),
            ("--rollback", args.rollback, Direction::Rollback),
        ])?;
        let request = Request {
            direction: direction.unwrap_or_default(),
            isolates: args.isolate,
            adopts_organizations: args.adopt_organizations,
            accepted: args.accept,
            only: args.only,
            until: args.until,
            ..Request::default()
        };
        let request = Request { patience, ..request.or_planned(args.plan.as_deref())? };
        cx.migrate_org(request, how, args.plan_out.as_deref(), args.yes).await
    })
}
