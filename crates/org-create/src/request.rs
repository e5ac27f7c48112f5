//! What the flags ask for.

use stockfoil_core::{
    report::Report as _,
    tenancy::organization::{
        self, OrgCreated, Request,
        file::{self, Common, OrgFile},
    },
};

use crate::Args;

/// Creates the organization that the flags describe.
///
/// # Errors
/// As [`organization::create`], and [`cli::RunError::Usage`] when it has no name.
pub(crate) async fn one(args: Args, cx: &cli::Context) -> Result<cli::Outcome, cli::RunError> {
    cli::requires("--dry-run", args.dry_run, "--file")?;
    cli::requires("--with-keys", args.with_keys, "--file")?;
    let api_key = cx.secret("--api-key", args.api_key).await?;
    let Args { id, name, subdomain, expires, label, scopes, inactive, .. } = args;
    let Some(name) = name else {
        let what = "say what the organization is called by --name, or list many in a file (--file)";
        return Err(cli::RunError::Usage(what.into()));
    };
    let request = Request { id, name, subdomain, api_key, expires, label, scopes, is_active: !inactive };
    let new = request.check(&cx.config().mapping, &cx.config().tenancy)?;
    let db = cx.connect().await?;
    let created = organization::create(&db, &cx.config().mapping, new).await?;
    cx.warn(&created.warnings);
    cx.emit(&created).inspect_err(|_| {
        let OrgCreated { id, api_key_id, .. } = &created;
        if let Some(key) = api_key_id {
            cx.say(format!(
                "organization {id} was created, but its API key {key} could not be shown; org-update --org-id {id} --rotate-key --overlap 0s makes another one"
            ));
        }
    })
}

/// Creates the organizations that `path` lists.
///
/// # Errors
/// As [`OrgFile::read`] and [`file::create`], and [`cli::RunError::Usage`] beside a flag that is of one organization.
pub(crate) async fn all(args: Args, path: &str, cx: &cli::Context) -> Result<cli::Outcome, cli::RunError> {
    let of_one = [
        ("--name", args.name.is_some()),
        ("--subdomain", args.subdomain.is_some()),
        ("--api-key", args.api_key.is_some()),
        ("--label", args.label.is_some()),
        ("--scopes", args.scopes.is_some()),
        ("--id", args.id.is_some()),
    ];
    cli::excludes("--file", &of_one)?;
    let common = Common { is_active: !args.inactive, has_keys: args.with_keys, expires: args.expires };
    let (mapping, tenancy) = (&cx.config().mapping, &cx.config().tenancy);
    let file = OrgFile::read(&cx.read_file("--file", path).await?, common, mapping, tenancy)?;
    let db = cx.connect().await?;
    let created = file::create(&db, mapping, file, args.dry_run).await?;
    cx.warn(&created.warnings);
    cx.emit(&created).inspect_err(|_| {
        if created.applied && created.shows_keys() {
            cx.say("the organizations were created, but their API keys could not be shown; org-update --rotate-key --overlap 0s makes another one of each");
        }
    })
}
