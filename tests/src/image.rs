//! The images of `deploy/docker`, without a container engine: what their Dockerfiles say is read, their programs are
//! built as they say (without optimisation), and run with nothing around them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::manifest::repository;
use crate::program::Program;

/// Enters the folder `$0` and runs the rest there.
const ENTER: &str = r#"mount --rbind /dev "$0/dev" && exec chroot "$0" "$@""#;

/// A Dockerfile, as the names of its instructions with what follows them.
#[derive(Debug)]
pub struct Dockerfile {
    instructions: Vec<(String, String)>,
}

impl Dockerfile {
    /// That of a plane, `data-plane` for example.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn of(plane: &str) -> Self {
        let file = repository().join("deploy/docker").join(format!("{plane}.Dockerfile"));
        let text = fs::read_to_string(file).expect("a Dockerfile").replace("\\\n", " ");
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let instructions = lines.filter_map(|line| line.split_once(' '));
        Self { instructions: instructions.map(|(name, rest)| (name.to_owned(), rest.trim().to_owned())).collect() }
    }

    /// What follows each instruction of this name, in order.
    pub fn all<'a>(&'a self, name: &str) -> impl DoubleEndedIterator<Item = &'a str> + use<'a> {
        let name = name.to_owned();
        self.instructions.iter().filter(move |(instruction, _)| *instruction == name).map(|(_, rest)| rest.as_str())
    }

    /// What follows the last instruction of this name.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn last(&self, name: &str) -> &str {
        self.all(name).next_back().unwrap_or_else(|| panic!("no {name} in the Dockerfile"))
    }

    /// What is copied from the repository.
    #[must_use]
    pub fn sources(&self) -> Vec<&str> {
        let copies = self.all("COPY").filter(|copy| !copy.starts_with("--from"));
        copies.flat_map(|copy| copy.split(' ').rev().skip(1)).collect()
    }

    /// The arguments of cargo that build the program.
    ///
    /// # Panics
    /// If it does not begin with cargo.
    #[must_use]
    pub fn cargo(&self) -> Vec<&str> {
        let run = self.last("RUN").split_whitespace().skip_while(|word| word.starts_with("--mount="));
        let mut command = run.take_while(|word| *word != "&&");
        assert_eq!(command.next(), Some("cargo"));
        command.collect()
    }

    /// The file of the program in the image.
    ///
    /// # Panics
    /// If the entry point is more than a program.
    #[must_use]
    pub fn entry_point(&self) -> String {
        let words: Vec<String> = serde_json::from_str(self.last("ENTRYPOINT")).expect("words in JSON");
        let [program] = <[String; 1]>::try_from(words).expect("one program");
        program
    }
}

/// What a container of an image sees.
#[derive(Debug)]
pub struct Image {
    root: TempDir,
    program: String,
}

impl Image {
    /// Builds the program of a plane, and puts it where the image has it. The optimiser is left out: it changes nothing
    /// about how the program is linked, and takes minutes.
    ///
    /// # Panics
    /// If it does not build.
    #[must_use]
    pub fn build(plane: &str) -> Self {
        let dockerfile = Dockerfile::of(plane);
        let target = target();
        let arguments = dockerfile.cargo();
        let (rustc, linking) =
            arguments.split_at(arguments.iter().position(|word| *word == "--").expect("flags of rustc"));
        let status = Command::new(env!("CARGO"))
            .args(rustc.iter().filter(|word| **word != "--release"))
            .arg("--target-dir")
            .arg(&target)
            .args(linking)
            .current_dir(repository())
            .status()
            .expect("cargo");
        assert!(status.success(), "{plane} does not build");
        Self::of(&target.join("debug"), dockerfile.entry_point())
    }

    fn of(built: &Path, program: String) -> Self {
        let root = tempfile::tempdir().expect("a temporary folder");
        let name = program.trim_start_matches('/');
        fs::copy(built.join(name), root.path().join(name)).expect("the program that was built");
        fs::create_dir(root.path().join("dev")).expect("a folder");
        Self { root, program }
    }

    /// Adds a file, as kubelet mounts them.
    ///
    /// # Panics
    /// If that fails.
    #[must_use]
    pub fn file(self, path: &str, text: &str) -> Self {
        let file = self.root.path().join(path);
        fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        fs::write(file, text).expect("a file");
        self
    }

    /// Starts the program with the image, and devices as in a container, as all of its file system.
    #[must_use]
    pub fn start(&self, arguments: &[&str]) -> Program {
        let root = self.root.path().to_str().expect("a path of text");
        let enter = ["--user", "--map-root-user", "--mount", "sh", "-c", ENTER, root, self.program.as_str()];
        Program::start_file(Path::new("unshare"), &[&enter, arguments].concat())
    }
}

/// Where these programs are built, beside those of other builds.
fn target() -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    test.ancestors().nth(3).expect("target/debug/deps/TEST").join("static")
}
