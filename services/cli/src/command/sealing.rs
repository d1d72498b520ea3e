//! `fleetcast sealing`: files of keys that values of Secrets are sealed with.

use std::path::Path;

use fleetcast_bus::credentials::write_secret;
use fleetcast_sealing::Keys;

use crate::args::SealingCommand;
use crate::failure::Failure;
use crate::output;
use crate::sealing;

pub(crate) fn run(command: &SealingCommand) -> Result<(), Failure> {
    match command {
        SealingCommand::New { file, keep } => new(file, *keep),
        SealingCommand::Rotate { file } => rotate(file),
        SealingCommand::List { file } => {
            let keys = sealing::read(file)?;
            for (index, key) in keys.public_in_order().enumerate() {
                let what = match index {
                    0 => "seals and opens",
                    _ => "opens",
                };
                output::print(&format!("{key}  {what}\n"))?;
            }
            Ok(())
        }
    }
}

fn new(file: &Path, keep: bool) -> Result<(), Failure> {
    if file.exists() && keep {
        let keys = sealing::read(file)?;
        let key = keys.newest().unwrap_or_default();
        return output::print(&format!("{} is there, with {key}\n", file.display()));
    }
    if file.exists() {
        return Err(Failure::Refused(format!(
            "{} is there already; next: fleetcast sealing rotate {0} adds a key to it",
            file.display()
        )));
    }
    let keys = Keys::generate();
    write_secret(file, keys.text().as_bytes()).map_err(anyhow::Error::from)?;
    let (key, file) = (keys.newest().unwrap_or_default(), file.display());
    output::print(&format!(
        "{file} holds a new key; its public half is\n{key}\nnext, for the hub:     fleetcast ingest --sealing-keys {file}     (keep a copy apart from the backups: without it no sealed value can be read)\nnext, for a cluster:   fleetcast cluster register NAME --sealing-key {key}\n                       fleetcast agent --cluster NAME --sealing-key {file}\n"
    ))
}

fn rotate(file: &Path) -> Result<(), Failure> {
    let keys = sealing::rotate(file)?;
    let (key, file) = (keys.newest().unwrap_or_default(), file.display());
    output::print(&format!(
        "the newest key of {file} is now\n{key}\nthe others go on opening what was sealed to them\nnext, for the hub:     start each ingest again with the file; what is handed in from then on is sealed to the new key, so hand Secrets in again to have them sealed anew\nnext, for a cluster:   start its agent again with the file, then fleetcast cluster register NAME --sealing-key {key}\n"
    ))
}
