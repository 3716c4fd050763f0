//! `[http]`: where the page is, and who may see it.

use std::net::SocketAddr;

use super::reader::Section;
use super::{Settings, alerts};

/// What guards the page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpSettings {
    /// Files of the certificate chain and its key, PEM; without them there is no TLS.
    pub tls: Option<(String, String)>,
    /// A file of names and hashes of passwords.
    pub users_file: Option<String>,
    /// Somebody has decided that other machines may come without TLS and without credentials.
    pub insecure: bool,
}

/// Whether other machines can reach an address. What cannot be read is refused elsewhere.
pub fn is_open(listen: &str) -> bool {
    listen.parse::<SocketAddr>().is_ok_and(|address| !address.ip().is_loopback())
}

/// Reads the section.
pub(super) fn read(section: &mut Section<'_, '_>, settings: &mut Settings) {
    section.text("listen").inspect(|listen| settings.listen.clone_from(listen));
    settings.token_file = section.text("token_file");
    settings.links.page = alerts::read_url(section, "url");
    let (certificate, key) = (section.text("tls_certificate"), section.text("tls_key"));
    match (&certificate, &key) {
        (Some(_), None) => section.mistake("tls_certificate", "has no key", "set tls_key, too"),
        (None, Some(_)) => section.mistake("tls_key", "has no certificate", "set tls_certificate, too"),
        _ => {}
    }
    settings.http = HttpSettings {
        tls: certificate.zip(key),
        users_file: section.text("users_file"),
        insecure: section.flag("insecure").unwrap_or_default(),
    };
    check_listen(section, settings);
}

fn check_listen(section: &Section<'_, '_>, settings: &Settings) {
    const CURE: &str = "set tls_certificate and tls_key, and users_file or token_file; or listen on 127.0.0.1";
    let (listen, http) = (&settings.listen, &settings.http);
    if listen.parse::<SocketAddr>().is_err() {
        return section.mistake("listen", format!("\"{listen}\" is no address"), "write it as \"127.0.0.1:9464\"");
    }
    if !is_open(listen) || http.insecure {
        return;
    }
    let has_credentials = http.users_file.is_some() || settings.token_file.is_some();
    let lacks = match (http.tls.is_some(), has_credentials) {
        (true, true) => return,
        (false, true) => "TLS",
        (true, false) => "credentials",
        (false, false) => "TLS and without credentials",
    };
    section.mistake("listen", format!("{listen} is open to other machines, without {lacks}"), CURE);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(text: &str) -> Vec<String> {
        let told = Settings::parse(&format!("[http]\n{text}")).err().unwrap_or_default();
        told.into_iter().map(|mistake| format!("{}: {}", mistake.key, mistake.what)).collect()
    }

    #[test]
    fn another_address_than_loopback_needs_tls_and_credentials() {
        const OPEN: &str = "listen = \"0.0.0.0:443\"\n";
        const TLS: &str = "tls_certificate = \"c.pem\"\ntls_key = \"k.pem\"\n";
        let without = |what: &str| vec![format!("http.listen: 0.0.0.0:443 is open to other machines, without {what}")];
        assert_eq!(mistakes(OPEN), without("TLS and without credentials"));
        assert_eq!(mistakes(&format!("{OPEN}users_file = \"users\"\n")), without("TLS"));
        assert_eq!(mistakes(&format!("{OPEN}{TLS}")), without("credentials"));
        for guard in ["users_file = \"users\"\n", "token_file = \"token\"\n"] {
            assert_eq!(mistakes(&format!("{OPEN}{TLS}{guard}")), Vec::<String>::new());
        }
        assert_eq!(mistakes(&format!("{OPEN}insecure = true\n")), Vec::<String>::new());
        assert_eq!(mistakes("listen = \"[::1]:80\"\n"), Vec::<String>::new());
        assert_eq!(mistakes("listen = \"localhost\"\n"), ["http.listen: \"localhost\" is no address"]);
        assert_eq!(mistakes("tls_key = \"k.pem\"\n"), ["http.tls_key: has no certificate"]);
        assert_eq!(mistakes("tls_certificate = \"c.pem\"\n"), ["http.tls_certificate: has no key"]);
    }
}
