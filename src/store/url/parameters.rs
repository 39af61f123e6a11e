//! The parameters of a database URL: those that the driver understands, and those of libpq that it would ignore.

/// Parameters that the driver or this module understands, as libpq calls them.
pub(super) const KNOWN: [&str; 16] = [
    "application_name",
    "channel_binding",
    "dbname",
    "host",
    "hostaddr",
    "load_balance_hosts",
    "options",
    "password",
    "port",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "statement-cache-capacity",
    "target_session_attrs",
    "user",
];

/// What the driver calls some of them besides.
pub(super) const OTHER_NAMES: [(&str, &str); 5] = [
    ("ssl-ca", "sslrootcert"),
    ("ssl-cert", "sslcert"),
    ("ssl-key", "sslkey"),
    ("ssl-mode", "sslmode"),
    ("ssl-root-cert", "sslrootcert"),
];

/// Parameters of libpq that the driver would ignore.
pub(super) const UNSUPPORTED: [&str; 37] = [
    "client_encoding",
    "connect_timeout",
    "fallback_application_name",
    "gssdelegation",
    "gssencmode",
    "gsslib",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "krbsrvname",
    "max_protocol_version",
    "min_protocol_version",
    "oauth_client_id",
    "oauth_client_secret",
    "oauth_issuer",
    "oauth_scope",
    "passfile",
    "replication",
    "require_auth",
    "requirepeer",
    "requiressl",
    "scram_client_key",
    "scram_server_key",
    "service",
    "servicefile",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "sslcertmode",
    "sslcompression",
    "sslcrl",
    "sslcrldir",
    "sslkeylogfile",
    "sslnegotiation",
    "sslpassword",
    "sslsni",
    "tcp_user_timeout",
];

/// What to do instead of an unsupported parameter.
pub(super) fn hint(parameter: &str) -> &'static str {
    match parameter {
        "channel_binding" => " or write prefer (sslmode=verify-full proves the server's identity, too)",
        "connect_timeout" => " (a connection may take 10 s)",
        "passfile" => " (the variable PGPASSFILE names such a file)",
        _ => "",
    }
}
