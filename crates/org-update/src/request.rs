//! What the flags ask for.

use stockfoil_core::{
    settings::Secret,
    tenancy::update::{Others, Request},
};

use crate::Args;

/// The request that `args` make, with the key that they name or lead to.
///
/// # Errors
/// [`cli::RunError::Usage`] when flags exclude each other.
pub(crate) fn of(args: Args, api_key: Option<Secret>) -> Result<Request, cli::RunError> {
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
    Ok(Request {
        name,
        subdomain: subdomain.map(|label| label.map(str::to_owned)),
        is_active,
        new_key,
        overlap,
        api_key,
        expires,
        revoke: args.revoke_key,
        lists_keys: args.list_keys,
    })
}
