//! The storage of a source: its address and its keys, and what its refusals mean.

use std::{collections::BTreeMap, error::Error as _, fs, time::Duration};

use object_store::{
    BackoffConfig, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey},
};

use super::http::{Connector, Unreached};
use crate::{
    backup::{BackupSource, Finding, Settings},
    settings::Secret,
};

/// So often a request is sent again that got no answer, or one that says to try again.
const RETRIES: usize = 3;

/// The variables by which a machine or a container gets keys of its own.
const ROLES: [(&str, AmazonS3ConfigKey); 6] = [
    ("AWS_WEB_IDENTITY_TOKEN_FILE", AmazonS3ConfigKey::WebIdentityTokenFile),
    ("AWS_ROLE_ARN", AmazonS3ConfigKey::RoleArn),
    ("AWS_ROLE_SESSION_NAME", AmazonS3ConfigKey::RoleSessionName),
    ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", AmazonS3ConfigKey::ContainerCredentialsRelativeUri),
    ("AWS_CONTAINER_CREDENTIALS_FULL_URI", AmazonS3ConfigKey::ContainerCredentialsFullUri),
    ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", AmazonS3ConfigKey::ContainerAuthorizationTokenFile),
];

/// The keys of a person or a program.
struct Keys {
    id: Secret,
    secret: Secret,
    token: Option<Secret>,
}

/// The storage of `source`.
///
/// # Errors
/// What of its configuration can't be used.
pub(super) fn open(settings: &Settings, source: &BackupSource) -> Result<AmazonS3, Finding> {
    let environment = settings.environment_of(source);
    let variable = |name: &str| environment.get(name).map(Secret::expose).filter(|value| !value.is_empty());
    let is_path_style = source.path_style.unwrap_or(source.endpoint.is_some());
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(source.bucket.as_deref().unwrap_or_default())
        .with_http_connector(Connector { timeout: settings.stall_timeout })
        .with_allow_http(source.allow_http)
        .with_virtual_hosted_style_request(!is_path_style)
        .with_retry(RetryConfig {
            backoff: BackoffConfig { max_backoff: Duration::from_secs(5), ..BackoffConfig::default() },
            max_retries: RETRIES,
            retry_timeout: settings.stall_timeout,
        });
    let region = source.region.as_deref();
    let region = region.or_else(|| variable("AWS_REGION")).or_else(|| variable("AWS_DEFAULT_REGION"));
    if let Some(region) = region {
        builder = builder.with_region(region);
    }
    if let Some(endpoint) = &source.endpoint {
        builder = builder.with_endpoint(address(source, endpoint, is_path_style));
    }
    match keys(source, &environment)? {
        Some(Keys { id, secret, token }) => {
            builder = builder.with_access_key_id(id.expose()).with_secret_access_key(secret.expose());
            if let Some(token) = token {
                builder = builder.with_token(token.expose());
            }
        }
        None => {
            let mut has_role = false;
            for (name, key) in ROLES {
                if let Some(value) = variable(name) {
                    has_role = true;
                    builder = builder.with_config(key, value);
                }
            }
            // A machine's own role is asked for at an address that only AWS has.
            if !has_role && source.endpoint.is_some() {
                let text = format!(
                    "there are no keys for {}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or credentials_file of source {:?}",
                    source.place(),
                    source.name
                );
                return Err(Finding::unknown("listing", text));
            }
        }
    }
    builder.build().map_err(|error| Finding::unknown("listing", refusal(source, &error)))
}

/// The address, with the bucket in its host where that is wanted.
fn address(source: &BackupSource, endpoint: &str, is_path_style: bool) -> String {
    let endpoint = endpoint.trim_end_matches('/');
    match (endpoint.split_once("://"), &source.bucket) {
        (Some((scheme, host)), Some(bucket)) if !is_path_style => format!("{scheme}://{bucket}.{host}"),
        _ => endpoint.to_owned(),
    }
}

/// The keys of the source's file, of the environment, or of the file that the environment names; none where there are none.
fn keys(source: &BackupSource, environment: &BTreeMap<String, Secret>) -> Result<Option<Keys>, Finding> {
    let variable = |name: &str| environment.get(name).filter(|value| !value.expose().is_empty()).cloned();
    if source.credentials_file.is_none()
        && let (Some(id), Some(secret)) = (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY"))
    {
        return Ok(Some(Keys { id, secret, token: variable("AWS_SESSION_TOKEN") }));
    }
    let named = || variable("AWS_SHARED_CREDENTIALS_FILE").map(|path| path.expose().into());
    let Some(path) = source.credentials_file.clone().or_else(named) else { return Ok(None) };
    let shown = path.display();
    let text = fs::read_to_string(&path).map_err(|error| {
        Finding::unknown("listing", format!("{shown}, the file with the keys, can't be read: {error}"))
    })?;
    let profile = variable("AWS_PROFILE");
    let profile = profile.as_ref().map_or("default", Secret::expose);
    match in_profile(&text, profile) {
        Some(keys) => Ok(Some(keys)),
        None => {
            let text = format!(
                "{shown} has no aws_access_key_id with aws_secret_access_key in [{profile}]; write both there, or set AWS_PROFILE"
            );
            Err(Finding::unknown("listing", text))
        }
    }
}

/// The keys below `[profile]`.
fn in_profile(text: &str, profile: &str) -> Option<Keys> {
    let mut values = BTreeMap::new();
    let mut is_meant = false;
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            is_meant = name.trim() == profile;
        } else if let Some((key, value)) = line.split_once('=').filter(|_| is_meant && !line.starts_with('#'))
        {
            values.insert(key.trim(), Secret::new(value.trim()));
        }
    }
    let mut take = |key: &str| values.remove(key).filter(|value| !value.expose().is_empty());
    Some(Keys {
        id: take("aws_access_key_id")?,
        secret: take("aws_secret_access_key")?,
        token: take("aws_session_token"),
    })
}

/// What `error` means, and what to do next; none of its own words, which have addresses and may have keys.
pub(super) fn refusal(source: &BackupSource, error: &object_store::Error) -> String {
    let name = &source.name;
    let at = source.endpoint.as_deref().unwrap_or("AWS");
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(unreached) = inner.downcast_ref::<Unreached>() {
            return format!(
                "{at} can't be reached: {unreached}; see whether this machine has a way to it, and endpoint of source {name:?}"
            );
        }
        cause = inner.source();
    }
    let words = error.to_string();
    let code = code(&words);
    let bucket = source.bucket.as_deref().unwrap_or_default();
    match code.as_str() {
        "NoSuchBucket" => {
            format!("{at} has no bucket {bucket}; see bucket, endpoint and region of source {name:?}")
        }
        "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidClientTokenId" | "AuthFailure" => format!(
            "{at} refuses the keys ({code}); see AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or credentials_file of source {name:?}"
        ),
        "ExpiredToken" | "TokenRefreshRequired" => {
            format!("{at} refuses the keys, which have expired ({code}); renew those of source {name:?}")
        }
        "InvalidObjectState" => format!(
            "it lies in a class of {at} that is read only after it was asked back, which takes hours ({code}): so would a recovery; keep the newest backups of source {name:?} in a class that is read at once"
        ),
        "RequestTimeTooSkewed" => format!("{at} refuses this machine's clock ({code}); set it right"),
        "AccessDenied" | "403" | "401" => format!(
            "{at} denies access to {} ({code}); give the key s3:ListBucket on the bucket and s3:GetObject on what is in it",
            source.place()
        ),
        "PermanentRedirect" | "AuthorizationHeaderMalformed" | "301" | "307" => {
            format!(
                "{at} says that bucket {bucket} is in another region ({code}); set region of source {name:?}"
            )
        }
        _ if words.contains("redirect without LOCATION") => {
            format!("{at} says that bucket {bucket} is in another region; set region of source {name:?}")
        }
        "" => format!("what {at} answers is not understood; see endpoint and path_style of source {name:?}"),
        _ => format!(
            "{at} refuses ({code}); see whether source {name:?} is configured as the storage is, and try again"
        ),
    }
}

/// The code of a refusal, as S3 has it, else its status; empty where there is neither.
fn code(words: &str) -> String {
    let is_word =
        |text: &&str| (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric());
    let told = words.split("<Code>").nth(1).and_then(|rest| rest.split('<').next());
    let status = || words.split("status code: ").nth(1).and_then(|rest| rest.get(..3));
    told.filter(is_word).or_else(|| status().filter(is_word)).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_from_their_profile() {
        let text = "# mine\n[default]\naws_access_key_id = A\naws_secret_access_key=B\n\n[ops]\naws_access_key_id=C\naws_secret_access_key = D\naws_session_token = E\n";
        let of = |profile| {
            in_profile(text, profile).map(|keys| {
                let token = keys.token.map(|token| token.expose().to_owned());
                (keys.id.expose().to_owned(), keys.secret.expose().to_owned(), token)
            })
        };
        assert_eq!(of("default"), Some(("A".into(), "B".into(), None)));
        assert_eq!(of("ops"), Some(("C".into(), "D".into(), Some("E".into()))));
        assert_eq!(of("none"), None);
    }

    #[test]
    fn a_refusal_is_told_by_its_code() {
        assert_eq!(
            code("status code: 404 Not Found: <Error><Code>NoSuchBucket</Code></Error>"),
            "NoSuchBucket"
        );
        assert_eq!(code("status code: 503 Busy: <html>"), "503");
        assert_eq!(code("something else"), "");
    }

    #[test]
    fn the_bucket_stands_in_the_host_where_that_is_wanted() {
        let source = BackupSource { bucket: Some("b".into()), ..BackupSource::dumps("offsite", "") };
        assert_eq!(
            address(&source, "https://storage.example:9000/", false),
            "https://b.storage.example:9000"
        );
        assert_eq!(address(&source, "https://storage.example:9000/", true), "https://storage.example:9000");
    }
}
