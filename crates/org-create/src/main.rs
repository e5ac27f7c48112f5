//! Creates an organization and its API key, or all that a file lists.

mod request;

use stockfoil_core::{org_id::OrgId, tenancy::keys::Span};

cli::args! {
    /// Create an organization and its API key, or all organizations that a file lists. A key is shown once; the database holds only
    /// its SHA-256. The exit status is 1 when something is wrong with the file, of which nothing is done then.
    struct Args {
        /// the name that people see
        #[argh(option, short = 'n')]
        name: Option<String>,
        /// one label of a host name: 1 to 63 letters, digits and '-'
        #[argh(option, short = 's', arg_name = "label")]
        subdomain: Option<String>,
        /// use this API key instead of making one; '-' reads it from standard input, which keeps it out of the
        /// shell's history and the process list
        #[argh(option, short = 'k', arg_name = "key")]
        api_key: Option<String>,
        /// let the API key end after this time, such as 90d (default: never)
        #[argh(option, arg_name = "time")]
        expires: Option<Span>,
        /// what people call the API key
        #[argh(option, arg_name = "text")]
        label: Option<String>,
        /// what the API key is for, in words that the application reads
        #[argh(option, arg_name = "text")]
        scopes: Option<String>,
        /// create it inactive: it can't be used until it is activated
        #[argh(switch)]
        inactive: bool,
        /// use this id instead of making one
        #[argh(option)]
        id: Option<OrgId>,
        /// create all organizations of this CSV file that are not there yet, in one transaction ('-': standard input). Its first line
        /// names the columns: name and, as wanted, id, subdomain, key_label, scopes, key_expires
        #[argh(option, arg_name = "file")]
        file: Option<String>,
        /// make an API key for each organization of --file, and not only for lines that say something of one
        #[argh(switch)]
        with_keys: bool,
        /// only say what would become of --file
        #[argh(switch)]
        dry_run: bool,
    }
}

fn main() -> std::process::ExitCode {
    cli::main(async |args: Args, cx| match args.file.clone() {
        Some(file) => request::all(args, &file, cx).await,
        None => request::one(args, cx).await,
    })
}
