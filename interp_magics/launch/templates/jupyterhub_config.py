# What a JupyterHub's configuration needs so that its users are let into a pool without any token: append
# `interp template jupyterhub` to jupyterhub_config.py, and edit the addresses.
c.JupyterHub.services = [
    *c.JupyterHub.services,
    {
        "name": "interp-pool",
        "url": "http://127.0.0.1:7721",
        "command": ["$interp", "serve", "--hub", "--config", "/etc/interp/pool.toml"],
    },
]
c.JupyterHub.custom_scopes = {
    "custom:interp-pool:run": {"description": "run jobs on the pool"},
    "custom:interp-pool:admin": {"description": "manage the pool", "subscopes": ["custom:interp-pool:run"]},
}
# The role `server` must have the scopes too: a kernel's token holds what its owner and this role have in common.
_scopes = ["access:services!service=interp-pool", "custom:interp-pool:run"]
c.JupyterHub.load_roles = [
    *c.JupyterHub.load_roles,
    {"name": "user", "scopes": ["self", *_scopes]},
    {"name": "server", "scopes": ["users:activity!user", "access:servers!server", *_scopes]},
    {"name": "pool-managers", "scopes": ["custom:interp-pool:admin"], "groups": []},
]
c.Spawner.environment = {**c.Spawner.environment, "INTERP_POOL_URL": "https://HUB/services/interp-pool"}
