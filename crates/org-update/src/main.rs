//! Changes an organization and its API keys.

mod request;

use stockfoil_core::tenancy::{keys::Span, named::OrgName};

cli::args! {
    /// Change an organization, or rotate, revoke and list its API keys: all that is asked for, in one transaction, or
    /// nothing. A new key is shown once.
    struct Args {
        /// the organization, by its id or its subdomain
        #[argh(option, arg_name = "org")]
        org_id: Option<OrgName>,
        /// the name that people see
        #[argh(option, short = 'n')]
        name: Option<String>,
        /// one label of a host name: 1 to 63 letters, digits and '-'
        #[argh(option, short = 's', arg_name = "label")]
        subdomain: Option<String>,
        /// take its subdomain away
        #[argh(switch)]
        no_subdomain: bool,
        /// let it be used
        #[argh(switch)]
        activate: bool,
        /// keep it from being used: neither its subdomain nor its keys lead to it
        #[argh(switch)]
        deactivate: bool,
        /// make a new API key, and let the others end after --overlap
        #[argh(switch)]
        rotate_key: bool,
        /// how long the others live beside the new one, such as 24h (the default) or 0s
        #[argh(option, arg_name = "time")]
        overlap: Option<Span>,
        /// make one more API key, and let the others live
        #[argh(switch)]
        add_key: bool,
        /// use this API key instead of making one; '-' reads it from standard input
        #[argh(option, short = 'k', arg_name = "key")]
        api_key: Option<String>,
        /// let the new API key end after this time, such as 90d (default: never)
        #[argh(option, arg_name = "time")]
        expires: Option<Span>,
        /// what people call the new API key
        #[argh(option, arg_name = "text")]
        label: Option<String>,
        /// what the new API key is for, in words that the application reads (default for --rotate-key: as the others)
        #[argh(option, arg_name = "text")]
        scopes: Option<String>,
        /// give --label and --scopes to the API key with this id instead
        #[argh(option, arg_name = "key id")]
        key: Option<String>,
        /// end the API key with this id, now and for ever (repeatable)
        #[argh(option, arg_name = "key id")]
        revoke_key: Vec<String>,
        /// list its API keys: their ids, never the keys
        #[argh(switch)]
        list_keys: bool,
        /// change nothing; list the API keys, of this organization or of all, that end within this time, such as 30d (status 1
        /// where an organization has none that lives longer)
        #[argh(option, arg_name = "time")]
        keys_ending: Option<Span>,
        /// do not ask before the default organization is deactivated
        #[argh(switch)]
        yes: bool,
    }
}

fn main() -> std::process::ExitCode {
    cli::main(async |args: Args, cx| match args.keys_ending {
        Some(within) => request::keys_ending(args, within, cx).await,
        None => request::change(args, cx).await,
    })
}
