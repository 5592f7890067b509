"""How a command reaches a machine: local, ssh, kubectl exec. One protocol."""

from labtui.hosts.base import Completed, Host, HostError, HostErrorKind

__all__ = ["Completed", "Host", "HostError", "HostErrorKind"]
