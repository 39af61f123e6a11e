//! Secrets appear nowhere: every command gets a canary key and a canary password, and all output is searched for them.

use nix::sys::signal::Signal;
use sanggwond::standin::{Fault, Switches};

use crate::support::program::{Finished, Program};
use crate::support::{KEY, Stage};

/// All messages of this program and of the crates that handle secrets.
const EVERYTHING: &str =
    "trace,hyper=trace,hyper_util=trace,h2=trace,reqwest=trace,rustls=trace,sqlx=trace,config=trace";

/// The password of the database.
const PASSWORD: &str = "canary-password-9f8e7d";

/// Every command that ends by itself, with what it needs.
const COMMANDS: [&[&str]; 14] = [
    &["check"],
    &["migrate"],
    &["check", "--coverage"],
    &["crawl"],
    &["crawl", "--format", "json"],
    &["runs"],
    &["runs", "--format", "json"],
    &["runs", "1"],
    &["changes", "--format", "json"],
    &["export", "--format", "csv"],
    &["purge", "--all", "--dry-run"],
    &["health"],
    &["next"],
    &["report"],
];

/// Output of programs, each with a description of its origin.
#[derive(Default)]
struct Found(Vec<(String, String)>);

impl Found {
    fn add(&mut self, what: &str, finished: Finished) {
        self.0.push((format!("stdout of {what}"), finished.stdout));
        self.0.push((format!("stderr of {what}"), finished.stderr));
    }

    fn check(&self) {
        for (place, text) in &self.0 {
            for secret in [KEY, PASSWORD] {
                // A part of the secret would be a leak too.
                assert!(!text.contains(secret) && !text.contains(&secret[..12]), "{secret} is in {place}:\n{text}");
            }
        }
    }
}

/// The URL of the database with a password, which the server of the tests does not require.
fn with_password(url: &str) -> String {
    url.replacen("postgres@", &format!("postgres:{PASSWORD}@"), 1)
}

/// Causes a panic in the middle of a run: an impossible count overflows.
async fn panicked(stage: &Stage, program: &impl Fn(&[&str], &str) -> Program) -> Finished {
    stage.standin.hold();
    let before = stage.standin.requests();
    let running = program(&["crawl"], "text").start();
    stage.standin.reached(before + 5).await;
    running.kill().await;
    stage.standin.release();
    stage.execute("update crawl_cell set failures = 32767 where status = 'pending'").await;
    let refused = ["카페", "공원"].map(|keyword| (keyword.to_owned(), Fault::Status(400, false)));
    stage.standin.set(Switches { faults_for: refused.into(), ..Switches::default() });
    let finished = program(&["crawl"], "text").finish().await.expect_code(1);
    assert!(finished.stdout.contains("a bug: attempt to add with overflow"), "{}", finished.stdout);
    finished
}

#[tokio::test]
async fn no_command_prints_a_secret_whatever_fails() {
    let stage = Stage::small().await;
    let logs = stage.folder.path().join("logs");
    let url = with_password(&stage.database.url);
    assert!(url.contains(PASSWORD), "{url}");
    let mut found = Found::default();
    let program = |arguments: &[&str], format: &str| {
        stage
            .program(arguments)
            .set("DATABASE_URL", &url)
            .set("SANGGWOND_LOG__FILTER", EVERYTHING)
            .set("SANGGWOND_LOG__FORMAT", format)
            .set("SANGGWOND_LOG__DIRECTORY", logs.to_str().unwrap())
    };

    for format in ["text", "json"] {
        for arguments in COMMANDS {
            let what = format!("{} ({format})", arguments.join(" "));
            stage.standin.set(Switches::default());
            found.add(&what, program(arguments, format).finish().await);
            // The API repeats a refused key in its error message.
            stage.standin.set(Switches { api_key: Some("another".to_owned()), ..Switches::default() });
            found.add(&format!("{what}, key refused"), program(arguments, format).finish().await);
            let nowhere = format!("postgres://postgres:{PASSWORD}@localhost:1/none");
            let unreachable = program(arguments, format).set("DATABASE_URL", &nowhere);
            found.add(&format!("{what}, no database"), unreachable.finish().await);
            let broken = program(arguments, format).set("DATABASE_URL", format!("postgres//{PASSWORD}"));
            found.add(&format!("{what}, broken URL"), broken.finish().await);
        }
        stage.standin.set(Switches::default());
        let mut daemon = program(&[], format).set("SANGGWOND_OBSERVE__LISTEN", "127.0.0.1:0").start();
        daemon.says("next runs by").await;
        let address = super::observe::address(&mut daemon).await;
        for path in ["/metrics", "/livez", "/readyz", "/"] {
            found.0.push((path.to_owned(), super::observe::get(&address, path).await));
        }
        daemon.signal(Signal::SIGTERM);
        found.add("daemon", daemon.finish().await);
    }
    found.add("a panic", panicked(&stage, &program).await);
    let rows = stage.everything_stored().await;
    assert!(rows.contains("the API refuses the key"), "the rows were not read");
    found.0.push(("the tables".to_owned(), rows));
    for file in std::fs::read_dir(&logs).unwrap() {
        let path = file.unwrap().path();
        found.0.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
    }

    assert!(found.0.iter().any(|(_, text)| text.contains("TRACE")), "nothing was traced");
    found.check();
}

#[tokio::test]
async fn the_memory_of_the_process_is_never_dumped() {
    let stage = Stage::small().await;
    let mut daemon = stage.program(&[]).through(&["prlimit", "--core=4096"]).start();
    daemon.says("next runs by").await;

    let limits = std::fs::read_to_string(format!("/proc/{}/limits", daemon.pid())).unwrap();

    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{limits}");
    daemon.terminate().await.expect_code(0);
}

#[tokio::test]
async fn a_secret_file_that_others_may_read_causes_a_warning() {
    let stage = Stage::small().await;
    let (file, config) = (stage.folder.path().join("url"), stage.folder.path().join("with_key.toml"));
    std::fs::write(&file, &stage.database.url).unwrap();
    std::fs::write(&config, format!("[kakao]\napi_key = \"{KEY}\"\n")).unwrap();
    let said = async |mode: u32| {
        for path in [&file, &config] {
            std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        }
        let migrate = Program::new(&["migrate"]).set("DATABASE_URL_FILE", &file).config(&config);
        migrate.finish().await.expect_code(0).stderr
    };

    let (closed, for_a_group, open) = (said(0o600).await, said(0o640).await, said(0o644).await);

    assert!(!closed.contains("others may read"), "{closed}");
    for (said, mode) in [(for_a_group, "0640"), (open, "0644")] {
        for path in [&file, &config] {
            let path = path.display();
            let words = format!("{path} holds a secret, and others may read it (mode {mode}): chmod 600 '{path}'");
            assert!(said.contains("\"WARN\"") && said.contains(&words), "{said}");
        }
    }
}

#[tokio::test]
async fn a_configuration_with_secrets_is_refused_without_repeating_them() {
    let stage = Stage::small().await;
    let mut found = Found::default();
    let files = [
        format!("[kakao]\napi_key = \"{KEY}\"\nunknown = 1\n"),
        format!("[kakao]\napi_key = \"{KEY} {PASSWORD}\"\n"),
        format!("[database]\nurl = \"postgres://postgres:{PASSWORD}@db\nprivate = 1\n"),
        format!("[database]\nurl = {PASSWORD}\n"),
    ];
    for (number, text) in files.iter().enumerate() {
        let file = stage.folder.path().join(format!("{number}.toml"));
        std::fs::write(&file, text).unwrap();
        let program = Program::new(&["check"]).config(&file);
        let finished = program.finish().await.expect_code(2);
        assert!(finished.stderr.contains(&format!("{number}.toml")), "{}", finished.stderr);
        found.add(&format!("file {number}"), finished);
    }

    found.check();
}
