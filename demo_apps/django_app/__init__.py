"""The contract as a Django project: plain views, DRF and Channels in one."""
