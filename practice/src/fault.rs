//! Faults that can be switched on and off.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::network::State;

/// What is broken now; devices and interfaces by their positions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    /// The cable is cut: both ends go down.
    pub link_down: BTreeSet<(usize, usize)>,
    /// Every 25th packet arrives damaged.
    pub errors: BTreeSet<(usize, usize)>,
    /// All sessions of the device fall and come back, 20 s each.
    pub bgp_flap: BTreeSet<usize>,
    /// The processor is at 97 per cent.
    pub cpu: BTreeSet<usize>,
    /// Nobody reaches the device's address: no gNMI, SNMP, echo, and no flows from it. It forwards on.
    pub unreachable: BTreeSet<usize>,
    /// The device sends no flows.
    pub silent: BTreeSet<usize>,
    /// The device does a gNMI Set at once and answers two minutes later.
    pub slow_set: BTreeSet<usize>,
}

/// The kinds, as `tools/lab fault` names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum FaultKind {
    LinkDown,
    Errors,
    BgpFlap,
    Cpu,
    Unreachable,
    SilentExporter,
    SlowSet,
}

/// A fault to be switched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Switch {
    pub fault: FaultKind,
    pub device: String,
    #[serde(default)]
    pub interface: Option<String>,
    /// Off again.
    #[serde(default)]
    pub undo: bool,
}

impl Switch {
    /// Switches; the effect on links follows when the state settles.
    ///
    /// # Errors
    /// With what does not exist, or is missing.
    pub(crate) fn apply(&self, state: &mut State) -> Result<(), String> {
        let Self { fault, device: name, interface, undo } = self;
        let device = state.device(name).ok_or_else(|| format!("there is no device {name}"))?;
        let interface = match (fault, interface) {
            (FaultKind::LinkDown | FaultKind::Errors, None) => {
                return Err("name the interface as well: DEVICE INTERFACE".into());
            }
            (FaultKind::LinkDown | FaultKind::Errors, Some(interface)) => {
                state.interface(device, interface).ok_or_else(|| no_interface(state, device, interface))?
            }
            (_, Some(_)) => return Err("this fault is of a whole device: DEVICE alone".into()),
            (_, None) => 0,
        };
        let faults = &mut state.faults;
        match fault {
            FaultKind::LinkDown => toggle(&mut faults.link_down, (device, interface), *undo),
            FaultKind::Errors => toggle(&mut faults.errors, (device, interface), *undo),
            FaultKind::BgpFlap => toggle(&mut faults.bgp_flap, device, *undo),
            FaultKind::Cpu => toggle(&mut faults.cpu, device, *undo),
            FaultKind::Unreachable => toggle(&mut faults.unreachable, device, *undo),
            FaultKind::SilentExporter => toggle(&mut faults.silent, device, *undo),
            FaultKind::SlowSet => toggle(&mut faults.slow_set, device, *undo),
        }
        Ok(())
    }
}

fn no_interface(state: &State, device: usize, interface: &str) -> String {
    let device = &state.description.devices[device];
    let names: Vec<&str> = device.interfaces.iter().map(|interface| interface.name.as_str()).collect();
    format!("{} has no interface {interface}, only {}", device.name, names.join(", "))
}

fn toggle<T: Ord>(set: &mut BTreeSet<T>, value: T, off: bool) {
    if off {
        set.remove(&value);
    } else {
        set.insert(value);
    }
}

impl Faults {
    /// All that are on, as they were switched.
    pub(crate) fn list(&self, state: &State) -> Vec<Switch> {
        let switch = |fault, device: usize, interface: Option<usize>| {
            let described = &state.description.devices[device];
            let interface = interface.map(|at| described.interfaces[at].name.clone());
            Switch { fault, device: described.name.clone(), interface, undo: false }
        };
        let of_interfaces = [(FaultKind::LinkDown, &self.link_down), (FaultKind::Errors, &self.errors)];
        let of_devices = [
            (FaultKind::BgpFlap, &self.bgp_flap),
            (FaultKind::Cpu, &self.cpu),
            (FaultKind::Unreachable, &self.unreachable),
            (FaultKind::SilentExporter, &self.silent),
            (FaultKind::SlowSet, &self.slow_set),
        ];
        let interfaces = of_interfaces
            .into_iter()
            .flat_map(|(kind, set)| set.iter().map(move |(device, at)| switch(kind, *device, Some(*at))));
        let devices =
            of_devices.into_iter().flat_map(|(kind, set)| set.iter().map(move |device| switch(kind, *device, None)));
        interfaces.chain(devices).collect()
    }
}
