//! Creates an organization and its API key.

use stockfoil_core::{
    org_id::OrgId,
    tenancy::{
        keys::Span,
        organization::{self, Request},
    },
};

cli::args! {
    /// Create an organization and its API key. The key is shown once; the database holds only its SHA-256.
    struct Args {
        /// the name that people see
        #[argh(option, short = 'n')]
        name: String,
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
    }
}

fn main() -> std::process::ExitCode {
    cli::main(async |args: Args, cx| {
        let api_key = cx.secret("--api-key", args.api_key).await?;
        let Args { id, name, subdomain, expires, label, scopes, inactive, .. } = args;
        let request = Request { id, name, subdomain, api_key, expires, label, scopes, is_active: !inactive };
        let new = request.check(&cx.config().mapping, &cx.config().tenancy)?;
        let db = cx.connect().await?;
        let created = organization::create(&db, &cx.config().mapping, new).await?;
        cx.warn(&created.warnings);
        cx.emit(&created).inspect_err(|_| {
            let organization::OrgCreated { id, api_key_id, .. } = &created;
            if let Some(key) = api_key_id {
                cx.say(format!(
                    "organization {id} was created, but its API key {key} could not be shown; org-update --org-id {id} --rotate-key --overlap 0s makes another one"
                ));
            }
        })
    })
}
