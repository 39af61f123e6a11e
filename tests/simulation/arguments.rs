//! The arguments of the command line.

/// Options of the standard test harness. `cargo test` passes them to every test program, so they are accepted and have no
/// effect here.
const IGNORED: [&str; 4] = ["--nocapture", "--show-output", "--quiet", "-q"];

/// The name of this test, of which `cargo test NAME` may select a part.
const NAME: &str = "simulation of ten thousand years of Mondays";

/// The arguments of the command line.
pub(crate) struct Arguments {
    /// How many years are simulated.
    pub(crate) years: i64,
    /// The life that is repeated.
    pub(crate) seed: Option<u64>,
    /// Whether its steps are printed.
    pub(crate) is_traced: bool,
}

impl Arguments {
    /// Reads the arguments; `None` if they select other tests.
    ///
    /// # Errors
    /// When an option is unknown, or its number is not one.
    pub(crate) fn read(mut arguments: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut read = Self { years: 10_000, seed: None, is_traced: false };
        let mut is_wanted = true;
        while let Some(argument) = arguments.next() {
            let mut number = || arguments.next()?.parse::<u64>().ok();
            match argument.as_str() {
                "--years" => {
                    let years = number().and_then(|years| i64::try_from(years).ok());
                    read.years = years.ok_or("--years needs a number, such as --years 100")?;
                }
                "--seed" => read.seed = Some(number().ok_or("--seed needs a number, such as --seed 12345")?),
                "--trace" => read.is_traced = true,
                "--list" => is_wanted = false,
                ignored if IGNORED.contains(&ignored) => {}
                unknown if unknown.starts_with('-') => {
                    return Err(format!("unknown option {unknown}; the options are --years N, --seed N and --trace"));
                }
                name => is_wanted = NAME.contains(name),
            }
        }
        Ok(is_wanted.then_some(read))
    }
}
