//! `--output`: an existing file keeps its owner and mode, links stay, and devices and pipes are never replaced.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown, symlink};
use std::path::Path;

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::{geteuid, mkfifo};

use crate::support::{Stage, skip};

/// The commands that write a file.
const COMMANDS: [&[&str]; 3] = [&["export", "--format", "csv"], &["export", "--format", "geojson"], &["report"]];

fn with_output<'a>(command: &[&'a str], file: &'a Path) -> Vec<&'a str> {
    [command, &["--output", file.to_str().unwrap()]].concat()
}

fn mode(file: &Path) -> u32 {
    fs::metadata(file).unwrap().mode() & 0o7777
}

#[tokio::test]
async fn a_link_to_stdout_is_followed_and_not_replaced() {
    let stage = Stage::small().await;
    stage.crawl().await;
    let link = stage.folder.path().join("link");
    symlink("/dev/stdout", &link).unwrap();

    for command in COMMANDS {
        let plain = stage.program(command).finish().await.expect_code(0).stdout;
        let linked = stage.program(&with_output(command, &link)).finish().await.expect_code(0).stdout;

        // The report contains the time, so only the number of lines is compared.
        assert_eq!(linked.lines().count(), plain.lines().count(), "{command:?}");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert!(fs::symlink_metadata("/dev/stdout").unwrap().is_symlink());
    }
    let file = File::create(stage.folder.path().join("redirected")).unwrap();
    stage.program(&with_output(COMMANDS[0], Path::new("/dev/stdout"))).finish_into(file).await;
    let written = fs::read_to_string(stage.folder.path().join("redirected")).unwrap();
    assert!(written.starts_with("place_id,") && written.lines().count() == 27, "{written}");
}

#[tokio::test]
async fn a_device_or_pipe_is_written_to_or_refused_without_a_wait() {
    let stage = Stage::small().await;
    stage.crawl().await;
    let (pipe, dangling) = (stage.folder.path().join("pipe"), stage.folder.path().join("dangling"));
    mkfifo(&pipe, Mode::S_IRWXU).unwrap();
    symlink("nowhere", &dangling).unwrap();

    for command in COMMANDS {
        for (path, words) in [
            (&pipe, "it is a pipe that nobody reads"),
            (&dangling, "it is a link to a file that does not exist; remove the link"),
            (&stage.folder.path().to_owned(), "it is a folder; name a file in it"),
        ] {
            let refused = stage.program(&with_output(command, path)).finish().await.expect_code(1);
            let sentence = format!("sanggwond: could not write {}: {words}\n", path.display());
            assert_eq!(refused.stderr, sentence, "{command:?}");
        }
    }
    let _reader = File::options().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(&pipe).unwrap();
    stage.program(&with_output(COMMANDS[0], &pipe)).finish().await.expect_code(0);

    assert!(fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo());
    assert!(!stage.folder.path().join("nowhere").exists());
}

#[tokio::test]
async fn a_new_file_has_the_mode_of_the_umask_and_an_old_one_keeps_its_own() {
    let stage = Stage::small().await;
    stage.crawl().await;
    let files = ["new", "old"].map(|name| stage.folder.path().join(name));
    fs::write(&files[1], "old").unwrap();
    fs::set_permissions(&files[1], Permissions::from_mode(0o604)).unwrap();

    for command in COMMANDS {
        for file in &files {
            let program = stage.program(&with_output(command, file));
            program.through(&["sh", "-c", "umask 027; exec \"$@\"", "sh"]).finish().await.expect_code(0);
        }
        assert_eq!((mode(&files[0]), mode(&files[1])), (0o640, 0o604), "{command:?}");
        assert_ne!(fs::read_to_string(&files[1]).unwrap(), "old");
        fs::remove_file(&files[0]).unwrap();
    }
}

#[tokio::test]
async fn a_file_that_root_replaces_keeps_its_owner() {
    if !geteuid().is_root() {
        return skip("a file of another user", "only root can make one");
    }
    let stage = Stage::small().await;
    stage.crawl().await;
    let file = stage.folder.path().join("places.csv");
    fs::write(&file, "old").unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    chown(&file, Some(65_534), Some(65_534)).unwrap();

    stage.program(&with_output(COMMANDS[0], &file)).finish().await.expect_code(0);

    let found = fs::metadata(&file).unwrap();
    assert_eq!((found.uid(), found.gid(), mode(&file)), (65_534, 65_534, 0o600));
}

#[tokio::test]
async fn root_follows_no_link_of_another_user_in_a_shared_folder() {
    if !geteuid().is_root() {
        return skip("a link of another user", "only root can make one");
    }
    let stage = Stage::small().await;
    stage.crawl().await;
    let shared = stage.folder.path().join("shared");
    let (link, victim) = (shared.join("places.csv"), stage.folder.path().join("victim"));
    fs::create_dir(&shared).unwrap();
    fs::set_permissions(&shared, Permissions::from_mode(0o1777)).unwrap();
    fs::write(&victim, "old").unwrap();
    symlink(&victim, &link).unwrap();
    std::os::unix::fs::lchown(&link, Some(65_534), Some(65_534)).unwrap();

    let refused = stage.program(&with_output(COMMANDS[0], &link)).finish().await.expect_code(1);

    assert!(refused.stderr.contains("it is a link of user 65534 in a folder that everybody may write"), "{refused:?}");
    assert_eq!(fs::read_to_string(&victim).unwrap(), "old");
}
