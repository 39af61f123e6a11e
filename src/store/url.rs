//! Parses the URL of the database before the driver does.
//!
//! The driver logs parameters that it does not know, and takes a part of an unencoded password for the host. Therefore the
//! URL is parsed strictly, no error message contains a part of it, and the driver gets a newly written one.

mod parameters;

use std::net::IpAddr;
use std::str::FromStr;

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use tracing::info;
use tracing::subscriber::{NoSubscriber, with_default};

use super::hosts::{Hosts, Wanted};

use parameters::{KNOWN, OTHER_NAMES, UNSUPPORTED, hint};

/// What is wrong with a URL. The message contains no part of the URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It does not start with `postgres://`.
    #[error("write postgres://user:password@host/database")]
    Scheme,
    /// It is in quotes.
    #[error("it begins or ends with a quote; remove it")]
    Quoted,
    /// It has a character that a URL cannot have.
    #[error("it has a space, a line break or a control character; write it as %XX")]
    Character,
    /// A character that ends a part of a URL stands within a user name, a password or a value.
    #[error(
        "its parts are ambiguous: encode / ? # @ : in the password, the user name and values as %2F %3F %23 %40 %3A"
    )]
    Unencoded,
    /// A `%` without two hexadecimal digits.
    #[error("a % in it is not followed by two hexadecimal digits; encode a % in the password as %25")]
    Percent,
    /// The decoded bytes are not UTF-8.
    #[error("a %XX sequence in it is not UTF-8 or is a NUL; encode a % in the password as %25")]
    Encoding,
    /// The numbers of hosts and ports differ.
    #[error("it names {hosts} hosts, and {others} {what}; name one of each for every host{or_one}", or_one = if *.what == "ports" { ", or one port for all" } else { "" })]
    Numbers {
        /// How many hosts.
        hosts: usize,
        /// How many of the others.
        others: usize,
        /// What they are.
        what: &'static str,
    },
    /// An empty host among several.
    #[error("one of its hosts is empty; write a,b with a name on each side of the comma")]
    EmptyHost,
    /// An invalid host, such as one with several colons.
    #[error("its host is not valid; write an IPv6 address in brackets, such as [::1]")]
    Host,
    /// An invalid port.
    #[error("its port is not a number of 1 to 65535")]
    Port,
    /// A parameter that would be ignored.
    #[error("its parameter {0} is not supported; remove it{hint}", hint = hint(.0))]
    Unsupported(&'static str),
    /// An unknown parameter. It is not shown, because it may be a part of a password.
    #[error(
        "it has a parameter that is not known (or a ? or & in the password: encode them as %3F and %26); known are \
         {known}",
        known = KNOWN.join(", ")
    )]
    UnknownParameter,
    /// A parameter that needs another value.
    #[error("its parameter {0} must be {1}")]
    Value(&'static str, &'static str),
}

/// The parts of a URL, decoded, under the names of libpq's parameters.
#[derive(Default)]
struct Parts {
    hosts: Vec<String>,
    addresses: Vec<String>,
    ports: Vec<String>,
    wanted: Option<Wanted>,
    /// The others.
    same: Vec<(&'static str, String)>,
}

/// Reads a URL.
pub(super) fn parse(url: &str) -> Result<Hosts, Fault> {
    let url = url.trim();
    if url.starts_with(['"', '\'']) || url.ends_with(['"', '\'']) {
        return Err(Fault::Quoted);
    }
    let rest = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://")).ok_or(Fault::Scheme)?;
    if rest.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(Fault::Character);
    }
    let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    // Everything before an @ is user name and password.
    if rest.contains(['@', '#']) {
        return Err(Fault::Unencoded);
    }
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut parts = Parts::default();
    parts.add_authority(authority)?;
    match path.strip_prefix('/') {
        Some(name) if name.contains('/') => return Err(Fault::Unencoded),
        Some(name) => parts.add("dbname", &decode(name)?),
        None => {}
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        parts.add_parameter(pair)?;
    }
    parts.all_hosts()
}

impl Parts {
    /// Adds a part, unless it is empty.
    fn add(&mut self, name: &'static str, value: &str) {
        if !value.is_empty() {
            self.same.push((name, value.to_owned()));
        }
    }

    fn add_authority(&mut self, authority: &str) -> Result<(), Fault> {
        let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = user.split_once(':').unwrap_or((user, ""));
        self.add("user", &decode(user)?);
        self.add("password", &decode(password)?);
        if host.is_empty() {
            return Ok(());
        }
        let each: Vec<(&str, &str)> = host.split(',').map(host_and_port).collect::<Result<_, _>>()?;
        for (host, _) in &each {
            self.add_hosts(&decode(host)?)?;
        }
        if each.iter().any(|(_, port)| !port.is_empty()) {
            // A host without a port has the default one.
            self.add_ports(&each.iter().map(|(_, port)| *port).collect::<Vec<_>>().join(","))?;
        }
        if each.len() > 1 && self.hosts.len() != each.len() { Err(Fault::EmptyHost) } else { Ok(()) }
    }

    fn add_hosts(&mut self, hosts: &str) -> Result<(), Fault> {
        let several = hosts.contains(',');
        for host in hosts.split(',') {
            let host = host.strip_prefix('[').and_then(|literal| literal.strip_suffix(']')).unwrap_or(host);
            match host {
                "" if several => return Err(Fault::EmptyHost),
                "" => {}
                host => self.hosts.push(host.to_owned()),
            }
        }
        Ok(())
    }

    fn add_ports(&mut self, ports: &str) -> Result<(), Fault> {
        let is_port = |port: &str| port.is_empty() || port.parse::<u16>().is_ok_and(|port| port > 0);
        if !ports.split(',').all(is_port) {
            return Err(Fault::Port);
        }
        self.ports = ports.split(',').map(str::to_owned).collect();
        Ok(())
    }

    fn add_parameter(&mut self, pair: &str) -> Result<(), Fault> {
        let (name, value) = pair.split_once('=').ok_or(Fault::UnknownParameter)?;
        if let Some(name) = UNSUPPORTED.iter().find(|known| **known == name) {
            return Err(Fault::Unsupported(name));
        }
        let name = OTHER_NAMES.iter().find(|(other, _)| *other == name).map_or(name, |(_, name)| *name);
        let value = decode(value)?;
        match KNOWN.into_iter().find(|known| *known == name).ok_or(Fault::UnknownParameter)? {
            "host" | "port" if value.is_empty() => Ok(()),
            // The host before the path stays, because a password file is searched for it.
            "host" if value.starts_with('/') && !value.contains(',') && self.hosts.len() < 2 => {
                self.add("host", &value);
                Ok(())
            }
            "host" => {
                self.hosts.clear();
                self.add_hosts(&value)
            }
            "port" => self.add_ports(&value),
            "hostaddr" if value.split(',').any(|address| address.parse::<IpAddr>().is_err()) => {
                Err(Fault::Value("hostaddr", "an IP address"))
            }
            "hostaddr" => {
                self.addresses = value.split(',').map(str::to_owned).collect();
                Ok(())
            }
            "target_session_attrs" => {
                self.wanted = Some(wanted(&value)?);
                Ok(())
            }
            "channel_binding" if value == "require" => Err(Fault::Unsupported("channel_binding")),
            "channel_binding" if !matches!(value.as_str(), "prefer" | "disable") => {
                Err(Fault::Value("channel_binding", "prefer or disable"))
            }
            "load_balance_hosts" if !matches!(value.as_str(), "disable" | "random") => {
                Err(Fault::Value("load_balance_hosts", "disable or random"))
            }
            "load_balance_hosts" => {
                info!(
                    "load_balance_hosts is ignored: all servers are asked at the same time which of them is the primary"
                );
                Ok(())
            }
            "channel_binding" => Ok(()),
            "sslmode" if PgSslMode::from_str(&value).is_err() => {
                Err(Fault::Value("sslmode", "disable, allow, prefer, require, verify-ca or verify-full"))
            }
            "sslrootcert" if value == "system" => {
                Err(Fault::Value("sslrootcert", "a file; without it, the certificates of the system count"))
            }
            "statement-cache-capacity" if value.parse::<usize>().is_err() => {
                Err(Fault::Value("statement-cache-capacity", "a number"))
            }
            name => {
                self.add(name, &value);
                Ok(())
            }
        }
    }

    /// The options of each host.
    fn all_hosts(mut self) -> Result<Hosts, Fault> {
        let several = self.hosts.len().max(self.addresses.len()).max(1);
        if !self.hosts.is_empty() && !self.addresses.is_empty() && self.hosts.len() != self.addresses.len() {
            return Err(Fault::Numbers { hosts: self.hosts.len(), others: self.addresses.len(), what: "addresses" });
        }
        if self.ports.len() > 1 && self.ports.len() != several {
            return Err(Fault::Numbers { hosts: several, others: self.ports.len(), what: "ports" });
        }
        if let [port] = self.ports.as_slice() {
            self.ports = vec![port.clone(); several];
        }
        // With several hosts, the first that accepts a connection may be a standby, which is of no use here.
        let wanted = self.wanted.unwrap_or(if several > 1 { Wanted::ReadWrite } else { Wanted::Any });
        let others = (1..several).map(|index| self.options(index)).collect::<Result<_, _>>()?;
        Ok(Hosts::new(self.options(0)?, others, wanted))
    }

    /// The options of one host, which the driver parses from a new URL with all parts encoded.
    fn options(&self, index: usize) -> Result<PgConnectOptions, Fault> {
        let own = [("host", &self.hosts), ("hostaddr", &self.addresses), ("port", &self.ports)];
        let own = own.into_iter().filter_map(|(name, values)| Some((name, values.get(index)?.as_str())));
        let same = self.same.iter().map(|(name, value)| (*name, value.as_str()));
        let encoded = |(name, value): (&str, &str)| format!("{name}={}&", utf8_percent_encode(value, NON_ALPHANUMERIC));
        let parts = own.filter(|(_, value)| !value.is_empty()).chain(same).map(encoded);
        let url = format!("postgres:///?{}", parts.collect::<String>());
        // The driver logs a whole line of a password file that it cannot parse, so its log is discarded.
        with_default(NoSubscriber::default(), || PgConnectOptions::from_str(&url)).map_err(|_| Fault::Scheme)
    }
}

fn wanted(value: &str) -> Result<Wanted, Fault> {
    match value {
        "any" => Ok(Wanted::Any),
        "read-write" => Ok(Wanted::ReadWrite),
        "primary" => Ok(Wanted::Primary),
        _ => Err(Fault::Value("target_session_attrs", "any, read-write or primary")),
    }
}

/// Divides `host:port` or `[address]:port`.
fn host_and_port(host: &str) -> Result<(&str, &str), Fault> {
    let (host, port) = match host.strip_prefix('[') {
        Some(literal) => {
            let (address, port) = literal.split_once(']').ok_or(Fault::Host)?;
            address.parse::<IpAddr>().ok().filter(IpAddr::is_ipv6).ok_or(Fault::Host)?;
            (address, port)
        }
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    if port.matches(':').count() > 1 {
        return Err(Fault::Host);
    }
    match port.strip_prefix(':') {
        Some(port) => Ok((host, port)),
        None if port.is_empty() => Ok((host, "")),
        None => Err(Fault::Host),
    }
}

/// Replaces `%XX` with the byte that it encodes. Other uses of `%` are errors; the library would leave them unchanged.
fn decode(text: &str) -> Result<String, Fault> {
    let is_code = |part: &str| part.get(..2).is_some_and(|digits| digits.chars().all(|c| c.is_ascii_hexdigit()));
    if !text.split('%').skip(1).all(is_code) {
        return Err(Fault::Percent);
    }
    let decoded = percent_decode_str(text).decode_utf8().map_err(|_| Fault::Encoding)?;
    if decoded.contains('\0') { Err(Fault::Encoding) } else { Ok(decoded.into_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> PgConnectOptions {
        parse(url).unwrap_or_else(|fault| panic!("{url}: {fault}")).options().clone()
    }

    /// User, password, host or socket, port and database.
    type Meaning<'a> = (&'a str, &'a str, &'a str, u16, &'a str);

    fn check(url: &str, (user, password, host, port, database): Meaning) {
        let options = parsed(url);
        let socket = options.get_socket().map(|folder| folder.display().to_string());

        assert_eq!(options.get_username(), user, "{url}");
        // Nothing but the debug output shows it.
        assert!(format!("{options:?}").contains(&format!("password: Some({password:?})")), "{url}");
        assert_eq!(socket.as_deref().unwrap_or(options.get_host()), host, "{url}");
        assert_eq!((options.get_port(), options.get_database()), (port, Some(database)), "{url}");
    }

    #[test]
    fn common_urls_are_parsed() {
        for (url, meaning) in [
            ("postgres://u:p@h/d", ("u", "p", "h", 5432, "d")),
            ("postgresql://u:p@db.example:6432/d?sslmode=verify-full\n", ("u", "p", "db.example", 6432, "d")),
            ("postgres://u:p@[::1]/d", ("u", "p", "::1", 5432, "d")),
            ("postgres://u:p@[2001:db8::5]:6432/d", ("u", "p", "2001:db8::5", 6432, "d")),
            ("postgres://u:p@%2Frun%2Fpostgresql/d", ("u", "p", "/run/postgresql", 5432, "d")),
            ("postgres://u:p@localhost/d?host=/run/postgresql", ("u", "p", "/run/postgresql", 5432, "d")),
            ("postgres://u:p@h/d?host=%5B%3A%3A1%5D&port=6432", ("u", "p", "::1", 6432, "d")),
            ("postgres://u:p@h/d?ssl-mode=require&application_name=x", ("u", "p", "h", 5432, "d")),
            ("postgres:///?host=h&user=u&password=p%2B+x&dbname=d", ("u", "p++x", "h", 5432, "d")),
            ("postgres://u:%2F%3F%23%40%3A%25%26@h/d%2Fe", ("u", "/?#@:%&", "h", 5432, "d/e")),
            // Read from the last @ on, there is only one way to read these.
            ("postgres://u:p@ss:w@h/d", ("u", "p@ss:w", "h", 5432, "d")),
            ("postgres://u:비밀@h/d", ("u", "비밀", "h", 5432, "d")),
        ] {
            check(url, meaning);
        }
    }

    #[test]
    fn missing_parts_get_the_defaults_of_the_driver() {
        let options = parsed("postgres://u@h");

        assert_eq!((options.get_database(), options.get_port()), (None, 5432));
    }

    #[test]
    fn a_password_that_is_not_encoded_is_recognised_and_not_repeated() {
        for password in [
            "12/canary",
            "canary/12",
            "12?canary",
            "12#canary",
            "a@canary/b",
            "12?a=canary",
            "1&2?canary",
            "a#b/canary",
        ] {
            let url = format!("postgres://u:{password}@db.example/places");

            let fault = parse(&url).map(|options| format!("{options:?}")).unwrap_err();

            assert_eq!(fault, Fault::Unencoded, "{url}");
            assert!(fault.to_string().contains("encode / ? # @ : in the password"), "{fault}");
        }
        assert_eq!(parse("postgres://u:100%zcanary@h/d").unwrap_err(), Fault::Percent);
        assert_eq!(parse("postgres://u:canary%+1@h/d").unwrap_err(), Fault::Percent);
        assert_eq!(parse("postgres://u:canary%@h/d").unwrap_err(), Fault::Percent);
        assert_eq!(parse("postgres://u:%FCcanary@h/d").unwrap_err(), Fault::Encoding);
        assert_eq!(parse("postgres://u:a canary@h/d").unwrap_err(), Fault::Character);
        assert_eq!(parse("postgres://u:canary/d").unwrap_err(), Fault::Port);
    }

    #[test]
    fn several_hosts_each_have_their_own_port_or_one_for_all() {
        let socket = "postgres://u:p@%2Frun%2Fa,%2Frun%2Fb/d";
        for (url, addresses) in [
            ("postgres://u:p@a,b/d", "a:5432, b:5432"),
            ("postgres://u:p@a:6432,b:5433/d", "a:6432, b:5433"),
            ("postgres://u:p@a,b:5433/d", "a:5432, b:5433"),
            ("postgres://u:p@[::1]:5433,[2001:db8::5]/d", "[::1]:5433, [2001:db8::5]:5432"),
            ("postgres://u:p@/d?host=a,b", "a:5432, b:5432"),
            ("postgres://u:p@a,b/d?port=5433", "a:5433, b:5433"),
            ("postgres://u:p@a,b/d?port=5432,5433", "a:5432, b:5433"),
            ("postgres://u:p@/d?hostaddr=10.0.0.1,10.0.0.2", "10.0.0.1:5432, 10.0.0.2:5432"),
            (socket, "/run/a, /run/b"),
        ] {
            assert_eq!(parse(url).map(|hosts| hosts.address()).unwrap(), addresses, "{url}");
        }
    }

    #[test]
    fn several_hosts_that_do_not_fit_their_ports_are_refused() {
        for (url, words) in [
            (
                "postgres://u:p@a,b,c/d?port=1,2",
                "it names 3 hosts, and 2 ports; name one of each for every host, or one port for all",
            ),
            (
                "postgres://u:p@a,b/d?hostaddr=10.0.0.1",
                "it names 2 hosts, and 1 addresses; name one of each for every host",
            ),
            ("postgres://u:p@a,/d", "one of its hosts is empty; write a,b with a name on each side of the comma"),
            ("postgres://u:p@a,b:0/d", "its port is not a number of 1 to 65535"),
            (
                "postgres://u:p@a,b/d?target_session_attrs=standby",
                "its parameter target_session_attrs must be any, read-write or primary",
            ),
            ("postgres://u:p@a,b/d?load_balance_hosts=1", "its parameter load_balance_hosts must be disable or random"),
        ] {
            assert_eq!(parse(url).unwrap_err().to_string(), words, "{url}");
        }
    }

    #[test]
    fn a_parameter_that_the_driver_would_ignore_is_refused() {
        let refusal = |query: &str| parse(&format!("postgres://u:p@h/d?{query}")).unwrap_err().to_string();

        assert_eq!(
            refusal("sslmode=require&channel_binding=require"),
            "its parameter channel_binding is not supported; remove it or write prefer (sslmode=verify-full proves the server's identity, too)"
        );
        for parameter in UNSUPPORTED {
            assert!(
                refusal(&format!("{parameter}=1")).contains(&format!("its parameter {parameter} is not supported"))
            );
        }
        for unknown in ["canary=1", "canary", "SSLMODE=require", "pgbouncer=true"] {
            let refusal = refusal(unknown);
            assert!(refusal.contains("a parameter that is not known") && !refusal.contains("canary"), "{refusal}");
        }
        assert!(refusal("sslmode=canary").starts_with("its parameter sslmode must be disable, allow,"));
        assert!(refusal("sslrootcert=system").starts_with("its parameter sslrootcert must be a file"));
    }

    #[test]
    fn an_invalid_url_is_refused_with_the_part_that_is_wrong() {
        for (url, fault) in [
            ("mysql://u:p@h/d", Fault::Scheme),
            ("host=h user=u", Fault::Scheme),
            ("postgres//canary", Fault::Scheme),
            ("", Fault::Scheme),
            ("'postgres://u:p@h/d'", Fault::Quoted),
            ("postgres://u:p@h:port/d", Fault::Port),
            ("postgres://u:p@h:0/d", Fault::Port),
            ("postgres://u:p@h:65536/d", Fault::Port),
            ("postgres://u:p@::1/d", Fault::Host),
            ("postgres://u:p@[::1/d", Fault::Host),
            ("postgres://u:p@[1.2.3.4]/d", Fault::Host),
            ("postgres://u:p@[::1]5432/d", Fault::Host),
            ("postgres://u:p@h/d/e", Fault::Unencoded),
            ("postgres://u:p@h/d#e", Fault::Unencoded),
        ] {
            assert_eq!(parse(url).map(drop), Err(fault), "{url}");
        }
    }

    proptest::proptest! {
        #[test]
        fn percent_encoded_parts_are_decoded(user in "\\PC{1,12}", password in "\\PC{1,12}", database in "\\PC{1,12}") {
            let encode = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<Vec<_>>().concat();

            let url = format!("postgres://{}:{}@h/{}", encode(&user), encode(&password), encode(&database));

            check(&url, (&user, &password, "h", 5432, &database));
        }

        #[test]
        fn no_url_makes_the_parser_panic_and_no_error_repeats_a_part_of_it(secret in "[A-Z]{8}", before in "[a-z:/?#@&=%,\\[\\]]{0,8}", after in "[a-z:/?#@&=%,\\[\\]]{0,8}") {
            if let Err(fault) = parse(&format!("postgres://{before}{secret}{after}")) {
                proptest::prop_assert!(!fault.to_string().contains(&secret));
            }
        }
    }
}
