//! What a core of the daemon is given before it runs: its door, its shards and links, and on one core the admin socket.

use std::{os::fd::OwnedFd, path::Path, rc::Rc, sync::Arc};

use crate::{egress::Dial, host::executor, http::Door};
use stentor_core::{
    limit::ToHome,
    link, mesh,
    model::NodeId,
    node::{Node, NodeEvent},
    shard::ShardEvent,
};

use super::{
    super::{
        admin_socket::AdminSocket,
        core::{Core, ToCore},
        readers, translate,
    },
    Seats, Shared, StartError,
};

/// The core that counts for all limits.
const HOME: usize = 0;

/// Opens the admin socket, if one is configured: the listening descriptor, and its file.
pub(super) fn open_admin_socket(path: Option<&Path>) -> Result<Option<(OwnedFd, AdminSocket)>, StartError> {
    let refused = |path: &Path, error| StartError::System(format!("node.admin_socket: {}", path.display()), error);
    path.map(|path| AdminSocket::open(path).map_err(|error| refused(path, error))).transpose()
}

pub(super) fn open_door(shared: &Arc<Shared>, number: u8) -> Rc<Door> {
    let (senders, map) = (shared.senders.clone(), shared.map);
    let home = senders[HOME].clone();
    Door::new(
        number,
        Box::new(move |shard, ask| {
            let core = usize::from(map.core_of(shard).0);
            let item = ToCore::Node(NodeEvent::Shard(shard, ShardEvent::Ask(ask)));
            senders[core].try_push(item).map_err(|mesh::Full(item)| {
                let ToCore::Node(NodeEvent::Shard(_, ShardEvent::Ask(ask))) = item else {
                    unreachable!("it was pushed as a question");
                };
                ask
            })
        }),
        Box::new(move |reply| home.try_push(ToCore::Node(NodeEvent::Home(ToHome::Look(reply)))).is_ok()),
    )
}

pub(super) fn seat_core(
    shared: &Arc<Shared>,
    number: u8,
    seats: Seats,
    links: Vec<(link::Options, Dial)>,
    door: &Rc<Door>,
) -> Rc<Core> {
    let now = executor::now();
    let seed = |salt: u64| stentor_core::model::prng::mix(now.wall.0 ^ (u64::from(number) << 56) ^ salt);
    let mut node = Node::new(number, shared.senders.len(), Arc::clone(&shared.catalog));
    let mut storages = Vec::with_capacity(seats.len());
    for (id, found, storage) in seats {
        let options = translate::shard_options(&shared.config, &shared.control, id, shared.map.shards());
        debug_assert_eq!(options.node, NodeId(shared.config.node.id));
        node.seat_shard(options, seed(u64::from(id.0)), found, now);
        storages.push((id, storage));
    }
    let core = Core::new(number, node, storages, shared.senders.clone(), Rc::clone(door));
    readers::attend(&core, &shared.control, &shared.published);
    core.seat_links(links, |id| seed(1 << 32 | u64::from(id.carrier.0)));
    core
}
