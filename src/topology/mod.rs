//! Hosts, switches, links; builders, loaders, routes.
