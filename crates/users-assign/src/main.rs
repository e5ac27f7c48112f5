//! Moves users to an organization.

mod request;

use stockfoil_core::tenancy::named::OrgName;

cli::args! {
    /// Move users to an organization: all of the selected ones, in one transaction, or none. The exit status is 1
    /// when --expect or a key that is taken stops the move.
    struct Args {
        /// the organization to move them to, by its id or its subdomain
        #[argh(option, arg_name = "org")]
        org_id: Option<OrgName>,
        /// this user (repeatable)
        #[argh(option, arg_name = "id")]
        user_id: Vec<String>,
        /// users whose address it is: '@acme.com' is that whole domain without its subdomains, '*' stands for
        /// any characters; case does not matter
        #[argh(option, arg_name = "pattern")]
        email_pattern: Option<String>,
        /// everybody whom the organizations that give have
        #[argh(switch)]
        all: bool,
        /// take users from this organization, by its id or its subdomain (repeatable; default: the default organization, and
        /// users of none)
        #[argh(option, arg_name = "org")]
        from: Vec<OrgName>,
        /// move the rows that refer to them too, with everything that belongs to these; recorded, told and put back as data-assign does
        #[argh(switch)]
        with_rows: bool,
        /// move the users of this CSV file to the organizations that it gives them, in one transaction ('-': standard input). Its first
        /// line names the columns: organization, and email or id
        #[argh(option, arg_name = "file")]
        file: Option<String>,
        /// put back whom this run moved, as far as they are still where the run put them
        #[argh(option, arg_name = "run")]
        undo: Option<i64>,
        /// only say who would move
        #[argh(switch)]
        dry_run: bool,
        /// move nobody unless exactly so many users (with --with-rows: rows) would move
        #[argh(option, arg_name = "users")]
        expect: Option<u64>,
        /// do not ask before rows move with them
        #[argh(switch)]
        yes: bool,
    }
}

fn main() -> std::process::ExitCode {
    cli::main(async |args: Args, cx| request::run(args, cx).await)
}
