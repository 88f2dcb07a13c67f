//! The Dockerfiles of both planes.

use std::fs;
use std::process::Command;

use weir_tests::eventually;
use weir_tests::image::{Dockerfile, Image};
use weir_tests::manifest::{repository, web};
use weir_tests::port::free_address;
use weir_tests::{Backend, get};

const PLANES: [&str; 2] = ["control-plane", "data-plane"];

/// `cargo metadata` fails if a file is missing that the workspace needs, or Cargo.lock would have to change.
#[test]
fn each_image_is_built_from_all_that_cargo_needs() {
    for plane in PLANES {
        let context = tempfile::tempdir().unwrap();
        let sources = Dockerfile::of(plane).sources().join(" ");
        let copy = format!("git ls-files -z {sources} | xargs -0 cp --parents --target-directory \"$0\"");
        let folder = context.path().to_str().unwrap();
        let copied = Command::new("bash").args(["-c", &copy, folder]).current_dir(repository()).status().unwrap();
        assert!(copied.success(), "{plane}: {copy}");
        let cargo = Command::new(env!("CARGO"))
            .args(["metadata", "--format-version=1", "--locked", "--offline", "--filter-platform"])
            .arg(format!("{}-unknown-linux-gnu", std::env::consts::ARCH))
            .current_dir(context.path())
            .output()
            .unwrap();
        assert!(cargo.status.success(), "{plane}: {}", String::from_utf8_lossy(&cargo.stderr));
    }
}

#[test]
fn the_compiler_of_the_images_is_that_of_the_repository() {
    let file = fs::read_to_string(repository().join("rust-toolchain.toml")).unwrap();
    let (_, channel) = file.split_once("channel = \"").unwrap();
    let (channel, _) = channel.split_once('"').unwrap();
    let (release, _) = channel.rsplit_once('.').unwrap();
    for plane in PLANES {
        let dockerfile = Dockerfile::of(plane);
        assert_eq!(dockerfile.all("FROM").next().unwrap(), format!("rust:{release}-slim AS build"));
        assert_eq!(dockerfile.last("ENV"), format!("RUSTUP_TOOLCHAIN={channel}"));
    }
}

/// The chart asks for the same user, and takes the names of these images as they are.
#[test]
fn an_image_is_its_program_and_a_user_without_rights() {
    for plane in PLANES {
        let dockerfile = Dockerfile::of(plane);
        assert_eq!(dockerfile.last("FROM"), "scratch");
        assert_eq!(dockerfile.last("USER"), "65532:65532");
        let program = format!("/weir-{plane}");
        assert_eq!(dockerfile.entry_point(), program);
        assert_eq!(dockerfile.last("COPY"), format!("--from=build {program} {program}"));
        assert!(dockerfile.last("RUN").ends_with(&format!("cp target/release{program} {program}")));
    }
}

/// In a file system of their own, without a C library, a shell or a resolver's plug-ins: they start, and the proxy finds
/// the control plane by name.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "builds both planes once more, statically: minutes"]
async fn the_programs_of_the_images_need_no_other_file() {
    let server = Backend::start("web-1").await;
    let control = Image::build("control-plane").file("conf/web.yaml", &web("", &[server.address()]));
    let proxy = Image::build("data-plane").file("etc/hosts", "127.0.0.1 control.weir.test\n");
    let [grpc, api, listen, admin] = [(); 4].map(|()| free_address());
    let _control = control.start(&["--folder=/conf", &format!("--grpc={grpc}"), &format!("--admin={api}")]);
    let _proxy = proxy.start(&[
        &format!("--control-plane=http://control.weir.test:{}", grpc.port()),
        &format!("--listen=http={listen}"),
        &format!("--admin={admin}"),
    ]);
    let answer =
        eventually("the proxy serves", async || get(listen, "/").await.ok().filter(|it| it.status == 200)).await;
    assert_eq!(answer.text(), "web-1");
}
