//! TLS connections to a real PostgreSQL server with a certificate of a private authority.

use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::support::Stage;
use crate::support::server::folder_for_a_server;

/// Creates two authorities, a certificate of the first for `localhost`, and a server that accepts only TLS. `$0` is its
/// folder, `$1` its port.
const START: &str = r#"
    cd "$0"
    PATH=$PATH:$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
    for name in ca other; do
        openssl req -x509 -newkey rsa:2048 -nodes -keyout $name.key -out $name.pem -subj /CN=$name -days 2
    done
    openssl req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=localhost
    echo subjectAltName=DNS:localhost >names
    openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.pem
    as_server=
    if [ "$(id -u)" = 0 ]; then
        account=postgres
        id -u $account || account=nobody
        chown $account . server.key
        as_server="setpriv --reuid=$account --regid=$(id -g $account) --clear-groups"
    fi
    $as_server initdb -D data -U postgres -A trust -E UTF8 --no-locale
    echo 'hostssl all all all trust' | $as_server tee data/pg_hba.conf
    $as_server pg_ctl start -w -D data -l log -o "-p $1 -k $0 -c listen_addresses=127.0.0.1 -c fsync=off \
        -c ssl=on -c ssl_cert_file=$0/server.pem -c ssl_key_file=$0/server.key""#;

const STOP: &str = r#"
    PATH=$PATH:$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
    as_server=
    if [ "$(id -u)" = 0 ]; then
        account=$(stat -c %U "$0/data")
        as_server="setpriv --reuid=$account --regid=$(id -g $account) --clear-groups"
    fi
    cd / && $as_server pg_ctl stop -m immediate -D "$0/data""#;

/// A server that is stopped at the end of the test.
struct TlsServer {
    folder: TempDir,
    port: u16,
}

impl TlsServer {
    fn start() -> Self {
        let folder = folder_for_a_server();
        // The port was free a moment ago. A port cannot be reserved for another program more safely than that.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        assert!(shell(START, folder.path(), &port.to_string()), "the server does not start");
        Self { folder, port }
    }

    fn url(&self, host: &str, authority: &str) -> String {
        let authority = self.folder.path().join(authority);
        format!(
            "postgres://postgres@{host}:{}/postgres?sslmode=verify-full&sslrootcert={}",
            self.port,
            authority.display()
        )
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        shell(STOP, self.folder.path(), "");
    }
}

fn shell(script: &str, folder: &Path, argument: &str) -> bool {
    let mut shell = Command::new("sh");
    shell.args(["-eu", "-c", script]).arg(folder).arg(argument);
    shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
}

#[tokio::test]
async fn sslmode_verify_full_checks_the_authority_and_the_host_name() {
    let server = tokio::task::spawn_blocking(TlsServer::start).await.unwrap();
    let stage = Stage::small().await;
    let crawl = |url: &str| stage.program(&["crawl"]).set("DATABASE_URL", url).finish();

    let done = crawl(&server.url("localhost", "ca.pem")).await.expect_code(0);
    let other = crawl(&server.url("localhost", "other.pem")).await.expect_code(1);
    let elsewhere = crawl(&server.url("127.0.0.1", "ca.pem")).await.expect_code(1);
    let plain = crawl(&server.url("localhost", "ca.pem").replace("verify-full", "disable")).await.expect_code(1);

    assert!(done.stdout.contains("26 seen, 26 new"), "{}", done.stdout);
    assert!(other.stderr.contains("certificate"), "{}", other.stderr);
    assert!(elsewhere.stderr.contains("certificate"), "{}", elsewhere.stderr);
    assert!(plain.stderr.contains("no encryption"), "{}", plain.stderr);
    for refused in [other, elsewhere, plain] {
        assert!(refused.stderr.contains("could not reach the database postgres at "), "{}", refused.stderr);
    }
}
