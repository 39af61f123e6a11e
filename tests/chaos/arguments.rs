//! The arguments of the command line.

/// Options of the standard test harness. `cargo test` passes them to every test program, so they are accepted and have no
/// effect here.
const IGNORED: [&str; 4] = ["--nocapture", "--show-output", "--quiet", "-q"];

/// The arguments of the command line.
pub(crate) struct Arguments {
    /// Whether each case has its long form.
    pub(crate) is_long: bool,
    /// Whether the names of the cases are printed instead.
    pub(crate) is_list: bool,
    /// The seed of the random numbers; by default it depends on the current time.
    pub(crate) seed: u64,
    parts_of_names: Vec<String>,
}

impl Arguments {
    /// Reads the arguments; `names` are the names of all cases.
    ///
    /// # Errors
    /// When an option is unknown, the seed is not a number, or a text is in no name.
    pub(crate) fn read(arguments: impl Iterator<Item = String>, names: &[&str]) -> Result<Self, String> {
        let seed = sanggwond::clock::now().timestamp_micros().unsigned_abs() % 1_000_000;
        let mut read = Self { is_long: false, is_list: false, seed, parts_of_names: Vec::new() };
        let mut rest = arguments;
        while let Some(argument) = rest.next() {
            match argument.as_str() {
                "--long" => read.is_long = true,
                "--list" => read.is_list = true,
                "--seed" => {
                    let seed = rest.next().and_then(|seed| seed.parse().ok());
                    read.seed = seed.ok_or("--seed needs a number, such as --seed 12345")?;
                }
                ignored if IGNORED.contains(&ignored) => {}
                unknown if unknown.starts_with('-') => {
                    return Err(format!("unknown option {unknown}; the options are --long, --list and --seed N"));
                }
                part if names.iter().any(|name| name.contains(part)) => read.parts_of_names.push(argument),
                part => return Err(format!("no case has {part:?} in its name; the cases are:\n{}", names.join("\n"))),
            }
        }
        Ok(read)
    }

    /// Whether a case is selected.
    pub(crate) fn want(&self, name: &str) -> bool {
        self.parts_of_names.is_empty() || self.parts_of_names.iter().any(|part| name.contains(part.as_str()))
    }
}
