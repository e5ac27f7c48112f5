//! What a URL or a variable may ask of a connection, as libpq knows it, and this client does not do. To be asked for the
//! primary, or for a server that proves itself, and to connect without a word to what is there, would be worse than a
//! refusal.

use super::{ConfigError, Environment, value};

/// What can be asked for, under which values nothing is asked that is not so anyway, and what does the same.
struct Parameter {
    name: &'static str,
    variable: &'static str,
    harmless: &'static [&'static str],
    remedy: &'static str,
}

const fn parameter(
    name: &'static str,
    variable: &'static str,
    harmless: &'static [&'static str],
    remedy: &'static str,
) -> Parameter {
    Parameter { name, variable, harmless, remedy }
}

const PROVE: &str = "sslmode=verify-full makes the server prove itself";
const WRITTEN_OUT: &str = "write host, user and database out";

const NOT_DONE: [Parameter; 17] = [
    parameter("service", "PGSERVICE", &[], WRITTEN_OUT),
    parameter("target_session_attrs", "PGTARGETSESSIONATTRS", &["any"], "name the host that is meant alone"),
    parameter("load_balance_hosts", "PGLOADBALANCEHOSTS", &["disable"], "name the host that is meant alone"),
    parameter("channel_binding", "PGCHANNELBINDING", &["prefer", "disable"], PROVE),
    parameter("require_auth", "PGREQUIREAUTH", &[], PROVE),
    parameter("requirepeer", "PGREQUIREPEER", &[], PROVE),
    parameter("requiressl", "PGREQUIRESSL", &["0"], "write sslmode=require"),
    parameter("sslcrl", "PGSSLCRL", &[], "give a root certificate that is not shared (sslrootcert)"),
    parameter("sslcrldir", "PGSSLCRLDIR", &[], "give a root certificate that is not shared (sslrootcert)"),
    parameter("sslnegotiation", "PGSSLNEGOTIATION", &["postgres"], "leave it out"),
    parameter(
        "ssl_min_protocol_version",
        "PGSSLMINPROTOCOLVERSION",
        &["TLSv1", "TLSv1.1", "TLSv1.2"],
        "let the server say so",
    ),
    parameter("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION", &["TLSv1.3"], "let the server say so"),
    parameter("sslpassword", "", &[], "give a key without a password (sslkey)"),
    parameter("gssencmode", "PGGSSENCMODE", &["prefer", "disable"], "use TLS"),
    parameter(
        "client_encoding",
        "PGCLIENTENCODING",
        &["auto", "UTF8", "UTF-8", "utf8", "utf-8", "UNICODE"],
        "leave it out",
    ),
    parameter("passfile", "", &[], "set PGPASSFILE"),
    parameter("replication", "", &["false", "off", "no", "0"], "leave it out"),
];

/// What the client honours.
const DONE: [&str; 18] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

/// How a connection is kept up, which changes nothing that it is for.
const OF_NO_CONSEQUENCE: [&str; 11] = [
    "connect_timeout",
    "fallback_application_name",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
    "sslcompression",
    "sslsni",
    "min_protocol_version",
    "max_protocol_version",
];

/// Why a URL with this parameter is refused, if it is; never with the value.
pub(super) fn refusal(name: &str, given: &str) -> Option<String> {
    if let Some(known) = NOT_DONE.iter().find(|known| known.name == name) {
        let is_asked = !known.harmless.contains(&given);
        return is_asked.then(|| format!("{name} is not honoured with this value; {}", known.remedy));
    }
    let is_known = DONE.contains(&name) || OF_NO_CONSEQUENCE.contains(&name) || name.starts_with("options[");
    let is_name =
        name.chars().all(|char| char.is_ascii_alphanumeric() || matches!(char, '_' | '-' | '[' | ']'));
    match (is_known, is_name) {
        (true, _) => None,
        (false, true) => Some(format!("{name} is no parameter of a PostgreSQL URL; leave it out")),
        // It may be the rest of a password.
        (false, false) => {
            Some("what stands behind its first ? is no list of parameters; a ? in a password is %3F".into())
        }
    }
}

/// Refuses a variable that asks for what is not done.
pub(crate) fn check(environment: &Environment) -> Result<(), ConfigError> {
    for Parameter { variable, harmless, remedy, .. } in NOT_DONE {
        match environment.get(variable) {
            Some(given) if !given.is_empty() && !harmless.contains(&given) => {
                return Err(value(
                    variable,
                    &format!("not honoured with this value; unset it, and {remedy}"),
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::settings::{Environment, Secret};

    #[test]
    fn what_is_not_done_is_refused_by_name_and_never_repeated() {
        for (query, word) in [
            ("channel_binding=require", "channel_binding"),
            ("target_session_attrs=read-write", "target_session_attrs"),
            ("sslmode=require&sslcrl=%2Fs3cret", "sslcrl"),
            ("service=s3cret", "service"),
            ("schema=s3cret", "schema"),
            ("sslmod=s3cret", "sslmod"),
        ] {
            let reason = Secret::new(format!("postgres://u@h/d?{query}")).database().unwrap_err();
            assert!(reason.starts_with(word) && !reason.contains("s3cret"), "{query}: {reason}");
        }
        let reason = Secret::new("postgres://u:a?s3cret@h/d").database().unwrap_err();
        assert!(reason.contains("%3F") && !reason.contains("s3cret"), "{reason}");
    }

    #[test]
    fn what_is_so_anyway_is_taken() {
        for query in [
            "channel_binding=prefer&target_session_attrs=any",
            "connect_timeout=3&keepalives=1&client_encoding=UTF8&sslmode=verify-full",
            "options=-c%20role%3Dops&host=%2Ftmp&port=5433",
            "options[search_path]=a",
        ] {
            assert!(Secret::new(format!("postgres://u@h/d?{query}")).database().is_ok(), "{query}");
        }
    }

    #[test]
    fn variables_are_held_to_the_same() {
        let refused = |name, given| super::check(&Environment::of([(name, given)]));
        assert!(refused("PGCHANNELBINDING", "require").unwrap_err().to_string().contains("verify-full"));
        assert!(refused("PGSERVICE", "stock").unwrap_err().to_string().starts_with("PGSERVICE: "));
        for (name, given) in [("PGCHANNELBINDING", "prefer"), ("PGSERVICE", ""), ("PGCLIENTENCODING", "UTF8")]
        {
            assert!(refused(name, given).is_ok(), "{name}");
        }
    }
}
