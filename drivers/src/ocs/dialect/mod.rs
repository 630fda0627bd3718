//! One driver for each dialect: what to say, and what the answers mean in the neutral model.

mod gnmi;
mod netconf;
mod polatis;
mod restconf;
mod scpi;
mod sonic;
mod sonic_tables;
mod tl1_calient;
mod tl1_polatis;
mod tl1_session;

use super::endpoint::{Dialect, Endpoint};
use super::error::OcsError;
use super::switch::Switch;

/// Opens a session with a switch. The password comes from the variable that the endpoint names, else from
/// `GENIE_OCS_PASSWORD`, else it is the device's usual one.
pub fn open(mut endpoint: Endpoint) -> Result<Box<dyn Switch>, OcsError> {
    let variable = endpoint.password_env.as_deref().unwrap_or("GENIE_OCS_PASSWORD");
    if let Ok(password) = std::env::var(variable) {
        endpoint.password = password;
    }
    let mut switch: Box<dyn Switch> = match endpoint.dialect {
        Dialect::Scpi => Box::new(scpi::Scpi::new(endpoint)),
        Dialect::Tl1Polatis => Box::new(tl1_polatis::Tl1Polatis::new(endpoint)),
        Dialect::Tl1Calient => Box::new(tl1_calient::Tl1Calient::new(endpoint)),
        Dialect::Restconf => Box::new(restconf::Restconf::new(endpoint)),
        Dialect::Netconf => Box::new(netconf::Netconf::new(endpoint)),
        Dialect::Sonic => Box::new(sonic::Sonic::new(endpoint)),
        Dialect::Gnmi => Box::new(gnmi::Gnmi::new(endpoint)),
    };
    switch.reopen()?;
    Ok(switch)
}
