//! Observation domains: what a decoder keeps of each stream of one exporter.

use helios_common::exporter::{Address, NO_ADDRESS};
use helios_common::side::ExporterMinute;

use super::minute::Minutes;
use super::pending::Pending;
use super::sequence::{MAX_SESSIONS_OCTETS, Sessions};
use super::sflow5::Meters;
use super::template::TemplateStore;
use super::{DecodeError, MAX_DOMAINS, Protocol};

/// Domains of one worker. 8,000 devices with 30 each have room. An exporter's first domain is always taken in, so that
/// made-up ones take away the line cards of newcomers at the most; an eighth is kept for exporters that are established
/// (see [`ESTABLISHED_MS`](super::template::ESTABLISHED_MS)). The [budget](super::budget) bounds what they take.
pub(super) const MAX_WORKER_DOMAINS: usize = 1 << 18;

/// What a domain takes, with room for another as vectors have it, its sequence numbers, and the smallest size of its tables.
pub(super) const DOMAIN_OCTETS: usize = 2 * size_of::<Domain>() + MAX_SESSIONS_OCTETS + 1024;

/// One observation domain of one version.
#[derive(Debug)]
pub(super) struct Domain {
    pub protocol: Protocol,
    pub id: u32,
    /// Where the messages come from. Of sFlow agents, which name themselves, each sender's domains are apart.
    pub socket: Address,
    pub templates: TemplateStore,
    pub pending: Pending,
    pub sessions: Sessions,
    pub minutes: Minutes,
    /// Of sFlow agents.
    pub meters: Meters,
    /// Templates of the current message that sets may have waited for.
    pub arrived: Vec<u16>,
}

impl Domain {
    /// The row of what came since the last call; `None` if nothing did.
    pub(super) fn close_minute(&mut self, exporter_address: Address) -> Option<ExporterMinute> {
        let row = self.minutes.close(self.protocol, self.sessions.counts())?;
        let templates = self.templates.len() as u32;
        Some(ExporterMinute {
            exporter_address,
            exporter_socket_address: if self.socket == exporter_address { NO_ADDRESS } else { self.socket },
            observation_domain_id: self.id,
            templates,
            ..row
        })
    }
}

/// Domains of all exporters of a worker, and how many there may be for one more.
pub(super) struct DomainRoom<'a> {
    pub taken: &'a mut usize,
    pub most: usize,
    /// Octets that it may take.
    pub octets: usize,
}

/// The domain of a message from `socket`, a new one if there is room. Devices have few: a scan beats a hash.
///
/// When there is no room for another sender with the address of an agent, it takes the place of the one that has been
/// silent the longest: an agent may come from ever new addresses of a NAT, and its flows count.
///
/// # Errors
/// [`DecodeError::TooManyDomains`] where the limits of the exporter, the worker or the memory leave no room.
#[expect(clippy::indexing_slicing, reason = "`at` was found or pushed just before")]
pub(super) fn find_or_add<'d>(
    domains: &'d mut Vec<Domain>,
    protocol: Protocol,
    (id, socket): (u32, Address),
    room: DomainRoom<'_>,
) -> Result<&'d mut Domain, DecodeError> {
    let taken = *room.taken >= room.most || room.octets < DOMAIN_OCTETS;
    let full = domains.len() >= MAX_DOMAINS || (taken && !domains.is_empty());
    let is_one = |domain: &Domain| domain.id == id && domain.protocol == protocol;
    let at = match domains.iter().position(|domain| is_one(domain) && domain.socket == socket) {
        Some(at) => at,
        None if full => {
            let senders = domains.iter_mut().enumerate().filter(|(_, domain)| is_one(domain));
            let silent = senders.min_by_key(|(_, domain)| domain.minutes.last.seen);
            let (at, domain) = silent.ok_or(DecodeError::TooManyDomains)?;
            domain.socket = socket;
            domain.sessions.forget();
            at
        }
        None => {
            domains.push(Domain {
                protocol,
                id,
                socket,
                templates: TemplateStore::default(),
                pending: Pending::default(),
                sessions: Sessions::default(),
                minutes: Minutes::default(),
                meters: Meters::default(),
                arrived: Vec::new(),
            });
            *room.taken += 1;
            domains.len() - 1
        }
    };
    Ok(&mut domains[at])
}
