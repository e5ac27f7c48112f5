//! What the flags ask for.

use stockfoil_core::{
    settings::Secret,
    tenancy::{
        ending,
        keys::Span,
        update::{self, Others, Request},
    },
};

use crate::Args;

/// Makes the change, and shows the organization as it is then.
///
/// # Errors
/// As [`update::update`], and [`cli::RunError::Usage`] when flags exclude each other or no organization is named.
pub(crate) async fn change(mut args: Args, cx: &cli::Context) -> Result<cli::Outcome, cli::RunError> {
    let api_key = cx.secret("--api-key", args.api_key.take()).await?;
    let (mapping, tenancy) = (&cx.config().mapping, &cx.config().tenancy);
    let Some(name) = args.org_id.clone() else {
        return Err(cli::RunError::Usage("say which organization to change: --org-id ORG".into()));
    };
    let is_confirmed = args.yes;
    let (update, db) = (of(args, api_key)?.check(tenancy)?, cx.connect().await?);
    let org = cx.organization(&db, &name).await?;
    if update.ends_default(&org, mapping, tenancy) && !is_confirmed {
        cx.confirm("a request that names no organization will find none; deactivate the default one").await?;
    }
    let updated = update::update(&db, mapping, org, update).await?;
    cx.warn(&updated.warnings);
    cx.emit(&updated).inspect_err(|_| {
        if let Some(key) = &updated.api_key_id {
            cx.say(format!("its new API key {key} could not be shown; --revoke-key {key} ends it"));
        }
    })
}

/// Lists the keys that end `within` that time.
///
/// # Errors
/// As [`ending::look`], and [`cli::RunError::Usage`] beside a flag that asks for a change.
pub(crate) async fn keys_ending(
    args: Args,
    within: Span,
    cx: &cli::Context,
) -> Result<cli::Outcome, cli::RunError> {
    let changes = [
        ("--name", args.name.is_some()),
        ("--subdomain", args.subdomain.is_some()),
        ("--no-subdomain", args.no_subdomain),
        ("--activate", args.activate),
        ("--deactivate", args.deactivate),
        ("--rotate-key", args.rotate_key),
        ("--add-key", args.add_key),
        ("--key", args.key.is_some()),
        ("--revoke-key", !args.revoke_key.is_empty()),
        ("--list-keys", args.list_keys),
        ("--overlap", args.overlap.is_some()),
        ("--api-key", args.api_key.is_some()),
        ("--expires", args.expires.is_some()),
        ("--label", args.label.is_some()),
        ("--scopes", args.scopes.is_some()),
    ];
    cli::excludes("--keys-ending", &changes)?;
    let db = cx.connect().await?;
    let org = match &args.org_id {
        Some(name) => Some(cx.organization(&db, name).await?),
        None => None,
    };
    cx.emit(&ending::look(&db, &cx.config().mapping, within, org.as_ref()).await?)
}

/// The request that `args` make, with the key that they name or lead to.
///
/// # Errors
/// [`cli::RunError::Usage`] when flags exclude each other.
fn of(args: Args, api_key: Option<Secret>) -> Result<Request, cli::RunError> {
    let Args { name, overlap, expires, .. } = args;
    let is_active =
        cli::one_of(&[("--activate", args.activate, true), ("--deactivate", args.deactivate, false)])?;
    let label = args.subdomain.as_deref();
    let subdomain =
        cli::one_of(&[("--subdomain", label.is_some(), label), ("--no-subdomain", args.no_subdomain, None)])?;
    let new_key = cli::one_of(&[
        ("--rotate-key", args.rotate_key, Others::End),
        ("--add-key", args.add_key, Others::Stay),
    ])?;
    if args.key.is_some() {
        cli::excludes("--key", &[("--rotate-key", args.rotate_key), ("--add-key", args.add_key)])?;
    }
    Ok(Request {
        name,
        subdomain: subdomain.map(|label| label.map(str::to_owned)),
        is_active,
        new_key,
        overlap,
        api_key,
        expires,
        label: args.label,
        scopes: args.scopes,
        key: args.key,
        revoke: args.revoke_key,
        lists_keys: args.list_keys,
    })
}
