//! The environment variables of the process. Only this module reads them.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use config::Map;

use super::values::fault;
use super::{Error, redaction, secret_file};
use crate::domain::language::Language;

/// Prefix of this program's own variables.
const PREFIX: &str = "SANGGWOND_";

/// The secrets: the usual variable of each, and the variable of its key.
const SECRETS: [(&str, &str); 4] = [
    ("DATABASE_URL", "SANGGWOND_DATABASE__URL"),
    ("KAKAO_REST_API_KEY", "SANGGWOND_KAKAO__API_KEY"),
    ("NOTIFY_PING_URL", "SANGGWOND_NOTIFY__PING_URL"),
    ("NOTIFY_WEBHOOK_URL", "SANGGWOND_NOTIFY__WEBHOOK_URL"),
];

/// Variable that names the folder of systemd credentials.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// Variables of proxies, whose URLs may contain passwords. The lower-case names are read too.
const PROXIES: [&str; 3] = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"];

/// The variables of a process.
#[derive(Clone)]
pub struct Environment(HashMap<OsString, OsString>);

impl<N: Into<OsString>, V: Into<OsString>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl Environment {
    /// The variables of this process.
    #[must_use]
    pub fn of_process() -> Self {
        std::env::vars_os().collect()
    }

    /// Checks that this program's variables can be used: an unreadable one must not be treated as unset.
    ///
    /// # Errors
    /// When one is empty, is not UTF-8, is in quotes, or has a control character.
    pub(super) fn check(&self) -> Result<(), Error> {
        let mut ours: Vec<_> = self.0.iter().filter(|(name, _)| is_ours(name)).collect();
        ours.sort_unstable();
        for (name, value) in ours {
            let faulty = |reason| Error::Variable { name: name.display().to_string(), reason };
            let Some(text) = name.to_str().and_then(|_| value.to_str()) else {
                return Err(faulty("is not UTF-8; in a URL, write such a character as %XX"));
            };
            if text.trim().is_empty() {
                // If it were treated as unset, the program would use another database, folder or key.
                return Err(faulty("is empty; give it a value, or unset it"));
            }
            if let Some(reason) = fault(text.trim()) {
                return Err(faulty(reason));
            }
        }
        Ok(())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.path(name).and_then(OsStr::to_str).map(str::trim).filter(|value| !value.is_empty())
    }

    /// The value of a variable, which need not be UTF-8; `None` if it is unset or empty.
    fn path(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    /// The language of the locale; `None` if it is not one of this program.
    pub(super) fn language(&self) -> Option<Language> {
        let locale = ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().find_map(|name| self.get(name))?;
        Language::of_locale(locale)
    }

    /// The variables `SANGGWOND_…`. A value stays a string until a numeric field parses it, so `0012e345` is not read
    /// as a number by mistake.
    pub(super) fn overrides(&self) -> config::Environment {
        let names = self.0.keys().filter_map(|name| name.to_str()).filter(|name| name.starts_with(PREFIX));
        source(names.filter_map(|name| Some((name.to_owned(), self.get(name)?.to_owned()))).collect())
    }

    /// The secrets from their usual variables, from files that variables name, or from systemd credentials.
    pub(super) fn secrets(&self) -> Result<config::Environment, Error> {
        let mut found = Map::new();
        for (name, key) in SECRETS {
            if let Some(secret) = self.secret(name)? {
                found.insert(key.to_owned(), secret);
            }
        }
        Ok(source(found))
    }

    /// The variable from which [`Self::secrets`] took the secret of a setting.
    pub(super) fn origin_of(&self, setting: &str) -> String {
        let variable = variable_of(setting);
        let Some((name, _)) = SECRETS.iter().find(|(_, key)| *key == variable) else { return variable };
        let file = format!("{name}_FILE");
        match (self.get(name), self.get(&file)) {
            (Some(_), _) => (*name).to_owned(),
            (None, Some(_)) => file,
            (None, None) => CREDENTIALS.to_owned(),
        }
    }

    fn secret(&self, name: &str) -> Result<Option<String>, Error> {
        if let Some(secret) = self.get(name) {
            return Ok(Some(secret.to_owned()));
        }
        let variable = format!("{name}_FILE");
        if let Some(path) = self.get(&variable) {
            return secret_file::read(Path::new(path), &variable).map(Some);
        }
        let Some(folder) = self.get(CREDENTIALS) else { return Ok(None) };
        let path = Path::new(folder).join(name.to_lowercase());
        // An error, such as a folder that may not be entered, does not prove that the secret is missing.
        match path.try_exists() {
            Ok(false) => Ok(None),
            Ok(true) | Err(_) => secret_file::read(&path, CREDENTIALS).map(Some),
        }
    }

    /// Registers for redaction the secrets in variables that the database driver and the HTTP client read themselves.
    pub(super) fn register_secrets(&self) {
        if let Some(password) = self.get("PGPASSWORD") {
            redaction::register(password);
        }
        for name in PROXIES.into_iter().flat_map(|name| [name.to_owned(), name.to_lowercase()]) {
            if let Some(url) = self.get(&name) {
                redaction::register_passwords(url);
            }
        }
    }

    /// Warnings about secret files that other users can read. systemd credentials are not checked: their folder is
    /// private.
    pub(super) fn warnings(&self) -> Vec<String> {
        let unset = SECRETS.iter().filter(|(name, _)| self.get(name).is_none());
        let files = unset.filter_map(|(name, _)| self.get(&format!("{name}_FILE")));
        files.filter_map(|path| secret_file::warning(Path::new(path))).collect()
    }

    /// The folders of `PATH`.
    pub(super) fn program_folders(&self) -> Vec<PathBuf> {
        self.path("PATH").map(|path| std::env::split_paths(path).collect()).unwrap_or_default()
    }

    /// The folder for data that must outlive the process.
    pub(super) fn state_directory(&self) -> PathBuf {
        if let Some(folder) = self.path("STATE_DIRECTORY") {
            return PathBuf::from(folder);
        }
        if let Some(folder) = self.path("XDG_STATE_HOME") {
            return Path::new(folder).join("sanggwond");
        }
        // The private server does not run as root, and other accounts cannot enter root's home.
        match self.path("HOME") {
            Some(home) if home != "/root" && home != "/" => Path::new(home).join(".local/state/sanggwond"),
            _ => PathBuf::from("/var/lib/sanggwond"),
        }
    }
}

/// The variable that overrides a setting: `SANGGWOND_CRAWL__RADIUS_M` for `crawl.radius_m`.
pub(super) fn variable_of(setting: &str) -> String {
    format!("{PREFIX}{}", setting.replace('.', "__").to_uppercase())
}

fn source(variables: Map<String, String>) -> config::Environment {
    config::Environment::with_prefix("SANGGWOND")
        .prefix_separator("_")
        .separator("__")
        .ignore_empty(true)
        .source(Some(variables))
}

/// Whether this program reads the variable.
fn is_ours(name: &OsStr) -> bool {
    let is_secret = |(secret, _): &(&str, &str)| name == *secret || name == OsStr::new(&format!("{secret}_FILE"));
    name.as_encoded_bytes().starts_with(PREFIX.as_bytes()) || name == CREDENTIALS || SECRETS.iter().any(is_secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::os::unix::ffi::OsStringExt;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        variables.iter().copied().collect()
    }

    fn secret_of(content: &[u8]) -> Result<Option<String>, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        let environment = environment(&[("DATABASE_URL_FILE", file.path().to_str().unwrap())]);
        let path = file.path().display().to_string();
        environment.secret("DATABASE_URL").map_err(|error| error.to_string().replace(&path, "FILE"))
    }

    #[test]
    fn a_secret_may_come_from_a_file() {
        for content in ["abc", "abc\n", "abc\r\n", " abc \n\n", "\u{feff}abc\n"] {
            assert_eq!(secret_of(content.as_bytes()).unwrap().as_deref(), Some("abc"), "{content:?}");
        }
    }

    #[test]
    fn an_empty_secret_file_is_refused() {
        let refusal = |content: &[u8]| secret_of(content).unwrap_err();

        assert_eq!(refusal(b"p\xfc\n"), "FILE, which DATABASE_URL_FILE names, is not UTF-8");
        assert_eq!(refusal(b"abc\ndef\n"), "FILE, which DATABASE_URL_FILE names, has several lines");
        assert_eq!(refusal(b"\n"), "FILE, which DATABASE_URL_FILE names, is empty");
        assert!(refusal(b"\"abc\"\n").contains("begins or ends with a quote"));
        assert!(refusal(b"a\0bc").contains("control character"));
    }

    #[test]
    fn a_secret_file_that_is_large_or_not_a_regular_file_is_refused_immediately() {
        let folder = tempfile::tempdir().unwrap();
        let (pipe, large) = (folder.path().join("pipe"), folder.path().join("large"));
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        std::fs::write(&large, vec![b'x'; (64 << 10) + 1]).unwrap();

        for (path, reason) in [
            (pipe.as_path(), "it is a pipe; expected a regular file"),
            (folder.path(), "it is a folder; expected a regular file"),
            (Path::new("/dev/zero"), "it is a device; expected a regular file"),
            (&large, "it is larger than 64 KiB"),
        ] {
            for variable in ["DATABASE_URL_FILE", "KAKAO_REST_API_KEY_FILE"] {
                let environment = environment(&[(variable, path.to_str().unwrap())]);
                let error = environment.secrets().unwrap_err();
                let cause = std::error::Error::source(&error).unwrap().to_string();

                assert_eq!(cause, reason, "{variable}");
            }
        }
    }

    #[test]
    fn a_missing_secret_file_is_named() {
        let error = environment(&[("DATABASE_URL_FILE", "/nowhere/url")]).secret("DATABASE_URL").unwrap_err();

        assert_eq!(error.to_string(), "could not read /nowhere/url, which DATABASE_URL_FILE names");
    }

    #[test]
    fn an_unreadable_credentials_folder_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();

        // A file instead of a folder.
        let error = environment(&[(CREDENTIALS, file.path().to_str().unwrap())]).secret("DATABASE_URL").unwrap_err();

        assert!(error.to_string().starts_with("could not read "), "{error}");
    }

    #[test]
    fn one_of_our_variables_that_is_not_utf_8_is_refused() {
        let latin_1 = || OsString::from_vec(b"postgres://u:p\xfc@h/d".to_vec());
        for name in [
            "DATABASE_URL",
            "DATABASE_URL_FILE",
            "KAKAO_REST_API_KEY",
            "KAKAO_REST_API_KEY_FILE",
            "CREDENTIALS_DIRECTORY",
            "SANGGWOND_CRAWL__KEYWORDS",
        ] {
            let refusal = [(name, latin_1())].into_iter().collect::<Environment>().check().unwrap_err().to_string();

            assert_eq!(refusal, format!("{name} is not UTF-8; in a URL, write such a character as %XX"));
        }
        let name = OsString::from_vec(b"SANGGWOND_CRAWL__\xff".to_vec());
        assert!([(name, "1")].into_iter().collect::<Environment>().check().is_err());
        assert!([("OTHER", latin_1())].into_iter().collect::<Environment>().check().is_ok());
    }

    #[test]
    fn one_of_our_variables_in_quotes_is_refused_without_repeating_it() {
        for value in ["\"canary\"", "'canary'", "\"canary", "canary'", "“canary”", " \"canary\"\r"] {
            let refusal = environment(&[("DATABASE_URL", value)]).check().unwrap_err().to_string();

            assert!(refusal.starts_with("DATABASE_URL begins or ends with a quote"), "{refusal}");
            assert!(refusal.contains("docker --env-file") && !refusal.contains("canary"), "{refusal}");
        }
        assert!(environment(&[("OTHER", "\"a\""), ("DATABASE_URL", "postgres://h/d\r")]).check().is_ok());
        assert!(environment(&[("DATABASE_URL", "postgres://h/d\nSECOND=1")]).check().is_err());
    }

    #[test]
    fn folders_need_not_be_utf_8() {
        let folder = OsString::from_vec(b"/home/p\xfc".to_vec());
        let environment: Environment = [("STATE_DIRECTORY", folder.clone())].into_iter().collect();

        assert_eq!(environment.state_directory(), Path::new(&folder));
    }

    #[test]
    fn the_state_directory_of_root_is_in_var_lib() {
        assert_eq!(environment(&[("HOME", "/root")]).state_directory(), Path::new("/var/lib/sanggwond"));
        assert_eq!(environment(&[("HOME", "/home/a")]).state_directory(), Path::new("/home/a/.local/state/sanggwond"));
    }
}
