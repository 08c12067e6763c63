//! A reload: the configuration is read again as a whole. All of it is applied or nothing, and the changes are logged; changes that
//! need a restart are refused by name. Everything that can be refused is checked before anything is changed.
//!
//! Order, so that no message meets half of a configuration: control commits new names, then a version for it; every core
//! gets its links; when all have them, every core gets routes, the shards' options and the HTTP settings.

use std::sync::{Arc, mpsc};

use rustls::ServerConfig;

use crate::{
    config::{self, Config, Problems},
    egress::Dial,
    host::executor,
    http::{Api, Server, Tenants},
};
use stentor_core::{
    control::{Entries, Refused, applied},
    link,
    model::{LinkId, ShardId, TenantId},
    shard::{self, Catalog},
};

use super::{
    super::{
        certificates,
        core::Core,
        reload_request::{ReloadRequest, ReloadResult},
        starting, tls, translate,
    },
    Daemon, Shared, share_out,
};

/// What a reload needs from the caller that started the daemon.
pub struct Reload {
    /// Reads the configuration again.
    pub load: Box<dyn Fn() -> Result<Config, Problems>>,
    /// Called with a configuration that has been applied.
    pub applied: Box<dyn Fn(&Config)>,
}

impl std::fmt::Debug for Reload {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Reload").finish_non_exhaustive()
    }
}

/// A command to a running core. Each except `End` is answered when it is carried out.
pub(super) enum Command {
    /// Drain and end.
    End,
    /// Its links from now on.
    Links(Vec<(link::Options, Dial)>, mpsc::Sender<()>),
    /// Everything else.
    Apply(Box<Applied>, mpsc::Sender<()>),
}

/// What one core gets of a configuration, apart from its links.
pub(super) struct Applied {
    config: Arc<Config>,
    tenants: Arc<Tenants>,
    catalog: Arc<Catalog>,
    shards: Vec<shard::Options>,
    weights: Vec<(TenantId, u32)>,
    tls: Option<Arc<ServerConfig>>,
}

impl Daemon {
    /// Reads the configuration again and applies it, or only shows what it would change if that was asked for; logs the result, and
    /// leaves it for the command that asked.
    pub(super) fn reload(&mut self, reload: &Reload) {
        let directory = self.config.node.data_dir.clone();
        let ask = ReloadRequest::take(&directory);
        let is_dry = ask.as_ref().is_some_and(|ask| ask.dry_run);
        let told = match self.read_anew(reload) {
            Ok(fresh) if is_dry => Ok(fresh.changes),
            Ok(fresh) => self.apply(fresh),
            Err(refusals) => Err(refusals),
        };
        let told = told.map(|changes| changes.iter().map(ToString::to_string).collect::<Vec<_>>());
        match &told {
            _ if is_dry => tracing::info!("a command asked what a reload would change"),
            Ok(changes) if changes.is_empty() => tracing::info!("reloaded: nothing has changed"),
            Ok(changes) => {
                for change in changes {
                    tracing::info!("reloaded: {change}");
                }
                (reload.applied)(&self.config);
                starting::warn(&self.config);
            }
            Err(refusals) => {
                for refusal in refusals {
                    tracing::error!("reload refused, nothing was changed: {refusal}");
                }
            }
        }
        if let Some(ask) = ask
            && let Err(error) = ReloadResult::new(&ask, &told).leave(&directory)
        {
            tracing::warn!(%error, "the command that asked for the reload cannot be told the result");
        }
    }

    /// Checks everything that can be refused.
    fn read_anew(&self, reload: &Reload) -> Result<Fresh, Vec<String>> {
        let lines = |problems: Problems| -> Vec<String> { problems.to_string().lines().map(str::to_owned).collect() };
        let new = (reload.load)().map_err(lines)?;
        translate::check(&new, "configuration").map_err(lines)?;
        // Before the files are read for use: a change in between is reported by the next reload.
        let seen = certificates::look(&new);
        let mut changes = config::diff(&self.config, &new);
        changes.extend(certificates::renewed(&self.shared.certificates.all(), &seen));
        let refusals = refusals(&self.config, &new, &changes);
        if !refusals.is_empty() {
            return Err(refusals);
        }
        let shared = &self.shared;
        let tls = new.http.tls.as_ref().map(tls::server).transpose().map_err(|what| vec![what])?;
        share_out(shared.descriptors, &new, self.cores.len(), shared.map.shards())
            .map_err(|too_few| vec![too_few.to_string()])?;
        // With the current numbers: a name without a number was in no place, and cannot move.
        let named = self.control.published().get();
        let moved = moved(&shared.snapshots.catalog(), &translate::catalog(&new, &named, shared.map));
        if moved.is_empty() { Ok(Fresh { new, changes, seen, tls }) } else { Err(moved) }
    }

    fn apply(&mut self, fresh: Fresh) -> Result<Vec<config::Change>, Vec<String>> {
        let Fresh { new, changes, seen, tls } = fresh;
        if changes.is_empty() {
            return Ok(changes);
        }
        let shared = Arc::clone(&self.shared);
        let one = |refused: Refused| vec![refused.to_string()];
        let named = self.control.change(translate::names(&new).changes()).map_err(one)?;
        let silent_until = shared.clock.mono().after_ns(super::SILENCE_NS);
        let links: Result<Vec<_>, String> = (0..self.cores.len())
            .map(|core| translate::links(&new, &named, core as u8, silent_until, shared.map, &shared.resolver))
            .collect();
        let links = links.map_err(|what| vec![what])?;
        let control = self.control.change(vec![applied(shared.clock.now().wall)]).map_err(one)?;
        let catalog = Arc::new(translate::catalog(&new, &control, shared.map));
        self.tell_links(links);
        self.tell_rest(new, &control, &catalog, tls.as_ref());
        shared.snapshots.publish(catalog);
        shared.certificates.put(seen);
        Ok(changes)
    }

    /// Returns when every core has its links.
    fn tell_links(&self, links: Vec<Vec<(link::Options, Dial)>>) {
        let (done, told) = mpsc::channel();
        for (core, links) in self.cores.iter().zip(links) {
            let _ = core.commands.send(Command::Links(links, done.clone()));
        }
        drop(done);
        told.iter().take(self.cores.len()).for_each(drop);
    }

    fn tell_rest(&mut self, new: Config, control: &Entries, catalog: &Arc<Catalog>, tls: Option<&Arc<ServerConfig>>) {
        let (shared, config) = (Arc::clone(&self.shared), Arc::new(new));
        let specs = translate::tenants(&config, control);
        self.tenants = Arc::new(self.tenants.renewed(specs, &translate::recipients(&config.recipients)));
        shared.snapshots.publish_tenants(Arc::clone(&self.tenants));
        let (done, told) = mpsc::channel();
        for (number, core) in self.cores.iter().enumerate() {
            let own = (0..shared.map.shards()).map(ShardId);
            let own = own.filter(|shard| usize::from(shared.map.core_of(*shard).0) == number);
            let options = |shard| translate::shard_options(&config, control, shard, shared.map.shards());
            let applied = Applied {
                config: Arc::clone(&config),
                tenants: Arc::clone(&self.tenants),
                catalog: Arc::clone(catalog),
                shards: own.map(options).collect(),
                weights: translate::weights(&config, control),
                tls: tls.cloned(),
            };
            let _ = core.commands.send(Command::Apply(Box::new(applied), done.clone()));
        }
        drop(done);
        told.iter().take(self.cores.len()).for_each(drop);
        self.config = Arc::unwrap_or_clone(config);
    }
}

/// A configuration that can be applied.
struct Fresh {
    new: Config,
    changes: Vec<config::Change>,
    /// Certificates as they were before they were read for use.
    seen: Vec<certificates::Seen>,
    tls: Option<Arc<ServerConfig>>,
}

/// The changes that need a restart.
fn refusals(old: &Config, new: &Config, changes: &[config::Change]) -> Vec<String> {
    let mut refusals: Vec<String> =
        changes.iter().filter(|change| change.needs_restart).map(ToString::to_string).collect();
    for carrier in &old.carriers {
        match new.carriers.iter().find(|other| other.name == carrier.name) {
            None => refusals.push(format!("carrier.{}: removing a carrier needs a restart", carrier.name)),
            Some(other) if other.group != carrier.group => {
                let (name, from, to) = (&carrier.name, &carrier.group, &other.group);
                refusals.push(format!("carrier.{name}.group: {from:?} → {to:?} (needs a restart)"));
            }
            Some(_) => {}
        }
    }
    refusals
}

/// Carriers whose links would have to move to other cores: their windows and limits would be held twice for a while.
fn moved(old: &Catalog, new: &Catalog) -> Vec<String> {
    let home = |catalog: &Catalog, id| catalog.carriers.iter().find(|known| known.id == id).map(|known| known.home);
    let moves = |carrier: &&shard::CatalogCarrier| home(old, carrier.id).is_some_and(|before| before != carrier.home);
    let moving = new.carriers.iter().filter(moves);
    moving
        .map(|carrier| {
            format!(
                "carrier.{}: with these `rate` and `binds` its sessions move to other cores; needs a restart",
                carrier.name
            )
        })
        .collect()
}

/// Carries out a command on a core. Must be called on the core's executor.
pub(super) fn carry_out(command: Command, shared: &Shared, core: &std::rc::Rc<Core>, api: &Api, server: &Server) {
    let done = match command {
        Command::End => return,
        Command::Links(links, done) => {
            let seed = |id: LinkId| executor::now().wall.0 ^ u64::from(id.carrier.0) << 32;
            core.reconfigure_links(links, seed);
            done
        }
        Command::Apply(applied, done) => {
            let Applied { config, tenants, catalog, shards, weights, tls } = *applied;
            core.reconfigure_shards(&catalog, shards);
            api.set_catalog(catalog);
            api.set_settings(translate::http_settings(&config, tenants));
            server.set_limits(shared.http_limits(&config));
            server.set_weights(weights);
            server.set_tls(tls);
            done
        }
    };
    // If the daemon is ending, it no longer waits for the answer.
    let _ = done.send(());
}
