//! The environment of the process, the only place where it is read.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use config::Map;

use super::Error;

/// The secrets, each under its usual name and its key.
const SECRETS: [(&str, &str); 2] =
    [("DATABASE_URL", "SANGGWOND_DATABASE__URL"), ("KAKAO_REST_API_KEY", "SANGGWOND_KAKAO__API_KEY")];

/// The variables of a process.
#[derive(Clone)]
pub struct Environment(HashMap<String, String>);

impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        Self(variables.into_iter().collect())
    }
}

impl Environment {
    /// The variables of this process; those that are no UTF-8 are left out.
    #[must_use]
    pub fn of_process() -> Self {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The variables `SANGGWOND_…`. Numbers are not guessed: `0012e345` is a text until a number is wanted.
    pub(super) fn overrides(&self) -> config::Environment {
        source(self.0.clone().into_iter().filter(|(name, _)| name.starts_with("SANGGWOND_")).collect())
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

    fn secret(&self, name: &str) -> Result<Option<String>, Error> {
        if let Some(secret) = self.get(name) {
            return Ok(Some(secret.to_owned()));
        }
        let variable = format!("{name}_FILE");
        if let Some(path) = self.get(&variable) {
            return read(Path::new(path), &variable).map(Some);
        }
        let credential = self.get("CREDENTIALS_DIRECTORY").map(|folder| Path::new(folder).join(name.to_lowercase()));
        match credential.filter(|path| path.exists()) {
            Some(path) => read(&path, "CREDENTIALS_DIRECTORY").map(Some),
            None => Ok(None),
        }
    }

    /// The folders of `PATH`.
    pub(super) fn program_folders(&self) -> Vec<PathBuf> {
        self.get("PATH").map(|path| std::env::split_paths(path).collect()).unwrap_or_default()
    }

    /// Where a program of this user keeps what must outlive it.
    pub(super) fn state_directory(&self) -> PathBuf {
        if let Some(folder) = self.get("STATE_DIRECTORY") {
            return PathBuf::from(folder);
        }
        if let Some(folder) = self.get("XDG_STATE_HOME") {
            return Path::new(folder).join("sanggwond");
        }
        // The server never runs as root, and nobody else may enter root's home.
        match self.get("HOME") {
            Some(home) if home != "/root" && home != "/" => Path::new(home).join(".local/state/sanggwond"),
            _ => PathBuf::from("/var/lib/sanggwond"),
        }
    }
}

fn source(variables: Map<String, String>) -> config::Environment {
    config::Environment::with_prefix("SANGGWOND")
        .prefix_separator("_")
        .separator("__")
        .ignore_empty(true)
        .source(Some(variables))
}

fn read(path: &Path, variable: &str) -> Result<String, Error> {
    let unreadable = |source| Error::SecretFile { variable: variable.to_owned(), path: path.to_owned(), source };
    Ok(std::fs::read_to_string(path).map_err(unreadable)?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_secret_may_come_from_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "abc\n").unwrap();

        let environment = environment(&[("KAKAO_REST_API_KEY_FILE", file.path().to_str().unwrap())]);

        assert_eq!(environment.secret("KAKAO_REST_API_KEY").unwrap().as_deref(), Some("abc"));
    }

    #[test]
    fn a_missing_secret_file_is_named() {
        let error = environment(&[("DATABASE_URL_FILE", "/nowhere/url")]).secret("DATABASE_URL").unwrap_err();

        assert_eq!(error.to_string(), "could not read /nowhere/url, which DATABASE_URL_FILE names");
    }

    #[test]
    fn root_keeps_its_state_where_others_may_enter() {
        assert_eq!(environment(&[("HOME", "/root")]).state_directory(), Path::new("/var/lib/sanggwond"));
        assert_eq!(environment(&[("HOME", "/home/a")]).state_directory(), Path::new("/home/a/.local/state/sanggwond"));
    }
}
