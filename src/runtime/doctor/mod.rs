//! Checks whether this machine and a configuration can run Stentor well: everything that a start needs, and the carriers. For a
//! command, on a thread that may wait.
//!
//! Knows the checks and their order. Disturbs nothing: it takes no lock that a daemon has, binds at no carrier unless that
//! is asked for, and leaves nothing behind. It ends in bounded time, however many carriers hang.

mod binding;
mod carriers;
mod finding;
mod listening;
mod machine;
mod place;
mod quota;
mod socket;
mod syncing;
mod visit;

use std::path::Path;

pub use finding::{Finding, State};

use super::warnings::warnings;
use super::{certificates, daemon, descriptors, translate};
use crate::config::{Config, Problem, Problems};
use place::Place;

/// Reports each finding as it is made. `with_bind`: also bind at each host of each carrier, and unbind.
pub fn examine(file: &Path, with_bind: bool, tell: &mut dyn FnMut(Finding)) {
    let shown = file.display().to_string();
    let config = Config::load(file);
    of_configuration(&shown, &config).into_iter().for_each(&mut *tell);
    let Ok(config) = config else {
        return machine::looks(daemon::cpus().clamp(1, 255), None, None).into_iter().for_each(tell);
    };
    let executors = daemon::executors(&config);
    let of_new = daemon::shards_of_new(&config, executors);
    let place = Place::look(&config, of_new);
    let shards = place.shards(of_new);
    let limit = descriptors::raise();
    let plan = limit.map(|limit| (limit, daemon::share_out(limit, &config, executors, shards)));
    machine::looks(executors, Some(&config), Some(plan)).into_iter().for_each(&mut *tell);
    place.looks(&config, shards).into_iter().for_each(&mut *tell);
    config.http.listen.iter().map(|address| listening::look(*address, place.daemon)).for_each(&mut *tell);
    config.node.admin_socket.iter().map(|path| socket::look(path, place.daemon)).for_each(&mut *tell);
    carriers::looks(&config.carriers, with_bind).into_iter().for_each(tell);
}

/// All that `stentor check` says.
fn of_configuration(file: &str, loaded: &Result<Config, Problems>) -> Vec<Finding> {
    const CHECK: &str = "configuration";
    let checked =
        loaded.as_ref().map_err(Clone::clone).and_then(|config| translate::check(config, file).map(|()| config));
    match checked {
        Err(Problems(problems)) => {
            let advice = "correct it; config/stentor.toml explains every key";
            problems.iter().map(|problem: &Problem| Finding::fail(CHECK, problem.to_string(), advice)).collect()
        }
        Ok(config) => {
            let odd = warnings(config, certificates::now_s());
            let mut found = vec![Finding::ok(CHECK, format!("{file} is valid"))];
            let advice = "change it, unless it is intended";
            found.extend(odd.iter().map(|warning| Finding::warn(CHECK, warning.to_string(), advice)));
            found
        }
    }
}
