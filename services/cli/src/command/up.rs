//! `fleetcast up`: the whole fleet on this machine, until Ctrl-C.

use crate::args::UpArgs;
use crate::command::service::asked_to_stop;
use crate::failure::Failure;
use crate::fleet::Fleet;
use crate::output::{self, Paint};
use crate::workspace::Workspace;

pub(crate) async fn run(args: &UpArgs) -> Result<(), Failure> {
    let workspace = match args.no_clusters {
        true => Workspace::without_clusters()?,
        false => Workspace::read(&args.workspace)?,
    };
    let fleet = Fleet::start(&workspace, "up", args.auth).await?;
    output::print(&describe(&fleet))?;
    run_until_asked(fleet).await
}

/// Lets the fleet run until somebody asks it to stop, or a service fails.
pub(crate) async fn run_until_asked(mut fleet: Fleet) -> Result<(), Failure> {
    let ended = tokio::select! {
        () = asked_to_stop() => Ok(()),
        ended = fleet.ended() => ended,
    };
    eprintln!("stopping …");
    fleet.stop().await?;
    Ok(ended?)
}

/// What runs, and what to do with it.
pub(crate) fn describe(fleet: &Fleet) -> String {
    let paint = Paint::stdout();
    let mut text = format!(
        "{} at {}, {} clusters:\n",
        paint.bold("fleet is up"),
        fleet.connect.url,
        fleet.members.len()
    );
    for member in &fleet.members {
        text += &format!(
            "  {}   kubectl --kubeconfig {}\n",
            member.name,
            member.kubeconfig.display()
        );
    }
    if let Some(folder) = &fleet.auth {
        text += &format!(
            "credentials are in {}; what is typed in this folder uses the operator's\n",
            folder.display()
        );
    }
    text += match fleet.members.is_empty() {
        true => "next, in another terminal:\n  fleetcast cluster join NAME | kubectl apply -f -\n",
        false => {
            "next, in another terminal:\n  fleetcast apply -f examples/shop.yaml\n  fleetcast get\n"
        }
    };
    text += "Ctrl-C stops it; started again it carries on where it stood\n";
    text
}
