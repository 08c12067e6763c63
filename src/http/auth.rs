//! Authentication: a key names its tenant and its scope. Without tenants, every caller on this machine is tenant 0 with every
//! scope, and callers from elsewhere are refused. Over the admin socket no key is needed: a user who may open its file is an
//! administrator, but not one of the tenants, if there are any; a key that is sent there counts as it does elsewhere.
//!
//! Keys are held as SHA-256 and looked up by the digest, however many there are: the time of an answer could only reveal
//! something about the digest, and from a digest no one can compute the key.

use std::{collections::HashMap, sync::Arc};

use hyper::header::HeaderValue;
use ring::digest::SHA256;

use super::problem::{Code, Problem};
use crate::host::net::Peer;
use stentor_core::{
    admission::{Recipients, Tenant, TenantOptions},
    model::{TenantId, Whose},
};

/// A tenant of the configuration, and its keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TenantSpec {
    /// Who it is, and what it may do.
    pub tenant: TenantOptions,
    /// Keys that may send, and read the tenant's own messages.
    pub keys: Vec<String>,
    /// Keys that have scope `admin` as well.
    pub admin_keys: Vec<String>,
}

/// What a caller may do; each scope includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Calls that need no key.
    Open,
    /// Send, and read the tenant's own messages.
    Tenant,
    /// Read the status of carriers and queues, and administer.
    Admin,
}

type Digest = [u8; 32];

/// What a key gives access to.
#[derive(Clone, Copy, Debug)]
struct Key {
    tenant: usize,
    scope: Scope,
}

/// All tenants and their keys; one for all cores.
#[derive(Debug)]
pub struct Tenants {
    tenants: Vec<Tenant>,
    /// By digest. Empty: no key is needed, and only this machine may call.
    keys: HashMap<Digest, Key>,
    /// Index in `tenants` by id.
    places: HashMap<TenantId, usize>,
    open: bool,
    /// Stands for an administrator over the socket, who is not one of the tenants.
    no_tenant: Tenant,
}

/// The authenticated caller.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'t> {
    /// The tenant that the caller acts as.
    pub tenant: &'t Tenant,
    /// What the caller may do.
    pub scope: Scope,
    /// An administrator over the socket, who is not one of the tenants.
    pub is_no_tenant: bool,
}

impl Tenants {
    /// The tenants of an installation; without any, callers on this machine are tenant 0. `recipients`: to which numbers the
    /// messages of all of them may go.
    pub fn new(specs: Vec<TenantSpec>, recipients: &Arc<Recipients>) -> Self {
        let open = specs.is_empty();
        let mut keys = HashMap::new();
        for (tenant, spec) in specs.iter().enumerate() {
            let both = [(&spec.keys, Scope::Tenant), (&spec.admin_keys, Scope::Admin)];
            for (key, scope) in both.into_iter().flat_map(|(list, scope)| list.iter().map(move |key| (key, scope))) {
                keys.insert(digest(key.as_bytes()), Key { tenant, scope });
            }
        }
        let bound = |mut options: TenantOptions| {
            options.recipients.push(Arc::clone(recipients));
            Tenant::new(options)
        };
        let mut tenants: Vec<Tenant> = specs.into_iter().map(|spec| bound(spec.tenant)).collect();
        if open {
            tenants.push(bound(TenantOptions::default()));
        }
        let places = tenants.iter().enumerate().map(|(place, tenant)| (tenant.id(), place)).collect();
        Self { tenants, keys, places, open, no_tenant: bound(TenantOptions::default()) }
    }

    /// The tenants of a reloaded configuration; what a tenant has already sent still counts against its quota.
    pub fn renewed(&self, specs: Vec<TenantSpec>, recipients: &Arc<Recipients>) -> Self {
        let mut renewed = Self::new(specs, recipients);
        for tenant in &mut renewed.tenants {
            if let Some(before) = self.by_id(tenant.id()) {
                *tenant = before.renewed(std::mem::take(&mut tenant.options));
            }
        }
        renewed
    }

    /// Authenticates a caller from `peer` that sent this `Authorization`.
    ///
    /// # Errors
    /// [`Code::Unauthorized`] without a known key; [`Code::Forbidden`] from another machine where no key is needed.
    pub fn admit(&self, authorization: Option<&HeaderValue>, peer: impl Into<Peer>) -> Result<Caller<'_>, Problem> {
        let peer = peer.into();
        if self.open {
            return match self.tenants.first() {
                Some(tenant) if peer.is_here() => Ok(Caller { tenant, scope: Scope::Admin, is_no_tenant: false }),
                Some(_) | None => {
                    let detail = "without a [[tenant]] in the configuration, only clients on this machine may call";
                    Err(Problem::new(Code::Forbidden, detail))
                }
            };
        }
        if peer == Peer::Local && authorization.is_none() {
            return Ok(Caller { tenant: &self.no_tenant, scope: Scope::Admin, is_no_tenant: true });
        }
        let missing = || Problem::new(Code::Unauthorized, "`Authorization: Bearer KEY` is needed");
        let key = bearer(authorization.ok_or_else(missing)?).ok_or_else(missing)?;
        self.find(key).ok_or_else(|| Problem::new(Code::Unauthorized, "no tenant has this key"))
    }

    /// Whose messages a request means by `tenant=name`; `*` means all tenants.
    ///
    /// # Errors
    /// [`Code::UnknownName`]: an unknown name is never taken for "all".
    pub fn named(&self, name: &str) -> Result<Whose, Problem> {
        if name == "*" {
            return Ok(Whose::All);
        }
        let wanted = "`tenant` must be the name of a tenant in the configuration, or `*` for all";
        self.id_of(name).map(Whose::Of).ok_or_else(|| Problem::new(Code::UnknownName, wanted))
    }

    /// The tenant of that name; an empty name finds none.
    fn id_of(&self, name: &str) -> Option<TenantId> {
        self.tenants.iter().find(|tenant| tenant.options.name == name && !name.is_empty()).map(Tenant::id)
    }

    /// Whether there are no tenants, so that callers on this machine may do everything.
    pub const fn is_open(&self) -> bool {
        self.open
    }

    /// A tenant's name; empty for tenant 0 of an installation without tenants, and for a tenant that was removed.
    pub fn name_of(&self, id: TenantId) -> &str {
        self.by_id(id).map_or("", |tenant| &tenant.options.name)
    }

    /// Every tenant of the configuration with its name.
    pub fn iter(&self) -> impl Iterator<Item = (TenantId, &str)> {
        let named = self.tenants.iter().filter(|_| !self.open);
        named.map(|tenant| (tenant.id(), tenant.options.name.as_str()))
    }

    fn by_id(&self, id: TenantId) -> Option<&Tenant> {
        self.tenants.get(*self.places.get(&id)?)
    }

    fn find(&self, key: &[u8]) -> Option<Caller<'_>> {
        let key = self.keys.get(&digest(key))?;
        self.tenants.get(key.tenant).map(|tenant| Caller { tenant, scope: key.scope, is_no_tenant: false })
    }
}

impl Caller<'_> {
    /// Checks that the caller has `scope`.
    ///
    /// # Errors
    /// [`Code::Forbidden`].
    pub fn needs(&self, scope: Scope) -> Result<(), Problem> {
        if self.scope >= scope {
            return Ok(());
        }
        Err(Problem::new(Code::Forbidden, "this call needs a key with scope admin (`admin_keys` of a tenant)"))
    }

    /// Checks that the caller is a tenant, for calls that only make sense for one.
    ///
    /// # Errors
    /// [`Code::Forbidden`].
    pub fn is_tenant(&self) -> Result<(), Problem> {
        if !self.is_no_tenant {
            return Ok(());
        }
        let detail =
            "the admin socket alone stands for no tenant: send a tenant's key as well, which also counts there";
        Err(Problem::new(Code::Forbidden, detail))
    }

    /// Whose messages the caller reads: its own, or, if an admin named a tenant, those of that tenant, or of all for `*`.
    ///
    /// # Errors
    /// [`Code::Forbidden`] for a name from a caller who is not an admin; [`Code::UnknownName`] for an unknown name;
    /// [`Code::InvalidParameter`] without a name from an administrator, who has no messages of its own.
    pub fn reads(&self, named: Option<&str>, tenants: &Tenants) -> Result<Whose, Problem> {
        let Some(name) = named else {
            let wanted = "over the admin socket, name the tenant: `tenant=NAME`, or `tenant=*` for all";
            return match self.is_no_tenant {
                true => Err(Problem::new(Code::InvalidParameter, wanted)),
                false => Ok(Whose::Of(self.tenant.id())),
            };
        };
        self.needs(Scope::Admin)?;
        tenants.named(name)
    }
}

fn digest(key: &[u8]) -> Digest {
    let mut digest = Digest::default();
    digest.copy_from_slice(ring::digest::digest(&SHA256, key).as_ref());
    digest
}

fn bearer(header: &HeaderValue) -> Option<&[u8]> {
    let (scheme, key) = header.as_bytes().split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| key.trim_ascii()).filter(|key| !key.is_empty())
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use stentor_core::{
        admission::Quota,
        model::{Now, Period, Wall},
    };

    fn tenants() -> Tenants {
        let tenant = |id, name: &str| TenantOptions { id: TenantId(id), name: name.to_owned(), ..Default::default() };
        let shop = TenantSpec {
            tenant: tenant(7, "shop"),
            keys: vec!["shop-key-0123456789".to_owned()],
            ..TenantSpec::default()
        };
        let operations = TenantSpec {
            tenant: tenant(8, "operations"),
            admin_keys: vec!["operations-key-0123".to_owned()],
            ..TenantSpec::default()
        };
        Tenants::new(vec![shop, operations], &Arc::default())
    }

    fn admit(tenants: &Tenants, header: Option<&str>, peer: &str) -> Result<(TenantId, Scope), Code> {
        let header = header.map(|header| HeaderValue::from_str(header).expect("header"));
        let peer = SocketAddr::new(peer.parse().expect("address"), 1);
        tenants
            .admit(header.as_ref(), peer)
            .map(|caller| (caller.tenant.id(), caller.scope))
            .map_err(|problem| problem.code)
    }

    #[test]
    fn a_key_names_its_tenant_and_scope() {
        let tenants = tenants();
        let from = |header| admit(&tenants, header, "192.0.2.1");
        assert_eq!(from(Some("Bearer shop-key-0123456789")), Ok((TenantId(7), Scope::Tenant)));
        assert_eq!(from(Some("bearer  operations-key-0123 ")), Ok((TenantId(8), Scope::Admin)));
        for wrong in ["", "Bearer", "Bearer ", "Basic shop-key-0123456789", "Bearer shop-key-012345678", "Bearer x"] {
            assert_eq!(from(Some(wrong)), Err(Code::Unauthorized), "{wrong}");
        }
        assert_eq!(from(None), Err(Code::Unauthorized));
        assert_eq!(admit(&tenants, None, "127.0.0.1"), Err(Code::Unauthorized), "loopback is no key");
    }

    #[test]
    fn without_tenants_only_this_machine_may_call() {
        let tenants = Tenants::new(Vec::new(), &Arc::default());
        for here in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(admit(&tenants, None, here), Ok((TenantId(0), Scope::Admin)), "{here}");
        }
        assert_eq!(admit(&tenants, None, "192.0.2.1"), Err(Code::Forbidden));
        assert_eq!(admit(&tenants, None, "::ffff:192.0.2.1"), Err(Code::Forbidden));
    }

    #[test]
    fn over_the_socket_no_key_is_needed_and_one_that_is_shown_counts() {
        let tenants = tenants();
        let caller = tenants.admit(None, Peer::Local).expect("may open the file");
        assert_eq!((caller.scope, caller.is_tenant().map_err(|why| why.code)), (Scope::Admin, Err(Code::Forbidden)));
        let reads = |name: Option<&str>| caller.reads(name, &tenants).map_err(|why| why.code);
        assert_eq!(reads(None), Err(Code::InvalidParameter));
        assert_eq!([reads(Some("shop")), reads(Some("*"))], [Ok(Whose::Of(TenantId(7))), Ok(Whose::All)]);
        let shown = |key| tenants.admit(Some(&HeaderValue::from_static(key)), Peer::Local);
        let shop = shown("Bearer shop-key-0123456789").expect("a key");
        assert_eq!((shop.tenant.id(), shop.scope, shop.is_no_tenant), (TenantId(7), Scope::Tenant, false));
        assert_eq!(shown("Bearer another-key-0123456").map_err(|why| why.code).err(), Some(Code::Unauthorized));
        let open = Tenants::new(Vec::new(), &Arc::default());
        let caller = open.admit(None, Peer::Local).expect("here");
        assert!(caller.is_tenant().is_ok() && caller.scope == Scope::Admin && caller.reads(None, &open).is_ok());
    }

    #[test]
    fn what_a_tenant_brought_in_still_counts_after_a_reload() {
        let quota = |messages| Some(Quota { messages, period: Period::Day });
        let spec = |id, messages| TenantSpec {
            tenant: TenantOptions { id: TenantId(id), quota: quota(messages), ..TenantOptions::default() },
            ..TenantSpec::default()
        };
        let before = Tenants::new(vec![spec(1, 9), spec(2, 9)], &Arc::default());
        let mut charge = before.tenants[1].meter.open();
        charge.take(Now::default(), || 1).expect("room");
        charge.ask(1);
        let after = before.renewed(vec![spec(2, 5), spec(3, 5)], &Arc::default());
        assert_eq!([0, 1].map(|at: usize| after.tenants[at].meter.used(Wall(0))), [1, 0]);
        assert_eq!(after.tenants[0].options.quota, quota(5));
        charge.settle(0);
        assert_eq!(after.tenants[0].meter.used(Wall(0)), 0, "what was under way is settled with those of now");
    }

    #[test]
    fn a_digest_is_sha_256() {
        let start = [0xba, 0x78, 0x16, 0xbf];
        assert_eq!(digest(b"abc")[..4], start, "FIPS 180-2, appendix B.1");
    }
}
