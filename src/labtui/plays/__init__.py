"""Ansible's playbooks as a subprocess: which there are, on which machines, and what they did."""
