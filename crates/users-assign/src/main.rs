//! Moves users to an organization.

use stockfoil_core::tenancy::{
    OrgId,
    users::{self, Assignment, Selector},
};

cli::args! {
    /// Move users to an organization: all of the selected ones, in one transaction, or none. The exit status is 1
    /// when --expect or a key that is taken stops the move.
    struct Args {
        /// the organization to move them to
        #[argh(option, arg_name = "id")]
        org_id: OrgId,
        /// this user (repeatable)
        #[argh(option, arg_name = "id")]
        user_id: Vec<String>,
        /// users whose address it is: '@acme.com' is that whole domain without its subdomains, '*' stands for
        /// any characters; case does not matter
        #[argh(option, arg_name = "pattern")]
        email_pattern: Option<String>,
        /// users who are still in the default organization, or in none
        #[argh(switch)]
        all: bool,
        /// only say who would move
        #[argh(switch)]
        dry_run: bool,
        /// move nobody unless exactly so many users would move
        #[argh(option, arg_name = "users")]
        expect: Option<usize>,
    }
}

fn main() -> std::process::ExitCode {
    cli::main(async |args: Args, cx| {
        let Args { org_id: org, user_id, email_pattern, all, dry_run, expect, .. } = args;
        let selector = Selector::of(user_id, email_pattern.as_deref(), all, &cx.config().tenancy)?;
        let assignment = Assignment { org, selector, expect, dry_run };
        let db = cx.connect().await?;
        let report = users::assign(&db, &cx.config().mapping, &assignment).await?;
        cx.warn(report.stopped.iter().chain(&report.warnings));
        cx.emit(&report)
    })
}
