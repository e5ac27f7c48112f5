//! A webhook that takes our own JSON, signed by HMAC-SHA256 (RFC 2104) over the body as it was sent.

use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::settings;
use super::{Attempt, Channel, Message, delivery::Refusal, http};
use crate::settings::Secret;

/// The header with the signature: `sha256=` and 64 hexadecimal digits.
const SIGNATURE: &str = "x-stockfoil-signature";

pub(super) struct Webhook<'a>(pub(super) &'a settings::Webhook);

impl Channel for Webhook<'_> {
    fn attempt<'a>(&'a self, message: &'a Message<'a>, timeout: Duration) -> Attempt<'a> {
        Box::pin(async move {
            let Some(url) = &self.0.url else { return Err(Refusal::lasting("has no url")) };
            let body = json(message)?;
            let mut headers: Vec<_> =
                self.0.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
            if let Some(secret) = &self.0.secret {
                headers.push((SIGNATURE.into(), Secret::new(signature(secret, body.as_bytes())?)));
            }
            http::post(url, headers, body, timeout).await
        })
    }
}

/// The message as a program reads it.
pub(super) fn json(message: &Message<'_>) -> Result<String, Refusal> {
    serde_json::to_string(message).map_err(|error| Refusal::lasting(format!("can't be told: {error}")))
}

fn signature(secret: &Secret, body: &[u8]) -> Result<String, Refusal> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes())
        .map_err(|_| Refusal::lasting("has a secret that can't sign"))?;
    mac.update(body);
    Ok(format!("sha256={}", hex::encode(mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_hmac_sha256() {
        // RFC 4231, test case 2; and its test case 6 with 131 letters in place of the bytes 0xaa, which are no text
        // (computed by Python's hmac).
        for (secret, body, expected) in [
            (
                Secret::new("Jefe"),
                &b"what do ya want for nothing?"[..],
                "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                Secret::new("a".repeat(131)),
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "sha256=d021303c2f34bf3ae541b4ec9c672691694c6f71c5c0c55781545a66115b14a7",
            ),
        ] {
            assert_eq!(signature(&secret, body).unwrap(), expected);
        }
    }
}
