//! Notifications by e-mail: SMTP with STARTTLS (RFC 3207), or TLS from the first octet (RFC 8314).

use std::time::Duration;

use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use serde::Deserialize;

/// For each command of SMTP.
const TIMEOUT: Duration = Duration::from_secs(15);
/// A subject with more characters is cut: programs for mail show less.
const SUBJECT_CHARS_MAX: usize = 120;

/// How the server's identity is proven.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Security {
    /// Port 587, most often.
    #[default]
    Starttls,
    /// Port 465, most often.
    Tls,
    /// For a relay on the same host; no password is sent.
    None,
}

/// A channel of notify of kind email.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Email {
    /// Host and port.
    server: String,
    from: String,
    to: Vec<String>,
    #[serde(default)]
    security: Security,
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    password: Option<String>,
    /// Certificate authority of the server as PEM; the system's otherwise.
    #[serde(default)]
    ca: Option<String>,
}

impl Email {
    /// Sends one message.
    ///
    /// # Errors
    /// Why the server did not take it; no password is in the text.
    pub(super) async fn send(&self, source: &str, text: &str) -> Result<(), String> {
        let message = self.message(source, text)?;
        let sent = self.transport()?.send(message).await;
        sent.map(|_| ()).map_err(|error| format!("the mail server does not take the message: {error}"))
    }

    fn transport(&self) -> Result<AsyncSmtpTransport<Tokio1Executor>, String> {
        let (host, port) = self
            .server
            .rsplit_once(':')
            .and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)))
            .ok_or("the channel's `server` is a host and a port: mail.example.com:587")?;
        let host = host.trim_matches(['[', ']']);
        let tls = match self.security {
            Security::None => Tls::None,
            security => {
                let mut parameters = TlsParameters::builder(host.to_owned());
                if let Some(pem) = &self.ca {
                    let ca = Certificate::from_pem(pem.as_bytes());
                    parameters =
                        parameters.add_root_certificate(ca.map_err(|error| format!("the channel's `ca`: {error}"))?);
                }
                let parameters = parameters.build_rustls().map_err(|error| error.to_string())?;
                if security == Security::Tls { Tls::Wrapper(parameters) } else { Tls::Required(parameters) }
            }
        };
        let mut builder =
            AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host).port(port).tls(tls).timeout(Some(TIMEOUT));
        match (&self.username, &self.password) {
            (Some(_), Some(_)) if self.security == Security::None => {
                return Err("the channel has a password and `security: none`: it would go in clear text".to_owned());
            }
            (Some(user), Some(password)) => {
                builder = builder.credentials(Credentials::new(user.clone(), password.clone()));
            }
            _ => {}
        }
        Ok(builder.build())
    }

    /// The first line is the subject as well.
    fn message(&self, source: &str, text: &str) -> Result<Message, String> {
        let address = |text: &str| {
            text.parse::<Mailbox>().map_err(|error| format!("the channel's address {text} is none: {error}"))
        };
        if self.to.is_empty() {
            return Err("the channel has nobody under `to`".to_owned());
        }
        let first: String = text.lines().next().unwrap_or_default().chars().take(SUBJECT_CHARS_MAX).collect();
        let mut message = Message::builder().from(address(&self.from)?).subject(format!("[Helios] {first}"));
        for to in &self.to {
            message = message.to(address(to)?);
        }
        message.body(format!("{text}\n\nRunbook execution {source}\n")).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn email(more: &str) -> Email {
        let text = format!("{{server: 'mail.example.com:587', from: helios@example.com, to: [noc@example.com]{more}}}");
        serde_saphyr::from_str(&text).unwrap()
    }

    #[test]
    fn a_text_cannot_add_a_header() {
        let message = email("").message("ns/e", "drained r1\r\nBcc: evil@example.com\r\n\r\nbody").unwrap();
        let text = String::from_utf8(message.formatted()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("Subject: [Helios] drained r1\r\n") && !head.contains("Bcc"), "{head}");
        assert!(body.contains("Bcc: evil@example.com") && body.contains("ns/e"), "{body}");
    }

    #[test]
    fn a_password_never_goes_in_clear_text() {
        let wrong = email(", security: none, username: u, password: p").transport().unwrap_err();
        assert!(wrong.contains("clear text"), "{wrong}");
        assert!(email(", username: u, password: p").transport().is_ok());
    }
}
